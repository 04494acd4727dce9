"""Colours, figure size, axis style and file format of the pictures that show images or belong to a delivered model."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
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


def new_canvas(num_panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with a size in inches, and its panels from left to right."""
    figure = new_figure(width, height)
    return figure, [style_axes(axes) for axes in figure.subplots(1, num_panels, squeeze=False)[0]]


def style_axes(axes: Axes) -> Axes:
    """Apply the common style of spines, grid and ticks; returns the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    return axes


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic(path) as temporary:
        # Omit matplotlib's version, so that equal pictures give equal files.
        figure.savefig(temporary, format="png", metadata={"Software": None})
