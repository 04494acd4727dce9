"""The plot of the ladder: the trials in fold 0, the rungs, and who went on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from leukemia.reporting.canvas import BLUE, GREY, INK, ORANGE, SKY, new_canvas, require_columns, save_figure


@dataclass(frozen=True, kw_only=True)
class _Style:
    colour: str
    line: str
    marker: str
    """At the last epoch; markers and lines differ too, for colour-blind readers."""

    width: float


FATES: dict[str, _Style] = {
    "waits": _Style(colour=SKY, line="-", marker="s", width=0.9),
    "ended in fold 0": _Style(colour=ORANGE, line="--", marker="v", width=1.0),
    "trains in fold 0": _Style(colour=INK, line=":", marker=">", width=1.2),
    "went on to other folds": _Style(colour=BLUE, line="-", marker="o", width=1.2),
}
"""What became of a trial, in the order of drawing: those that went on, which are few, come last."""


def plot_ladder(curves: pd.DataFrame, path: Path, *, rungs: Mapping[str, float]) -> None:
    """Draw the validation accuracy of each trial over fold 0, with a vertical line for each rung.

    The horizontal axis has a square-root scale, since most trials wait early.

    Args:
        curves: columns trial (int), share (of the fold's epochs, 0..1), accuracy (0..1) and fate (a key of ``FATES``);
            the rows of a trial in ascending order of shares.
        rungs: the share of the fold by label, ascending.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(curves, "curves", ("trial", "share", "accuracy", "fate"))
    figure, (axes,) = new_canvas(1, 8.5, 4.6)
    for fate, style in FATES.items():
        trials = [trial for _, trial in curves[curves["fate"] == fate].groupby("trial")]
        # Many lines lie over each other.
        alpha = 0.85 if len(trials) <= 40 else 0.5
        for trial in trials:
            axes.plot(
                100 * trial["share"],
                trial["accuracy"],
                style.line,
                color=style.colour,
                linewidth=style.width,
                alpha=alpha,
            )
        if trials:
            last = pd.concat([trial.tail(1) for trial in trials])
            label = f"{fate} ({len(trials)})"
            # A white edge separates markers that touch.
            points = 100 * last["share"], last["accuracy"]
            axes.scatter(
                *points,
                c=style.colour,
                marker=style.marker,
                s=20,
                edgecolors="white",
                linewidths=0.5,
                zorder=3,
                label=label,
            )
    for index, (label, share) in enumerate(rungs.items()):
        axes.axvline(100 * share, color=GREY, linewidth=1.2, zorder=0)
        # In two rows, because the first rungs are close to each other.
        axes.annotate(
            label,
            (100 * share, 1.0),
            (0, 4 + 12 * (index % 2)),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center" if share < 1 else "right",
            fontsize=8,
            color=INK,
        )
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set(xlabel="share of fold 0 trained (%), square-root scale", ylabel="validation accuracy", xlim=(0, 103))
    axes.set_xticks([0, 2, 5, 10, 15, 20, 30, 45, 60, 80, 100])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    save_figure(figure, path)
