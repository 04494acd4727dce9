"""Colours, figure size and file format of the pictures that show images."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from leukemia.base.files import atomic

# Colour-blind safe: Okabe & Ito (2008), "Color Universal Design".
BLUE, ORANGE, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#333333", "#8A8A8A"
SKY, PURPLE = "#56B4E9", "#CC79A7"

DPI = 160
"""Dots per inch. Browsers show 96 per inch; the rest keeps pictures sharp on high-density screens."""


def new_figure(width: float, height: float) -> Figure:
    """A figure with a size in inches, created without pyplot, so it needs no display and no closing."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic(path) as temporary:
        # Omit matplotlib's version, so that equal pictures give equal files.
        figure.savefig(temporary, format="png", metadata={"Software": None})
