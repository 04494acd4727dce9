"""Several columns with the same words, as of two readers and a referee: the rows in which they differ are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.data.layouts.source import Source
from tests.helpers.tables import touch, typed, write_lines

READERS = ["blasto,no,", "no,blasto,no", "no,no,", "blasto,,"] * 3


def read(data: Path, header: str, rows: list[str], options: str) -> Source:
    touch(data, *(f"{row}.png" for row in range(len(rows))))
    write_lines(data / "list.csv", f"image,{header}", *(f"{row}.png,{text}" for row, text in enumerate(rows)))
    return typed(data / "list.csv", options=options)


def test_rows_with_other_words_of_other_readers_are_counted(tmp_path: Path) -> None:
    options = "--label-column reader_1 --classes normal=no leukemic=blasto"
    source = read(tmp_path, "reader_1,reader_2,referee", [*READERS, "no,no,blasto"], options)
    (note,) = [note for note in source.named_notes if "another word than" in note]
    assert ": reader_2 in 6 of 13 (empty in 3), referee in 1 of 13 (empty in 9); if these are several readers" in note


@pytest.mark.parametrize(
    ("header", "rows", "is_said"),
    [
        ("label_1,label_2", ["0,1", "1,1", "0,0", "1,1"], True),
        ("label,smoker", ["0,1", "1,1", "0,0", "1,1"], False),
        ("label_1,label_2", ["0,0", "1,1", "0,0", "1,1"], False),
    ],
)
def test_numbers_are_those_of_readers_in_columns_that_are_called_alike(
    tmp_path: Path, header: str, rows: list[str], *, is_said: bool
) -> None:
    source = read(tmp_path, header, rows, f"--label-column {header.partition(',')[0]}")
    assert any("another word than" in note for note in source.named_notes) == is_said
