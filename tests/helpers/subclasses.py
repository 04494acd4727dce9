"""Data sets of four classes, in folders as Taleqani Hospital's: small with pixels, or at full size by names only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.cells import draw_cell
from PIL import Image

FULL = {"Benign": 504, "Early": 985, "Pre": 963, "Pro": 804}
"""Numbers of images by folder, 3,256 in all, of the data set as published (doi:10.34740/KAGGLE/DSV/2175623)."""


def draw_folders(root: Path, *, per_folder: int = 6, seed: int = 0, names: tuple[str, ...] = tuple(FULL)) -> Path:
    """Write ``NAME/WBC-NAME-001.png`` of 32 px for each name; the first one is normal, the others are leukemic."""
    generator = np.random.default_rng(seed)
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for image in range(1, per_folder + 1):
            pixels = draw_cell(generator, min(number, 1))
            Image.fromarray(pixels).save(root / name / f"WBC-{name}-{image:03d}.png")
    return root


def name_folders(root: Path) -> Path:
    """Empty files with the names of the full data set: enough for finding images, which decodes none."""
    for name, number in FULL.items():
        (root / name).mkdir(parents=True)
        kind = name if name == "Benign" else f"Malignant-{name}"
        for image in range(1, number + 1):
            (root / name / f"WBC-{kind}-{image:03d}.jpg").touch()
    return root
