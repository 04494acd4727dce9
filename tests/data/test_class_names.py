"""Names that a ``data.yaml`` or a ``classes.txt`` gives to class numbers: shown, and checked against 0 and 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.tables import labels_of, touch, typed, write_lines

NAMES = "by {}, 0 is blast, 1 is lymphocyte, 2 is monocyte"
FILES = {
    "data.yaml": ["nc: 3", "names: ['blast', 'lymphocyte', 'monocyte']"],
    "cells.yml": ["names:", "  0: blast", "  1: lymphocyte", "  2: monocyte"],
    "classes.txt": ["blast", "lymphocyte", "monocyte"],
}


def completed(message: str) -> str:
    line = (
        message.rpartition("--classes")[2]
        .partition("\n")[0]
        .replace("normal=WORD,...", "normal=1,2")
        .replace("WORD,...", "0")
    )
    return f"--classes{line}"


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("is_table", [True, False])
def test_the_refusal_of_numbers_has_their_names(tmp_path: Path, file: str, is_table: bool) -> None:
    write_lines(tmp_path / file, *FILES[file])
    if is_table:
        touch(tmp_path, *(f"images/{number}.png" for number in range(9)))
        write_lines(tmp_path / "cells.csv", "file,class", *(f"{number}.png,{number % 3}" for number in range(9)))
    else:
        touch(tmp_path, *(f"images/{number % 3}/{number}.png" for number in range(9)))
    with pytest.raises(UserError) as refused:
        typed(tmp_path)
    assert NAMES.format(file) in str(refused.value)
    assert list(labels_of(typed(tmp_path, options=completed(str(refused.value)))).values()).count(1) == 3


def test_the_names_of_boxes_are_shown(tmp_path: Path) -> None:
    touch(tmp_path, "train/images/1.png", "train/images/2.png")
    write_lines(tmp_path / "train" / "labels" / "1.txt", "0 0.5 0.5 0.1 0.1")
    write_lines(tmp_path / "data.yaml", *FILES["data.yaml"])
    with pytest.raises(
        UserError, match=rf"write a CSV with the columns Path and label .*; {NAMES.format('data.yaml')}\n"
    ):
        typed(tmp_path)


@pytest.mark.parametrize("is_table", [True, False])
def test_names_that_say_otherwise_are_refused(tmp_path: Path, is_table: bool) -> None:
    write_lines(tmp_path / "data.yaml", "names: [leukemia, normal]")
    touch(tmp_path, *(f"{number % 2}/{number}.png" for number in range(4)))
    if is_table:
        write_lines(tmp_path / "cells.csv", "Path,label", *(f"{row % 2}/{row}.png,{row % 2}" for row in range(4)))
    data = tmp_path / "cells.csv" if is_table else tmp_path
    with pytest.raises(UserError, match=r"by data.yaml, 0 is leukemia, 1 is normal; give the classes of the numbers: "):
        typed(data)
    assert labels_of(typed(data, options="--classes normal=1 leukemic=0"))["0/0.png"] == 1


def test_names_of_unknown_words_are_a_note(tmp_path: Path) -> None:
    write_lines(tmp_path / "data.yaml", "names: [lymphocyte, blast]")
    touch(tmp_path, *(f"{number % 2}/{number}.png" for number in range(4)))
    assert (
        "0 was taken for normal and 1 for leukemic; by data.yaml, 0 is lymphocyte, 1 is blast; --classes normal=1 "
        "leukemic=0 reads them otherwise"
    ) in typed(tmp_path).notes


@pytest.mark.parametrize("text", ["names: [", "names: 3", "- names", "names: {a: b}", "other: [a, b]"])
def test_other_files_have_no_names(tmp_path: Path, text: str) -> None:
    write_lines(tmp_path / "data.yaml", text)
    touch(tmp_path, *(f"{number % 2}/{number}.png" for number in range(4)))
    assert not [note for note in typed(tmp_path).notes if "data.yaml" in note]
