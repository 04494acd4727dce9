"""Folders that look like fields or batches are no classes where a table, or anything else, may have these."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from helpers.second_try import completed, found, refusal, touch

TABLE = (
    "slide\tfield\tcell\tclass\nS-0034\t1\t1\tblast\nS-0034\t2\t1\tnormal\nS-0051\t1\t1\tnormal\nS-0051\t2\t1\tblast\n"
)


@pytest.mark.parametrize("names", [("field_001", "field_002"), ("area 1", "area 2"), ("apical", "basal")])
def test_fields_beside_a_table_that_cannot_be_read_are_not_proposed(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{slide}/{name}/c1.png" for slide, name in product(("S-0034", "S-0051"), names)))
    (tmp_path / "results.tsv").write_text(TABLE)
    message = refusal(tmp_path)
    assert "no column has the names of images below" in message
    assert "and slide, which has the names of folders, is not different in each row: write the path of an" in message
    assert "--classes" not in message
    assert "--label-sheet" in message.splitlines()[-1]


def test_numbered_folders_are_proposed_after_words_of_files(tmp_path: Path) -> None:
    touch(tmp_path, *(f"batch {n}/{word}_{k}.png" for n in (1, 2) for word in ("aa", "bb", "cc") for k in range(2)))
    message = refusal(tmp_path)
    assert "write each of aa,bb,cc after its class" in message
    assert len(found(tmp_path, *completed(message, "aa", "bb,cc")).rows) == 12


@pytest.mark.parametrize("names", [("batch 1", "batch 2"), ("grade_1", "grade_2"), ("L1", "L2")])
def test_numbered_folders_are_proposed_if_nothing_else_is_there(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{name}/{number}.png" for name in names for number in range(2)))
    assert f"write each of {','.join(names)} after its class" in refusal(tmp_path)


def test_numbered_classes_are_proposed_beside_a_table(tmp_path: Path) -> None:
    touch(tmp_path, *(f"grade_{n}/{number}.png" for n in (1, 2) for number in range(2)))
    (tmp_path / "results.tsv").write_text(TABLE)
    assert "write each of grade_1,grade_2 after its class" in refusal(tmp_path)
