"""Refusals about labels or classes: each ends with a command that lists the images, and names what was not read."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from helpers.second_try import refusal, touch
from PIL import Image

from leukemia import catalog as command
from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.classes import LabelError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading
from tests.helpers.tables import typed, write_lines


def draw(root: Path, *names: str, seed: int | None = None) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(number if seed is None else seed)
        Image.fromarray(draw_cell(generator, 0)).save(root / name)
    return root


def words_of_a_csv(data: Path) -> str:
    touch(data, *(f"{number}.png" for number in range(4)))
    write_lines(data / "cells.csv", "Path,label", *(f"{row}.png,{'xy'[row % 2]}" for row in range(4)))
    return ""


def missing_labels(data: Path) -> str:
    touch(data, *(f"{number}.png" for number in range(4)))
    write_lines(data / "cells.csv", "Path,label", "0.png,0", "1.png,1", "2.png,", "3.png,1")
    return ""


def a_column_that_is_absent(data: Path) -> str:
    words_of_a_csv(data)
    return "--label-column stage"


def folders_of_both_classes(data: Path) -> str:
    touch(data, "cancer/Benign/1.png", "cancer/2.png", "healthy/3.png")
    return ""


def folders_that_may_be_batches(data: Path) -> str:
    touch(data, *(f"{batch}/{kind}/{number}.png" for batch in "01" for kind in ("a", "b") for number in "12"))
    return ""


def a_misspelt_word(data: Path) -> str:
    touch(data, "Blast/1.png", "Blast/2.png", "Lymph/3.png")
    return "--classes normal=Lymph leukemic=Blast,Pro"


def other_folders(data: Path) -> str:
    touch(data, "hem/1.png", "all/2.png", "extra/3.png", "extra/4.png")
    return ""


def masks(data: Path) -> str:
    touch(data, *(f"{word}/{number}{end}.png" for word in ("hem", "all") for number in "12" for end in ("", "_mask")))
    return ""


def one_class(data: Path) -> str:
    draw(data, "hem/1.png", "hem/2.png")
    return ""


def one_image_with_two_labels(data: Path) -> str:
    draw(data, "hem/1.png", "all/2.png", seed=0)
    return ""


@pytest.mark.parametrize(
    "layout",
    [
        *(
            words_of_a_csv,
            missing_labels,
            a_column_that_is_absent,
            folders_of_both_classes,
            folders_that_may_be_batches,
        ),
        *(a_misspelt_word, other_folders, masks, one_class, one_image_with_two_labels),
    ],
)
def test_every_refusal_ends_with_a_list_that_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, layout: Callable[[Path], str]
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    options = shlex.split(layout(data))
    with pytest.raises(UserError) as caught:
        command.main([str(data), *options])
    message = str(caught.value)
    assert message.count("--label-sheet") == 1
    last = message.splitlines()[-1]
    assert last.startswith(
        "  for a CSV of all images, whatever the layout, in which to fill in labels, patients and a split: "
        "python -m leukemia.catalog "
    )
    assert command.main(shlex.split(last.partition("leukemia.catalog ")[2])) == 0
    assert "data_labels.csv (" in capsys.readouterr().out


def test_the_list_of_a_csv_has_its_images_and_patients(tmp_path: Path) -> None:
    data = touch(tmp_path / "data", *(f"{number}.png" for number in range(6)))
    rows = [f"{row}.png,{'xy'[row % 2]},P{row // 2}" for row in range(4)]
    path = write_lines(data / "cells.csv", "Path,label,subject", *rows)
    with pytest.raises(UserError) as caught:
        typed(path)
    assert command.main(shlex.split(str(caught.value).rpartition("leukemia.catalog ")[2])) == 0
    with (tmp_path / "data_labels.csv").open(encoding="utf-8-sig", newline="") as stream:
        found = [(row["Path"], row["label"], row["subject"]) for row in csv.DictReader(stream)]
    assert found == [(f"data/{row}.png", "", f"P{row // 2}") for row in range(4)]


def test_files_that_no_sentence_names_are_named(tmp_path: Path) -> None:
    names = [f"Pt0{patient}/day{day:02d}/f{image}.jpg" for patient in (1, 2, 3) for day in (0, 15) for image in (1, 2)]
    touch(tmp_path, *names, "legend.txt", *(f"Pt0{patient}/notes.doc" for patient in (1, 2)))
    rows = [f"Pt0{patient},{day},active" for patient in (1, 2, 3) for day in (0, 15)]
    write_lines(tmp_path / "meta/clinical.csv", "patient,day,status", *rows)
    write_lines(tmp_path / "meta/other.csv", "a,b", "1,2")
    message = refusal(tmp_path)
    # The words f1 and f2 count the images of each folder.
    assert "f1" not in message
    assert "clinical.csv" in message.splitlines()[0]
    line = next(line for line in message.splitlines() if line.startswith("  the folder also has "))
    assert line.startswith(
        "  the folder also has meta/other.csv (1 row; columns a, b), legend.txt, 2 files such as notes.doc"
    )


def test_a_test_set_has_no_list_of_labels(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png")
    write_lines(tmp_path / "cells.csv", "Path,label", "1.png,0", "2.png,x")
    with pytest.raises(UserError) as caught:
        read_catalog(tmp_path / "cells.csv", labels=False)
    assert "--label-sheet" not in str(caught.value)


def test_a_table_beside_images_is_named_once_whatever_the_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "data", *(f"Pt{patient}/{word}/1.png" for patient in (1, 2) for word in ("hem", "all")))
    write_lines(tmp_path / "data/clinical.csv", "patient,day,status", "Pt1,0,a", "Pt1,9,b", "Pt2,0,a")
    monkeypatch.chdir(tmp_path)
    notes = [note for note in find_images(Path("data"), Reading(), labels=True).named_notes if "clinical.csv" in note]
    assert notes == [
        "did not read clinical.csv (3 rows; columns patient, day, status): no column has the names of images, or of "
        "folders of images in one row each; to use it, write the path of an image into each row"
    ]


def test_the_list_is_never_inside_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = touch(tmp_path / "data", *(f"upload/4/{n}.png" for n in range(4)))
    lines = [f"{n}.png,{('odd', 'even')[n % 2]}" for n in range(4)]
    (data / "list.csv").write_text("\n".join(["file,label", *lines]))
    other, reading = tmp_path / "other", Reading(base=str(data / "upload" / "4"))
    other.mkdir()
    for current, expected in ((other, other), (data, tmp_path), (data / "upload", tmp_path)):
        monkeypatch.chdir(current)
        with pytest.raises(UserError) as caught:
            find_images(data, reading, labels=True)
        written = Path(shlex.split(str(caught.value).splitlines()[-1])[-1])
        assert (written.parent, written.name) == (expected, "4_labels.csv")
    sheet = LabelSheet(path=data / "upload" / "4_labels.csv", data=data, reading=reading)
    with pytest.raises(UserError, match=f"expected a file outside of the images in {data}, which are only read"):
        sheet.require_new()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_images_that_are_cut_off_are_named_with_the_words_to_map(tmp_path: Path, suffix: str) -> None:
    data = draw(tmp_path / "data", *(f"{word}/{n}.{suffix}" for word in ("odd", "even") for n in range(3)))
    broken = data / "odd" / f"1.{suffix}"
    broken.write_bytes(broken.read_bytes()[:-30])
    with pytest.raises(LabelError) as caught:
        read_catalog(data)
    *_, line, last = str(caught.value).splitlines()
    assert line.startswith(
        "  whatever the labels, 1 of 6 images cannot be used, since their files are empty or cut off: "
    )
    assert line.endswith(f": odd/1.{suffix}")
    assert "--label-sheet" in last
    broken.unlink()
    with pytest.raises(LabelError) as caught:
        read_catalog(data)
    assert "cut off" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "advice"),
    [("Path,label", "give the base folder of the paths with --base"), ("who,label", "give another folder with --base")],
)
def test_no_list_of_the_wrong_base_folder_is_proposed(tmp_path: Path, header: str, advice: str) -> None:
    """The images of that folder are not those of the CSV."""
    touch(tmp_path, "cells/1.png", "cells/2.png", "other/x.png")
    path = tmp_path / "list.csv"
    path.write_text(f"{header}\ncell1,0\ncell2,1\n")
    with pytest.raises(UserError) as caught:
        find_images(path, Reading(base=str(tmp_path / "other")), labels=True)
    assert advice in str(caught.value)
    assert "--label-sheet" not in str(caught.value)
    with pytest.raises(UserError, match=r"--label-sheet"):
        find_images(path, Reading(), labels=True)
