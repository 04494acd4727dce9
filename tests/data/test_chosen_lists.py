"""Options that only tables have, given with a folder: they choose its table, as the line says that proposes them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading
from leukemia.data.subjects import NotApplicable, read_subjects
from tests.helpers.second_try import before_list
from tests.helpers.tables import labels_of, touch, typed, write_lines


def advised(data: Path, classes: Mapping[str, str], options: str = "") -> str:
    """The options that the refusal of the first try proposes, with the user's words."""
    with pytest.raises(UserError) as caught:
        typed(data, options=options)
    typed_text = before_list(str(caught.value)).splitlines()[-1].rpartition(": ")[2]
    for name, words in classes.items():
        typed_text = typed_text.replace(f"{name}=WORD,...", shlex.quote(f"{name}={words}"))
    return f"{options} {typed_text}"


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    """Folders of diagnoses with folders of patients, and a table with a row for each patient."""
    patients = {"PML_RARA": ["AABC", "AEKW"], "control": ["DFFX", "GHUI"]}
    for bag, names in patients.items():
        touch(tmp_path, *(f"data/{bag}/{name}/image_{number}.tif" for name in names for number in range(3)))
    rows = [f"{name},{40 + len(bag)},{bag}" for bag, names in patients.items() for name in names]
    write_lines(tmp_path / "metadata.csv", "patient_id,age,bag_label", *rows)
    return tmp_path


def test_the_column_that_was_advised_is_read_beside_class_folders(bags: Path) -> None:
    options = advised(bags, {"normal": "control", "leukemic": "PML_RARA"})
    assert "--label-column bag_label" in options
    source = typed(bags, options=options)
    assert source.layout == "csv"
    assert source.named_notes[0] == "read metadata.csv"
    assert sum(row.label or 0 for row in source.rows) == 6
    assert len(source.rows) == 12
    assert source.notes[-1].endswith("12 images; if a folder is a patient, give --subject-column patient_id")
    with_patients = typed(bags, options=f"{options} --subject-column patient_id")
    assert {row.subject for row in with_patients.rows} == {"AABC", "AEKW", "DFFX", "GHUI"}
    assert with_patients.notes[-1].endswith(": 12 images")


@pytest.mark.parametrize("option", ["--label-column kind", "--subject-column 'Patient ID'", "--split-column part"])
def test_each_option_chooses_the_table_that_has_its_column(tmp_path: Path, option: str) -> None:
    touch(tmp_path, *(f"{('hem', 'all')[number % 2]}/{number}.png" for number in range(8)))
    rows = [f"{number}.png,{'xy'[number // 4]},P{number},{('train', 'val')[number % 2]}" for number in range(8)]
    write_lines(tmp_path / "info.csv", "file_name,kind,Patient ID,part", *rows)
    write_lines(tmp_path / "centres.csv", "hospital,city", "a,b")
    options = option
    if "--label-column" not in options:
        options = advised(tmp_path, {"normal": "x", "leukemic": "y"}, option)
    else:
        options += " --classes normal=x leukemic=y"
    source = typed(tmp_path, options=options)
    assert source.layout == "csv"
    assert "ignored centres.csv (1 row): no column of paths" in source.named_notes
    assert labels_of(source) == {f"{('hem', 'all')[n % 2]}/{n}.png": n // 4 for n in range(8)}


def test_of_several_lists_the_one_with_the_column_is_read(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(8)))
    write_lines(tmp_path / "a.csv", "Path,label", *(f"{number}.png,0" for number in range(8)))
    write_lines(tmp_path / "b.csv", "Path,dx", *(f"{number}.png,{number % 2}" for number in range(8)))
    source = typed(tmp_path, options="--label-column dx")
    assert labels_of(source) == {f"{number}.png": number % 2 for number in range(8)}
    assert "did not read a.csv (8 rows): no column dx" in source.named_notes


def test_tables_of_several_folders_are_refused(tmp_path: Path) -> None:
    for folder in "ab":
        touch(tmp_path / folder, "0.png", "1.png")
        write_lines(tmp_path / folder / "cells.csv", f"Path,dx,{folder}", "0.png,0,x", "1.png,1,y")
    with pytest.raises(UserError, match=r"the folders a, b have CSVs of images; give the path of one of them$"):
        typed(tmp_path, options="--label-column dx")
    assert len(typed(tmp_path / "a/cells.csv", options="--label-column dx").rows) == 2


def test_options_are_refused_where_no_table_obeys_them(tmp_path: Path) -> None:
    touch(tmp_path, "hem/0.png", "all/1.png")
    with pytest.raises(UserError, match=r"^--base has no effect with .*, which is a folder, not a CSV; leave it out$"):
        typed(tmp_path, options=f"--base '{tmp_path}'")
    write_lines(tmp_path / "info.csv", "hospital,city", "a,b")
    named = r", and lists no images so in info.csv \(columns hospital, city\); leave it out"
    with pytest.raises(UserError, match=rf"(?m)^--label-column dx has no effect with .*{named}$"):
        typed(tmp_path, options="--label-column dx")
    with pytest.raises(NotApplicable, match=rf"^--subject-column hospital has no effect with .*{named}, or give --sub"):
        typed(tmp_path, options="--subject-column hospital")


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """Images with numbers for names, a mask of each, the table of their classes, and a text about them."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "Dataset 1"
    folder.mkdir()
    for number in range(1, 11):
        cell = draw_cell(generator, number % 2)
        Image.fromarray(cell).save(folder / f"{number:03}.bmp")
        Image.fromarray(np.where(cell.max(axis=2) > 60, 255, 0).astype(np.uint8)).save(folder / f"{number:03}.png")
    rows = [f"{number},{1 + number % 5}" for number in range(1, 11)]
    write_lines(tmp_path / "Class Labels of Dataset 1.csv", "image ID,class label", *rows)
    lines = ("Class labels: 1 neutrophil, 2 lymphocyte.", "001.bmp is the image, 001.png its mask (grey).")
    write_lines(tmp_path / "readme.txt", *lines)
    return tmp_path


def check_segmented(source: Source) -> None:
    assert len(source.rows) == 10
    assert {row.path.suffix for row in source.rows} == {".bmp"}
    assert [row.label for row in source.rows] == [int(number % 5 == 4) for number in range(1, 11)]
    assert "10 masks (.png) are called like the images, and are not read" in source.notes


def test_numbers_of_images_that_have_masks_of_the_same_name(segmented: Path) -> None:
    options = advised(segmented, {"normal": "1,2,3,4", "leukemic": "5"})
    table = segmented / "Class Labels of Dataset 1.csv"
    for data, base in (
        (segmented, ""),
        (table, ""),
        (segmented, "--base 'B/Dataset 1'"),
        (table, "--base 'B/Dataset 1'"),
    ):
        check_segmented(typed(data, options=f"{options} {base.replace('B', str(segmented), 1)}"))


def test_masks_of_the_same_name_in_class_folders_are_refused(segmented: Path) -> None:
    for number, path in enumerate(sorted((segmented / "Dataset 1").iterdir())):
        folder = segmented / "classes" / ("hem", "all")[number // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / path.name)
    data = segmented / "classes"
    with pytest.raises(
        UserError, match=r"10 of 20 images are masks, .* by their names and pixels: \*.png \(10\); leave"
    ):
        typed(data)
    for path in data.rglob("*.png"):
        path.unlink()
    assert len(typed(data).rows) == 10


@pytest.mark.parametrize(
    ("lines", "is_list"),
    [
        (["a.png 0", "b.png 1"], True),
        (["path,label", "x/a.png,acute leukemia"], True),
        (["a.png 1.", "b.png 0."], True),
        (["The cells:", "a.png is one, b.png another."], False),
        (["The cells.", "a.png is the first", "They are of ten patients", "and were stained"], False),
        (["cells", "a.png", "b.png", *["see the paper"] * 3], False),
    ],
)
def test_text_about_images_is_no_list(tmp_path: Path, lines: list[str], is_list: bool) -> None:
    assert is_table(write_lines(tmp_path / "readme.txt", *lines)) == is_list


def test_the_other_name_of_a_column_of_labels_in_a_second_list_is_said(tmp_path: Path) -> None:
    for part, header in (("train", "img,target"), ("valid", "img,klass")):
        touch(tmp_path, *(f"{part}/{number}.png" for number in range(4)))
        rows = [f"{part}/{number}.png,{number % 2}" for number in range(4)]
        write_lines(tmp_path / f"{part}.csv", header, *rows)
    line = "valid.csv may have labels in its column klass: call it target, as in train.csv, to train with them"
    assert line in typed(tmp_path).named_notes
    write_lines(tmp_path / "valid.csv", "img,target", *rows)
    assert len(typed(tmp_path).rows) == 8


def test_the_base_folder_of_a_test_set_chooses_its_list(tmp_path: Path) -> None:
    touch(tmp_path, *(f"hem/{number}.png" for number in range(4)), *(f"all/{number}.png" for number in range(4)))
    write_lines(tmp_path / "lists/new.csv", "Path,dx", *(f"hem/{number}.png,a" for number in range(4)))
    source = find_images(tmp_path, Reading(label_column="y").of_test_set(str(tmp_path)), labels=False)
    assert source.layout == "csv"
    assert labels_of(source) == {f"hem/{number}.png": None for number in range(4)}


def test_notes_do_not_propose_an_option_that_is_given(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(4)))
    rows = [f"{number}.png,{('normal', 'leukemic')[number % 2]},a{number},b{number}" for number in range(4)]
    path = write_lines(tmp_path / "cells.csv", "Path,class,patient,case", *rows)
    notes = find_images(path, Reading(label_column="kind"), labels=False).notes
    assert "labels are read from the column class" in notes
    written = [f"b{number}" for number in range(4)]
    read = read_subjects(written, written, Reading(subject_column="case"), columns=["patient"])
    assert read.notes[-1].endswith("--subject-column patient reads it instead")
