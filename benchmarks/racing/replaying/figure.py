"""Plot regret over device time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLORS = {
    "random": "#7f7f7f",
    "stock": "#d62728",
    "wilcoxon": "#9467bd",
    "aggressive, tpe": "#ff7f0e",
    "bbcd": "#bcbd22",
    "ours": "#1f77b4",
    "ours, parallel folds": "#17becf",
    "oracle stopper": "#000000",
}
"""The searches drawn, a subset of those replayed."""


def draw_regret(regrets: Mapping[str, np.ndarray], device_seconds: np.ndarray, title: str, path: Path) -> None:
    """Plot the median over seeds with the quartiles as a band.

    Args:
        regrets: by search float64 (seeds, times), 0..1.
        device_seconds: float64 (times,).
    """
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for name, color in COLORS.items():
        low, middle, high = 100 * np.quantile(regrets[name], [0.25, 0.5, 0.75], axis=0)
        style = ":" if name.startswith("oracle") else "-"
        axes.plot(device_seconds / 60, middle, style, color=color, label=name, linewidth=1.8)
        if style == "-":
            axes.fill_between(device_seconds / 60, low, high, color=color, alpha=0.12, linewidth=0)
    axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", xlabel="device minutes, all workers", ylabel="regret, points of accuracy", title=title)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
