"""One-hot tables: the names of their columns are words for classes, as the values of a column are."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.second_try import before_list
from tests.helpers.tables import labels_of, one_hot_lines, touch, typed, write_lines

WORDS = ["neutrophil", "lymphoblast", "monocyte"] * 4
EXPECTED = {f"images/{number}.png": int(word == "lymphoblast") for number, word in enumerate(WORDS)}


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return touch(tmp_path, *EXPECTED)


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("1.0", "0.0"), ("True", "False")])
def test_the_refusal_has_the_line_that_reads_the_columns(cells: Path, one: str, zero: str) -> None:
    write_lines(cells / "labels.csv", *one_hot_lines("neutrophil,lymphoblast,monocyte", WORDS, one=one, zero=zero))
    with pytest.raises(UserError, match=r"as one-hot columns; give the classes of their names:\n") as refused:
        typed(cells)
    assert "  neutrophil, lymphoblast, monocyte: lymphoblast (4), monocyte (4), neutrophil (4)\n" in str(refused.value)
    line = before_list(str(refused.value)).rpartition(": ")[2]
    line = line.replace("normal=WORD,...", "normal=neutrophil,monocyte").replace("WORD,...", "lymphoblast")
    source = typed(cells, options=line)
    assert labels_of(source) == EXPECTED
    assert {row.subclass for row in source.rows if row.label == 0} == {"neutrophil", "monocyte"}
    assert "labels are read from the one-hot columns neutrophil, lymphoblast, monocyte" in source.notes


def test_a_column_that_no_class_has_is_named(cells: Path) -> None:
    path = write_lines(cells / "labels.csv", *one_hot_lines("neutrophil,lymphoblast,monocyte", WORDS))
    with pytest.raises(
        UserError, match=r"(?m)--classes normal=neutrophil,WORD,... leukemic=lymphoblast,WORD,...$"
    ) as refused:
        typed(path, options="--classes normal=neutrophil leukemic=lymphoblast")
    assert "write each of monocyte after its class, or after ignore= to leave it out" in str(refused.value)
    options = "--classes normal=neutrophil leukemic=lymphoblast ignore=monocyte"
    assert len(typed(path, options=options).rows) == 8


def test_one_of_the_columns_alone_is_read_with_a_warning(cells: Path) -> None:
    path = write_lines(cells / "labels.csv", *one_hot_lines("neutrophil,lymphoblast,monocyte", WORDS))
    source = typed(path, options="--label-column Lymphoblast")
    assert labels_of(source) == EXPECTED
    assert any(
        "warning: the column lymphoblast is one-hot with others (neutrophil, lymphoblast, monocyte), so that all of "
        "these but lymphoblast are normal" in note
        for note in source.notes
    )
    both = "--label-column neutrophil --classes normal=neutrophil,monocyte leukemic=lymphoblast"
    assert labels_of(typed(path, options=both)) == EXPECTED


def test_known_words_need_no_option(cells: Path) -> None:
    words = [("leukemic" if label else "normal") for label in EXPECTED.values()]
    lines = one_hot_lines("normal,leukemic", words)
    # Other columns of flags are one-hot as well.
    lines = [f"{line},{more}" for line, more in zip(lines, ["male,female", *["0,1", "1,0"] * 6], strict=True)]
    source = typed(write_lines(cells / "labels.csv", *lines))
    assert labels_of(source) == EXPECTED
    assert "labels are read from the one-hot columns normal, leukemic" in source.notes


def test_rows_without_a_single_class_are_named(cells: Path) -> None:
    lines = one_hot_lines("normal,leukemic", ["normal", "leukemic"] * 6)
    path = write_lines(cells / "labels.csv", *lines[:-1], "images/11.png,0,0")
    with pytest.raises(
        UserError, match=r"(?m)of the column normal, leukemic; correct these, .*:\n  row 13: no label$"
    ) as empty:
        typed(path)
    typed_line = before_list(str(empty.value)).rpartition(": ")[2]
    assert typed_line.endswith("ignore=no-label")
    assert len(typed(path, options=typed_line).rows) == 11
    path = write_lines(cells / "labels.csv", *lines[:-1], "images/11.png,1,1")
    with pytest.raises(UserError, match=r"(?m)'normal\+leukemic': row 13\n  .* ignore=normal\+leukemic$") as refused:
        typed(path)
    assert len(typed(path, options=before_list(str(refused.value)).rpartition(": ")[2]).rows) == 11


@pytest.mark.parametrize("header", ["train,test", "case_no,patient_id"])
def test_parts_and_subjects_are_no_classes(cells: Path, header: str) -> None:
    columns = header.split(",")
    path = write_lines(cells / "labels.csv", *one_hot_lines(header, [columns[number % 2] for number in range(12)]))
    with pytest.raises(UserError) as refused:
        typed(path)
    assert "one-hot" not in str(refused.value)


def test_columns_are_one_hot_over_all_parts_of_a_split(tmp_path: Path) -> None:
    header = "filename,lymphoblast,neutrophil,monocyte"
    touch(tmp_path, *(f"{part}/{number}.jpg" for part in ("train", "valid") for number in range(4)))
    write_lines(tmp_path / "train" / "_classes.csv", header, "0.jpg,1,0,0", "1.jpg,0,1,0", "2.jpg,0,0,1", "3.jpg,1,0,0")
    # A part that lacks a class.
    write_lines(tmp_path / "valid" / "_classes.csv", header, "0.jpg,1,0,0", "1.jpg,1,0,0", "2.jpg,0,0,1", "3.jpg,1,0,0")
    options = "--classes normal=neutrophil,monocyte leukemic=lymphoblast --split-column split"
    source = typed(tmp_path, options=options)
    assert [row.label for row in source.rows] == [1, 0, 0, 1, 1, 1, 0, 1]
    with pytest.raises(UserError, match=r"lymphoblast \(5\), monocyte \(2\), neutrophil \(1\)"):
        typed(tmp_path)
