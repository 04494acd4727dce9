"""Synthetic cells of the sample set, and how classes and subjects differ.

An image simulates microscopy: stain absorbs light (Beer-Lambert law), the lens blurs it, the camera adds noise, and a
segmentation cuts the cell out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from leukemia import HEM

SIDE_PX = 450
"""Side of an image, as in C-NMC's training set."""

Plane = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CellType:
    """Typical properties of the cells of one class; individual cells vary widely."""

    radius_px: float
    """Mean radius. Chosen so that both classes together match the sizes of C-NMC's cells."""

    nucleus_ratio: float
    """Radius of the nucleus relative to the cell, 0..1."""

    clump_px: float
    """Width of chromatin clumps."""

    clump_contrast: float
    """Standard deviation of the clumps' stain density, relative to a nucleus density of 1."""

    grain_contrast: float
    """The same for the fine grain of open chromatin."""

    irregularity: float
    """Amplitude of dents and bulges of the outline, relative to the radius."""

    nucleoli: float
    """Mean number of visible nucleoli."""

    density: float
    """Mean stain density of the nucleus."""


CELL_TYPES = (
    CellType(
        radius_px=101, nucleus_ratio=0.81, clump_px=22, clump_contrast=0.10, grain_contrast=0.03,
        irregularity=0.03, nucleoli=0.4, density=1.01,
    ),
    CellType(
        radius_px=114, nucleus_ratio=0.89, clump_px=14, clump_contrast=0.055, grain_contrast=0.055,
        irregularity=0.06, nucleoli=1.6, density=0.98,
    ),
)  # fmt: skip
"""By label. Blasts differ from mature lymphocytes as haematologists describe them: larger, with less cytoplasm, finer
chromatin, visible nucleoli and a less regular outline (Bain, *Leukaemia Diagnosis*, 2017). The values are choices of
this project."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A person with the stain and camera of their slide: the same in all images, independent of the class."""

    label: int
    number: int
    light: tuple[float, float, float]
    """Brightness of the empty slide (red, green, blue), 0..255: exposure and white balance."""

    stain: tuple[float, float, float]
    """Absorbance at density 1 (red, green, blue), base e."""

    blur_px: float
    """Standard deviation of the lens blur."""

    noise: float
    """Standard deviation of the camera noise on the 0..255 scale."""

    growth: float
    """Size of this person's cells relative to the class mean."""

    @property
    def name(self) -> str:
        """As in C-NMC's file names: healthy subjects have the prefix ``H``."""
        return f"H{self.number}" if self.label == HEM else f"{self.number}"


def subjects(seed: int, label: int, first: int, count: int) -> list[Subject]:
    """``count`` subjects of one class, numbered from ``first``; stains and cameras vary equally in both classes."""
    rng = np.random.default_rng((seed, label, first))
    # A Latin hypercube (McKay et al., 1979): with so few subjects, independent draws could give one class redder slides
    # by chance, and colour would then separate the classes.
    strata = rng.permuted(np.tile(np.arange(count), (8, 1)), axis=1).T
    spread = 2 * (strata + rng.random((count, 8))) / count - 1
    return [_subject(label, first + k, row) for k, row in enumerate(spread)]


def _subject(label: int, number: int, traits: NDArray[np.float64]) -> Subject:
    """A subject from eight numbers in -1..1; colours follow C-NMC's cells, mean (68, 28, 78)."""
    red, green, blue, exposure, stain, blur, noise, growth = (float(trait) for trait in traits)
    return Subject(
        label=label,
        number=number,
        light=(
            150 * math.exp(0.10 * (red + exposure)),
            117 * math.exp(0.10 * (green + exposure)),
            130 * math.exp(0.10 * (blue + exposure)),
        ),
        stain=(0.84 * math.exp(0.08 * stain), 1.49 * math.exp(0.08 * stain), 0.57 * math.exp(0.08 * stain)),
        blur_px=1.4 + 0.6 * blur,
        noise=1.4 + 0.6 * noise,
        growth=math.exp(0.06 * growth),
    )


def draw_cell(subject: Subject, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One segmented cell on black: (450, 450, 3) uint8 RGB."""
    cell_type = CELL_TYPES[subject.label]
    angle, distance = _polar(rng)
    angles = np.linspace(-np.pi, np.pi, 1441)
    outline = (
        cell_type.radius_px * subject.growth * rng.lognormal(0, 0.11) * _outline(cell_type.irregularity, angles, rng)
    )
    outline = np.clip(outline, 20, SIDE_PX / 2 - 5)
    inside = np.interp(angle, angles, outline).astype(np.float32) - distance
    density = _density(cell_type, angle, distance, inside, rng)
    # Chromatic aberration and refocusing differ by colour, hence bluish and reddish fringes.
    hue = 0.03 * _noise(45, rng)
    absorbance = [subject.stain[0] * (density + hue), subject.stain[1] * density, subject.stain[2] * (density - hue)]
    shift = rng.normal(0, 0.8, 2)
    planes = [
        _shifted(cv2.GaussianBlur(light * np.exp(-plane), (0, 0), subject.blur_px), side * shift)
        for light, plane, side in zip(subject.light, absorbance, (1, 0, -1), strict=True)
    ]
    rgb = np.stack(planes, axis=2) * rng.lognormal(0, 0.04)
    rgb += cv2.GaussianBlur(rng.standard_normal(rgb.shape, dtype=np.float32), (0, 0), 0.6) * (2 * subject.noise)
    mask = _segmented(inside, angle, angles, rng)
    # At least 1 inside the cell: 0 is the background, as in C-NMC.
    pixels = np.clip(np.rint(rgb), 1, 255).astype(np.uint8)
    pixels[~mask] = 0
    return pixels


def _polar(rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Angle in radians and distance in pixels of every pixel from a point near the image centre."""
    middle, pixels = (SIDE_PX - 1) / 2, np.arange(SIDE_PX, dtype=np.float32)
    x, y = pixels - (middle + rng.normal(0, 2)), pixels[:, None] - (middle + rng.normal(0, 2))
    return np.arctan2(y, x), np.hypot(x, y)


def _outline(irregularity: float, angles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Radius over mean radius, by angle: a Fourier series with an oval (order 2) and dents (orders 3 to 7)."""
    orders = np.arange(2, 8)
    amplitude = irregularity * rng.lognormal(0, 0.35) * 2.2 / orders
    amplitude[0] = 0.05
    waves = np.cos(orders[:, None] * angles + rng.uniform(0, 2 * np.pi, (len(orders), 1)))
    return 1 + (amplitude * rng.normal(0, 1, len(orders))) @ waves


def _density(cell_type: CellType, angle: Plane, distance: Plane, inside: Plane, rng: np.random.Generator) -> Plane:
    """Stain density of every pixel: about 0.1 on the empty slide, 0.75 in cytoplasm, 1 in the nucleus."""
    ratio = min(cell_type.nucleus_ratio + rng.normal(0, 0.05), 0.97)
    # An eccentric nucleus: its radius follows the cell's but is larger on one side.
    ratio_here = np.minimum(ratio * (1 + rng.uniform(0, 0.07) * np.cos(angle - rng.uniform(-np.pi, np.pi))), 0.98)
    nucleus = np.clip(((inside + distance) * ratio_here - distance) / 7 + 0.5, 0, 1)
    cell = np.clip(inside / 5 + 0.5, 0, 1)
    texture = (
        cell_type.clump_contrast * rng.lognormal(0, 0.2) * _noise(cell_type.clump_px * rng.lognormal(0, 0.15), rng)
    )
    texture += cell_type.grain_contrast * rng.lognormal(0, 0.25) * _noise(7, rng)
    # Gaps between the chromatin let light through: bright spots.
    texture -= 0.2 * np.maximum(_noise(12, rng) - 1.3, 0)
    texture += 0.05 * _noise(90, rng) + _nucleoli(cell_type, float(inside.max()), rng)
    nucleus_density = cell_type.density * rng.lognormal(0, 0.05)
    cytoplasm = 0.76 + 0.05 * _noise(30, rng)
    return 0.1 + cell * (cytoplasm - 0.1) + nucleus * (nucleus_density - cytoplasm + texture)


def _noise(width_px: float, rng: np.random.Generator) -> Plane:
    """Smooth noise over the image, mean 0 and variance 1, with spots of about ``width_px``."""
    side = int(np.ceil(3 * SIDE_PX / width_px)) + 4
    coarse = cv2.GaussianBlur(rng.standard_normal((side, side), dtype=np.float32), (0, 0), 1.2)
    coarse = (coarse - coarse.mean()) / coarse.std()
    smooth: Plane = cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return smooth


def _nucleoli(cell_type: CellType, radius_px: float, rng: np.random.Generator) -> Plane:
    """Change of density due to nucleoli: pale discs with a darker ring of chromatin."""
    change = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for _ in range(rng.poisson(cell_type.nucleoli)):
        offset, angle = radius_px * 0.6 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        centre = (round(SIDE_PX / 2 + offset * np.cos(angle)), round(SIDE_PX / 2 + offset * np.sin(angle)))
        size = round(rng.uniform(9, 17))
        cv2.circle(change, centre, size + 4, 0.06, -1)
        cv2.circle(change, centre, size, -rng.uniform(0.12, 0.22), -1)
    blurred: Plane = cv2.GaussianBlur(change, (0, 0), 4)
    return blurred


def _shifted(plane: Plane, by_px: NDArray[np.float64]) -> Plane:
    """The plane, shifted by a fraction of a pixel."""
    matrix = np.array([[1, 0, by_px[0]], [0, 1, by_px[1]]])
    shifted: Plane = cv2.warpAffine(plane, matrix, plane.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    return shifted


def _segmented(inside: Plane, angle: Plane, angles: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The mask of an imperfect segmentation: a frayed edge, occasionally a straight cut."""
    orders = np.arange(6, 40)
    waves = np.cos(orders[:, None] * angles + rng.uniform(0, 2 * np.pi, (len(orders), 1)))
    fray = 1.5 + (rng.exponential(1, len(orders)) * 4 / orders) @ waves
    mask = inside > np.interp(angle, angles, fray)
    if rng.random() < 0.15:
        # The box of a neighbouring cell, or the border of the smear image. The rotated mask is a view of the mask.
        rotated = np.rot90(mask, int(rng.integers(4)))
        rows = np.flatnonzero(rotated.any(axis=1))
        rotated[: rows[0] + round(rng.uniform(0.03, 0.12) * len(rows))] = False
    return mask
