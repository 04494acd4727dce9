"""Folders that have the same images, such as folds made by copying, are no split."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading

CLASSES = ("normal=Control", "leukemic=AML")


def found(data: Path, split: str | None = None) -> Source:
    return find_images(data, Reading(classes=CLASSES, split_column=split), labels=True)


def write(root: Path, folds: int, name: str, *, below: tuple[str, str] = ("train", "val"), same: bool = True) -> Path:
    """Six images of each class, one third of them in the second part of each fold."""
    for fold in range(folds):
        for number in range(12):
            part = below[number // 2 % 3 == fold]
            path = root / name.format(fold + 1) / part / ("AML", "Control")[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(number if same else (fold, number)))
    return root


@pytest.mark.parametrize("name", ["fold{}", "fold_{}", "run {}", "cv/fold{}"])
def test_folds_made_by_copying_are_no_split(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / "data", 3, name)
    source = found(data)
    first = name.format(1)
    names = ", ".join(name.format(fold).rpartition("/")[2] for fold in (1, 2, 3))
    (note,) = [note for note in source.notes if note.startswith("warning")]
    assert f"the folders {names} have the same images, each of which is here 3 times; give the path of" in note
    assert f"({first.rpartition('/')[2]})" in note
    assert not source.parts
    with pytest.raises(UserError, match=r"^--split-column split: the folders .* have the same images, so") as caught:
        found(data, "split")
    one = Path(str(caught.value).rpartition(": ")[2])
    assert one == data / first
    assert found(one, "split").parts == "8 train, 4 validation images, kept apart"


def test_parts_that_have_the_same_images_are_no_split(tmp_path: Path) -> None:
    data = write(tmp_path / "data", 1, "train", below=("x", "x"))
    shutil.copytree(data / "train", data / "val")
    with pytest.raises(UserError, match="the folders train, val have the same images"):
        found(data, "split")


def test_other_images_of_the_same_names_are_a_split(tmp_path: Path) -> None:
    data = write(tmp_path, 3, "fold{}", below=("x", "x"), same=False)
    assert found(data, "split").parts == "12 fold 1, 12 fold 2, 12 fold 3 images, kept apart"
