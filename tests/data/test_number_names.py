"""Names of class numbers as people write them beside data: compared with 0 for normal, and shown with other numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.layouts.number_names import names_in
from tests.helpers.tables import labels_of, touch, typed, write_lines

CARD = """---
task_categories: [image-classification]
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': ALL
          '1': HEM
---
# Leukemia cells
"""
FILES = {
    "README.md": CARD,
    "README.txt": "Labels: 0: ALL, 1: HEM\n",
    "readme.rst": "The label is 0 for leukemic blasts and 1 for healthy lymphocytes.\n",
    "README": "| label | meaning |\n|---|---|\n| 0 | ALL |\n| 1 | HEM |\n",
    "notes.txt": "target: 0=malignant 1=benign\n",
    "legend.txt": "ALL (0) and normal cells (1)\n",
    "about.txt": "Label 0 (leukemic) or 1 (normal)\n",
    "labels.txt": "leucemia\nsano\n",
    "classes.csv": "id,name\n0,ALL\n1,HEM\n",
    "id2label.json": json.dumps({"0": "ALL", "1": "HEM"}),
    "config.json": json.dumps({"model": {"label2id": {"ALL": 0, "HEM": 1}}}),
    "dataset_infos.json": json.dumps({"default": {"features": {"label": {"names": ["ALL", "HEM"]}}}}),
    "coco.json": json.dumps({"categories": [{"id": 0, "name": "blast"}, {"id": 1, "name": "normal"}]}),
}


@pytest.mark.parametrize("file", FILES)
def test_names_that_contradict_the_numbers_are_refused(tmp_path: Path, file: str) -> None:
    data = touch(tmp_path / "data", *(f"{number % 2}/{number}.png" for number in range(4)))
    (data / file).write_text(FILES[file], encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"expected 0 for normal and 1 for leukemic; by {file}, 0 is .*, 1 is "
    ) as error:
        typed(data)
    assert "--classes normal=1 leukemic=0, or normal=0 leukemic=1 if the names are wrong\n" in str(error.value)
    source = typed(data, options="--classes normal=1 leukemic=0")
    assert "classes (images): normal = 1 (2); leukemic = 0 (2)" in source.notes


@pytest.mark.parametrize("given", ["", "data", "data/train/metadata.csv"])
def test_the_card_above_the_tables_of_a_split_counts(tmp_path: Path, given: str) -> None:
    write_lines(tmp_path / "README.md", CARD)
    for part in ("train", "test"):
        rows = [f"{row}.png,{row % 2}" for row in range(4)]
        touch(tmp_path / "data" / part, *(f"{row}.png" for row in range(4)))
        write_lines(tmp_path / "data" / part / "metadata.csv", "file_name,label", *rows)
    with pytest.raises(UserError, match=r"by README.md, 0 is ALL, 1 is HEM"):
        typed(tmp_path / given)
    assert len(typed(tmp_path / given, options="--classes normal=1 leukemic=0").rows) == (4 if "csv" in given else 8)


def test_of_two_files_the_one_that_contradicts_is_said(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number % 2}/{number}.png" for number in range(4)))
    write_lines(tmp_path / "classes.txt", "hem", "all")
    assert any("by classes.txt, 0 is hem, 1 is all" in note for note in typed(tmp_path).notes)
    write_lines(tmp_path / "README.md", "0: ALL, 1: HEM")
    with pytest.raises(UserError, match=r"by README.md, 0 is ALL"):
        typed(tmp_path)


def test_numbers_are_always_said_with_their_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(5)))
    path = write_lines(tmp_path / "cells.csv", "Path,label", *(f"{row}.png,{row % 2}" for row in range(5)))
    assert typed(path).notes == ("classes (images): normal = 0 (3); leukemic = 1 (2)",)


def test_names_of_other_numbers_are_shown_where_they_are_mapped(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(6)))
    write_lines(tmp_path / "cells.csv", "file,dx", *(f"{row}.png,{1 + row % 2}" for row in range(6)))
    write_lines(tmp_path / "codebook.txt", "dx: 1 neutrophil, 2 blast.")
    with pytest.raises(
        UserError, match=r"--label-column dx and .* words; by codebook.txt, 1 is neutrophil, 2 is blast:"
    ):
        typed(tmp_path)
    source = typed(tmp_path, options="--label-column dx --classes normal=1 leukemic=2")
    assert labels_of(source)["1.png"] == 1


def test_names_before_their_numbers_are_not_those_of_the_next_ones() -> None:
    names = {"0": "ALL", "1": "HEM", "2": "debris"}
    assert names_in(Path("readme.md"), "Classes: ALL (0) HEM (1) debris (2)") == names
    assert names_in(Path("readme.md"), "0) ALL 1) HEM 2) debris") == names


@pytest.mark.parametrize(
    "text",
    [
        "Fold 0: training, fold 1: validation",
        "1. Download the data\n2. Unzip it",
        "a.png,0\nb.png,1\n",
        "x,0\ny,1\nz,0\n",
        "ALL: 15, HEM: 9",
        "2 microscopes and 1 camera",
    ],
)
def test_other_numbers_have_no_names(text: str) -> None:
    assert names_in(Path("readme.txt"), text) == {}
    assert names_in(Path("x.json"), '{"0": "ALL", "1": "ALL"}') == names_in(Path("x.json"), '{"a.png": 0}') == {}


@pytest.mark.parametrize(
    ("text", "normal", "leukemic"),
    [
        ("0 = normal cell (HEM), 1 = leukemic cell (ALL)", "normal cell (HEM)", "leukemic cell (ALL)"),
        ("0 is a normal cell (HEM), 1 is a leukemic cell (ALL, B-cell).", "a normal cell (HEM)", "a leukemic cell"),
        ("| 0 | normal (HEM) |\n| 1 | leukemic (ALL) |", "normal (HEM)", "leukemic (ALL)"),
        ("The labels (0 = normal cell, 1 = leukemic cell) are by two readers.", "normal cell", "leukemic cell"),
    ],
)
def test_parentheses_in_names_are_closed(text: str, normal: str, leukemic: str) -> None:
    assert names_in(Path("readme.md"), text) == {"0": normal, "1": leukemic}
