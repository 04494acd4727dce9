"""Lists without labels, one for each class, whose names are the labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.tables import labels_of, touch, typed, write_lines


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return touch(tmp_path, *(f"images/{number}.png" for number in range(8)))


def write(folder: Path, first: str, second: str, header: tuple[str, ...] = ()) -> None:
    write_lines(folder / first, *header, *(f"images/{number}.png" for number in range(4)))
    write_lines(folder / second, *header, *(f"images/{number}.png" for number in range(4, 8)))


@pytest.mark.parametrize(
    ("normal", "leukemic", "header"), [("HEM.txt", "ALL.txt", ()), ("normal.csv", "leukemia.csv", ("file",))]
)
def test_known_names_of_lists_are_labels(images: Path, normal: str, leukemic: str, header: tuple[str, ...]) -> None:
    write(images, normal, leukemic, header)
    source = typed(images)
    assert labels_of(source) == {f"images/{number}.png": int(number > 3) for number in range(8)}
    assert f"classes (images): normal = {Path(normal).stem} (4); leukemic = {Path(leukemic).stem} (4)" in source.notes
    assert {row.split for row in source.rows} == {None}


def test_other_names_of_lists_are_mapped(images: Path) -> None:
    write(images, "lymphocytes.txt", "blasts.txt")
    with pytest.raises(UserError, match=r"the lists have no labels, but each may be of a class; .*:\n  blasts \(4\)\n"):
        typed(images)
    assert sum(labels_of(typed(images, options="--classes normal=lymphocytes leukemic=blasts")).values()) == 4


def test_lists_of_parts_and_of_the_same_images_are_no_classes(images: Path) -> None:
    write(images, "train.txt", "test.txt")
    with pytest.raises(UserError, match="expected a column of labels"):
        typed(images)
    for name in ("train.txt", "test.txt"):
        (images / name).unlink()
    write(images, "HEM.txt", "ALL.txt")
    write_lines(images / "ALL.txt", "images/0.png", "images/1.png")
    with pytest.raises(UserError, match="the CSVs have 2 images in common"):
        typed(images)
