"""The column of a table that names its images, among several, or where it has no usual name."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.second_try import found, refusal, rows_of, touch, write

IMAGES = [f"images/img_{number:02d}.png" for number in range(6)]
MASKS = [path.replace("images", "masks") for path in IMAGES]
EXPECTED = {path: number % 2 for number, path in enumerate(IMAGES)}


def labels_of(data: Path, header: str, row: str) -> dict[str, int | None]:
    lines = [row.format(n=n, label=n % 2) for n in range(6)]
    write(data, {"list.csv": "\n".join([header, *lines])})
    return {path: label for path, (label, _, _) in rows_of(found(data)).items()}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("cell,label", "img_{n:02d},{label}"),
        (",label", "img_{n:02d},{label}"),
        ("case,label", "img_{n:02d},{label}"),
        ("path,crop,label", "/old/{n}.tif,img_{n:02d}.png,{label}"),
        ("image,label,name", "{n},{label},img_{n:02d}"),
        ("cell,file,label", "img_{n:02d},images/img_{n:02d}.png,{label}"),
        ("cell,copy,label", "images/img_{n:02d}.png,./images/img_{n:02d}.png,{label}"),
        ("mask,cell,label", "masks/img_{n:02d}.png,images/img_{n:02d}.png,{label}"),
    ],
)
def test_the_column_that_resolves_to_files_is_read(tmp_path: Path, header: str, row: str) -> None:
    assert labels_of(touch(tmp_path, *IMAGES, *(MASKS if "mask" in header else ())), header, row) == EXPECTED


def test_the_cells_of_a_field_are_read_rather_than_the_field(tmp_path: Path) -> None:
    touch(tmp_path, *IMAGES, "fields/f0.png", "fields/f1.png")
    header, row = "image,crop,label", "fields/f0.png,images/img_{n:02d}.png,{label}"
    assert labels_of(tmp_path, header, row) == EXPECTED


def test_two_columns_of_different_cells_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *IMAGES, *(path.replace("images", "left") for path in IMAGES))
    write(
        tmp_path,
        {"list.csv": "a,b,label\n" + "".join(f"images/img_{n:02d}.png,left/img_{n:02d}.png,1\n" for n in range(6))},
    )
    assert "the columns a, b have names of images; leave only one of them" in refusal(tmp_path)


@pytest.mark.parametrize("folder", ["/home/anna/export", "C:\\\\Users\\\\anna", "old/cells"])
def test_paths_of_another_machine_are_read_by_their_names(tmp_path: Path, folder: str) -> None:
    separator = "\\" if "\\" in folder else "/"
    row = f"{folder}{separator}img_{{n:02d}}.png,{{label}}"
    assert labels_of(touch(tmp_path, *IMAGES), "Path,label", row) == EXPECTED


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        # Another part of a split, another class, two images of a name, and one that is missing.
        ([f"valid/img_{n:02d}.png" for n in range(6)], "/old/train"),
        ([f"hem/img_{n:02d}.png" for n in range(6)], "/old/all"),
        ([*IMAGES, "more/img_00.png"], "/old/x"),
        (IMAGES[1:], "/old/x"),
    ],
)
def test_paths_of_other_images_are_not(tmp_path: Path, names: list[str], folder: str) -> None:
    touch(tmp_path, *names)
    write(tmp_path, {"list.csv": "Path,label\n" + "".join(f"{folder}/img_{n:02d}.png,{n % 2}\n" for n in range(6))})
    assert "none of the 6 images exists below" in refusal(tmp_path / "list.csv")
