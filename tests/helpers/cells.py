"""Small images that can be learned, in C-NMC's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from leukemia import CLASS_NAMES

NUM_SUBJECTS = 6
"""Subjects of each class in ``tiny_folder``."""


SIZE_PX = 32


def draw_cell(generator: np.random.Generator, label: int) -> np.ndarray:
    """A purple disc on black, (32, 32, 3) uint8; leukemic ones are larger, with overlapping sizes."""
    radius = (7.0, 11.0)[label] + generator.normal(0.0, 0.8)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX] - (SIZE_PX - 1) / 2
    disc = (rows**2 + columns**2 < radius**2)[:, :, None] * np.array([130.0, 60.0, 150.0])
    return np.clip(disc + generator.normal(0.0, 8.0, disc.shape), 0, 255).astype(np.uint8)


def draw_cells(folder: Path, *, seed: int, subjects: range = range(1, NUM_SUBJECTS + 1), per_subject: int = 4) -> Path:
    """Write images with C-NMC's layout and names: ``fold_K/{hem,all}/UID_SUBJECT_N_1_CLASS.png``; subjects Hn and n."""
    generator = np.random.default_rng(seed)
    for label, name in enumerate(CLASS_NAMES):
        for subject in subjects:
            target = folder / f"fold_{subject % 3}" / name
            target.mkdir(parents=True, exist_ok=True)
            for number in range(1, per_subject + 1):
                file = f"UID_{'H' if label == 0 else ''}{subject}_{number}_1_{name}.png"
                Image.fromarray(draw_cell(generator, label)).save(target / file)
    return folder


@dataclass(frozen=True, kw_only=True)
class TinyImages:
    """Learnable images in memory."""

    images: np.ndarray
    """uint8 (48, 32, 32, 3)."""

    labels: np.ndarray
    """int64 (48,): alternately 0 and 1."""
