"""What all plots share: colours, figures, axes, files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leukemia.base.files import atomic

# Colour-blind safe: Okabe & Ito (2008), "Color Universal Design".
BLUE, ORANGE, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#333333", "#8A8A8A"
SKY, PURPLE = "#56B4E9", "#CC79A7"

DPI = 160
"""Dots per inch: pictures are shown at 96 a pixel, finer ones stay crisp on dense screens."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches, without pyplot's global state: no display, nothing to close."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def new_canvas(num_panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of that many inches, and its panels side by side."""
    figure = new_figure(width, height)
    return figure, [style_axes(axes) for axes in figure.subplots(1, num_panels, squeeze=False)[0]]


def style_axes(axes: Axes) -> Axes:
    """The same axes, with the spines, grid and ticks of all plots."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    return axes


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic(path) as temporary:
        # Without the version of matplotlib inside, equal pictures are equal files.
        figure.savefig(temporary, format="png", metadata={"Software": None})


def time_unit(seconds: float) -> tuple[int, str]:
    """Seconds in the unit that suits the longest span, and its name."""
    return (3600, "hours") if seconds >= 7200 else (60, "minutes") if seconds >= 120 else (1, "seconds")


def require_columns(table: pd.DataFrame, name: str, columns: tuple[str, ...]) -> None:
    """Check a table to be drawn.

    Args:
        name: of the table, for the message.

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{name}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing")
    if table.empty:
        raise ValueError(f"{name}: expected at least one row, got none")
