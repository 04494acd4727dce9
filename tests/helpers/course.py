"""The layout of a course on leukemia cell classification: three CSVs, and images numbered from 0 in each part."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helpers.cells import draw_cell
from PIL import Image

FULL_SIZE = {"train": 7_995, "valid": 1_599, "test": 1_067}
"""Number of images of each part of the course's own copy of C-NMC."""

LISTS = {"train": "train.csv", "valid": "valid.csv", "test": "resnet_18_test.csv"}
"""The CSV of each part; that of ``test`` has no labels."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """Where the parts of the layout are."""

    folder: Path
    train: Path
    valid: Path
    test: Path


def write_lists(folder: Path, sizes: dict[str, int]) -> Course:
    """Write the CSVs: labels alternate, and image ``N`` of a part is ``new_dataset/PART/N.bmp``."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in sizes.items():
        rows = [f"new_dataset/{part}/{number}.bmp" for number in range(size)]
        if part != "test":
            rows = [f"{row},{number % 2}" for number, row in enumerate(rows)]
        header = "Path" if part == "test" else "Path,label"
        (folder / LISTS[part]).write_text("\n".join([header, *rows]) + "\n")
    return Course(folder=folder, **{part: folder / name for part, name in LISTS.items()})


def draw_course(folder: Path, *, train: int = 12, valid: int = 4, test: int = 3, seed: int = 0) -> Course:
    """The layout with small images that can be learned; all differ."""
    generator, sizes = np.random.default_rng(seed), {"train": train, "valid": valid, "test": test}
    for part, size in sizes.items():
        images = folder / "new_dataset" / part
        images.mkdir(parents=True)
        for number in range(size):
            Image.fromarray(draw_cell(generator, number % 2)).save(images / f"{number}.bmp")
    return write_lists(folder, sizes)


def name_course(folder: Path) -> Course:
    """The layout at full size, by names only: every image is a link to one empty file."""
    empty = folder / "empty"
    empty.parent.mkdir(parents=True, exist_ok=True)
    empty.touch()
    for part, size in FULL_SIZE.items():
        images = folder / "new_dataset" / part
        images.mkdir(parents=True)
        for number in range(size):
            os.link(empty, images / f"{number}.bmp")
    return write_lists(folder, FULL_SIZE)
