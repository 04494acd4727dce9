"""Class folders with a table of the patients of other folders: both are read, and neither hides the other."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest
from helpers.second_try import before_list
from helpers.tables import touch, typed, write_lines

from leukemia.base.errors import UserError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading
from leukemia.data.subjects import NotApplicable, read_subjects

ORDERS = {"23-1044_1": "0048", "23-1044_2": "0048", "23-1051_1": "0049", "23-1051_2": "0049", "23-1060_1": "0048"}
"""The folders of slides, and their patients."""

CLASSES = "--classes 'normal=Lymphocyte,Monocyte' 'leukemic=Blast cell' ignore=Smudge"
KINDS = ("bl", "ly", "ne")
DIAGNOSES = {"0048": "AML", "0049": "no malignancy"}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """``export/SLIDE/CELL/1.png``, and a table whose orders are what the slides begin with."""
    cells = {"Blast cell": 1, "Lymphocyte": 3, "Monocyte": 2, "Smudge": 1}
    touch(
        tmp_path, *(f"export/{slide}/{cell}/{n}.png" for slide in ORDERS for cell in cells for n in range(cells[cell]))
    )
    orders = {slide.rpartition("_")[0]: patient for slide, patient in ORDERS.items()}
    rows = [f"{order};{patient};{DIAGNOSES[patient]}" for order, patient in orders.items()]
    write_lines(tmp_path / "export/orders.csv", "Order No;MRN;Diagnosis", *rows)
    return tmp_path


def of_slides(data: Path) -> Path:
    """The data with a row for each slide, which is a whole name of a folder."""
    rows = [f"{slide};{patient};{DIAGNOSES[patient]}" for slide, patient in ORDERS.items()]
    write_lines(data / "export/orders.csv", "Order No;MRN;Diagnosis", *rows)
    return data


def check(source: Source) -> None:
    assert source.layout == "folders"
    assert Counter(row.label for row in source.rows) == {0: 25, 1: 5}
    assert all(row.subject == ORDERS[row.path.relative_to(source.root).parts[-3]] for row in source.rows)


@pytest.mark.parametrize("change", [Path, of_slides])
def test_folders_are_the_classes_and_the_table_has_the_patients(export: Path, change: type[Path]) -> None:
    source = typed(change(export), options=f"{CLASSES} --subject-column MRN")
    check(source)
    assert any("of orders.csv, whose column Order No has the names of folders" in note for note in source.named_notes)
    without = typed(export, options=CLASSES)
    assert without.unread_columns == ("MRN",)
    assert not any(row.subject for row in without.rows)


def test_the_first_refusal_names_the_patients_of_the_table(export: Path) -> None:
    with pytest.raises(UserError, match=r"add --subject-column MRN to read the patients of orders\.csv") as caught:
        typed(export)
    assert "write each of Blast cell,Lymphocyte,Monocyte,Smudge after its class" in str(caught.value)


@pytest.mark.parametrize("options", ["", "--classes 'normal=no malignancy' leukemic=AML --subject-column MRN"])
def test_a_table_of_folders_never_hides_folders_that_may_be_classes(export: Path, options: str) -> None:
    with pytest.raises(
        UserError, match="each row stands for a folder, with folders inside that may be the cl"
    ) as caught:
        typed(of_slides(export), options=options)
    folders, column = [line.partition(": ")[2] for line in before_list(str(caught.value)).splitlines()[-2:]]
    assert folders == "--classes normal=WORD,... leukemic=WORD,... --subject-column MRN"
    check(typed(export, options=f"{CLASSES} {folders[-len('--subject-column MRN') :]}"))
    if options:
        source = typed(export, options=f"{column} --subject-column MRN")
        assert Counter(row.label for row in source.rows) == {1: 21, 0: 14}


def test_other_columns_and_tables_are_refused_as_before(export: Path) -> None:
    with pytest.raises(NotApplicable, match="--subject-column Ward has no effect"):
        typed(export, options=f"{CLASSES} --subject-column Ward")
    write_lines(export / "export/orders.csv", "Order No;MRN", "99-1;0048", "99-2;0049")
    with pytest.raises(NotApplicable, match="--subject-column MRN has no effect"):
        typed(export, options=f"{CLASSES} --subject-column MRN")


def test_the_label_sheet_has_the_patients_of_the_table(export: Path) -> None:
    items = tuple(shlex.split(CLASSES)[1:])
    sheet = LabelSheet(path=export / "sheet.csv", data=export / "export", reading=Reading(classes=items))
    assert sheet.write() == (30, 30)
    assert "0049" in (export / "sheet.csv").read_text(encoding="utf-8-sig")


def test_images_whose_folder_has_no_row_have_no_subject(export: Path) -> None:
    touch(export, "export/99-0001_1/Blast cell/0.png")
    source = typed(export, options=f"{CLASSES} --subject-column MRN")
    ids = [row.path.name for row in source.rows]
    subjects = read_subjects(ids, [row.subject for row in source.rows], Reading(subject_column="MRN"))
    assert any("1 of 31 images has no subject" in note for note in subjects.notes)


def test_classes_in_names_with_a_table_of_orders_in_them(tmp_path: Path) -> None:
    data = tmp_path / "lab"
    patients = {"19-02341": "P1", "19-02877": "P2", "20-00011": "P1"}
    touch(data, *(f"20{order[:2]}/KW{n}/{order}_{n}_{kind}.tif" for order in patients for n, kind in enumerate(KINDS)))
    write_lines(data / "cases.csv", "Order;MRN;Dx", *(f"{order};{each};C91" for order, each in patients.items()))
    source = typed(data, options="--classes normal=ly,ne leukemic=bl --subject-column MRN")
    assert Counter(row.label for row in source.rows) == {0: 6, 1: 3}
    assert all(row.subject == patients[row.path.name[:8]] for row in source.rows)
    assert any("whose column Order has parts of the names of files" in note for note in source.named_notes)
    assert typed(data, options="--classes normal=ly,ne leukemic=bl").unread_columns == ("MRN",)


def test_a_refusal_says_that_no_column_has_the_words_of_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{n}.png" for n in range(6)))
    write_lines(tmp_path / "cells.csv", "Path,Dx", *(f"{n}.png,{'xy'[n % 2]}" for n in range(6)))
    with pytest.raises(UserError, match="found Path, Dx, and --classes has none of their words; these may have"):
        typed(tmp_path / "cells.csv", options="--classes normal=ly leukemic=bl")
