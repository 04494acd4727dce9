"""Plots of the calibration of the probability of class 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from leukemia.reporting.canvas import BLUE, GREY, INK, ORANGE, new_figure, save_figure, style_axes
from leukemia.scoring.bootstrap import NUM_BINS
from leukemia.scoring.calibration import error_of, leukemic_bins


def plot_calibration(labels: ArrayLike, probabilities: ArrayLike, path: Path) -> None:
    """Draw a reliability diagram: the share of leukemic images in each bin of P(leukemic), and the number of images.

    Args:
        labels, probabilities: (n,), as in ``leukemia.scoring.metrics``.
    """
    figure, upper, lower = _axes()
    bins = leukemic_bins(labels, probabilities)
    counts, means, shares = bins.T
    lefts, width = np.arange(NUM_BINS) / NUM_BINS, 1 / NUM_BINS
    upper.bar(lefts, shares, width, align="edge", color=BLUE, alpha=0.35, edgecolor="white", label="share leukemic")
    upper.plot(means, shares, "o", color=BLUE, markersize=5, label="at mean probability")
    title = f"calibration error of P(leukemic) {error_of(bins):.3f} ({NUM_BINS} bins)"
    upper.set_title(title, fontsize=10.5, color=INK, loc="left")
    upper.legend(loc="upper left", fontsize=9, framealpha=0.9, edgecolor="none")
    lower.bar(lefts, counts, width, align="edge", color=GREY, edgecolor="white")
    save_figure(figure, path)


def plot_scaling(labels: ArrayLike, before: ArrayLike, after: ArrayLike, path: Path) -> None:
    """Draw reliability diagrams of probabilities before and after temperature scaling in one picture.

    Args:
        labels, before, after: (n,), as in ``leukemia.scoring.metrics``.
    """
    figure, upper, lower = _axes()
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    for name, probabilities, colour in (("before", before, ORANGE), ("after", after, BLUE)):
        bins = leukemic_bins(labels, probabilities)
        counts, means, shares = bins.T
        filled = counts > 0
        label = f"{name} scaling, error {error_of(bins):.3f}"
        upper.plot(means[filled], shares[filled], "o-", color=colour, markersize=5, linewidth=1.5, label=label)
        lower.stairs(counts, edges, color=colour, linewidth=1.5)
    upper.set_title("calibration of P(leukemic), out of fold", fontsize=10.5, color=INK, loc="left")
    upper.legend(loc="upper left", fontsize=9, framealpha=0.9, edgecolor="none")
    save_figure(figure, path)


def _axes() -> tuple[Figure, Axes, Axes]:
    """A figure with axes for shares, and below them axes for counts."""
    figure = new_figure(4.8, 5.2)
    upper, lower = (style_axes(axes) for axes in figure.subplots(2, 1, sharex=True, height_ratios=(3, 1)))
    upper.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    upper.set(ylabel="share of leukemic images", ylim=(0, 1.03))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.set(xlabel="probability of leukemic", ylabel="images", xlim=(0, 1))
    return figure, upper, lower
