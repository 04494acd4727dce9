"""Small data sets of the kinds that ``docs/data.md`` lists, with images that can be learned."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from helpers.cells import draw_cell
from PIL import Image

CELLS_PER_FIELD = 5
"""A crop of the shorter side keeps a fifth of a field."""


def draw_images(folder: Path, number: int, *, seed: int = 0) -> list[Path]:
    """Write ``001.png``, ``002.png``, ... of 32 px, normal and leukemic in turn; returns their paths."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{image + 1:03d}.png" for image in range(number)]
    for image, path in enumerate(paths):
        Image.fromarray(draw_cell(generator, image % 2)).save(path)
    return paths


def write_csv(path: Path, number: int, *, seed: int = 0, delimiter: str = ",", **columns: Sequence[object]) -> Path:
    """Write images to ``NAME/`` and their list to ``NAME.csv``: Path, label and ``columns``, with blanks for ``_``."""
    images = draw_images(path.with_suffix(""), number, seed=seed)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(["Path", "label", *(name.replace("_", " ") for name in columns)])
        for row, (image, *values) in enumerate(zip(images, *columns.values(), strict=True)):
            writer.writerow([image.relative_to(path.parent).as_posix(), row % 2, *values])
    return path


def write_patients(path: Path, *, patients: int, per_patient: int = 2, first: int = 1, seed: int = 0) -> Path:
    """A CSV with a column ``Patient ID``: patients from ``first``, the odd ones normal and the even ones leukemic."""
    images = range(patients * per_patient)
    # As labels alternate, so do the two patients of each pair.
    names = [f"P{first + image // (2 * per_patient) * 2 + image % 2:02d}" for image in images]
    return write_csv(path, len(images), seed=seed, Patient_ID=names)


def draw_fields(folder: Path, number: int, *, cells: int = CELLS_PER_FIELD, seed: int = 0) -> Path:
    """Fields with ALL-IDB's names, ``Im001_0.png``: ``cells`` of 32 px side by side, all normal or all leukemic."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for field in range(number):
        drawn = [draw_cell(generator, field % 2) for _ in range(cells)]
        Image.fromarray(np.hstack(drawn)).save(folder / f"Im{field + 1:03d}_{field % 2}.png")
    return folder
