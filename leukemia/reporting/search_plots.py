"""Plots of a search: scores, device time, importances, score against cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from leukemia.reporting.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    new_canvas,
    require_columns,
    save_figure,
    time_unit,
)

STATES: dict[str, tuple[str, str]] = {
    "complete": (BLUE, "o"),
    "stopped": (ORANGE, "v"),
    "failed": (INK, "x"),
    "waiting": (SKY, "s"),
}
"""Colour and marker of each state of a trial that does not run; markers differ too, for colour-blind readers."""

SPENDING: dict[str, tuple[str, str]] = {
    "useful": (BLUE, ""),
    "repeats": (SKY, ""),
    "stopped": (ORANGE, "///"),
    "failed": (INK, ""),
    "waiting": (GREEN, "\\\\"),
    "redone": (PURPLE, "..."),
    "unfinished": (GREY, "xxx"),
}
"""Colour and hatch of each kind of device time, from the bottom of a bar to the top."""


def plot_search(
    trials: pd.DataFrame, path: Path, *, majority_rate: float | None = None, objective: str = "tta_accuracy"
) -> None:
    """Draw the score of every trial, the best complete score so far, and the majority rate.

    Args:
        trials: columns trial (int), state (a key of ``STATES``) and score (float, NaN if absent).
        majority_rate: draws a line if the objective is comparable with it; None draws none.
        objective: name of the score, for the axis.

    Raises:
        ValueError: a column is missing, there are no rows, or a state is unknown.
    """
    require_columns(trials, "trials", ("trial", "state", "score"))
    unknown = sorted(set(trials["state"]) - set(STATES))
    if unknown:
        raise ValueError(f"trials: expected a state of {', '.join(STATES)}, got {', '.join(map(str, unknown))}")
    figure, (axes,) = new_canvas(1, 8.5, 4.2)
    trials = trials.sort_values("trial")
    complete = trials[(trials["state"] == "complete") & trials["score"].notna()]
    if len(complete):
        # Extend the line of the best score to the last trial, complete or not.
        numbers = np.append(complete["trial"], trials["trial"].max())
        best = np.maximum.accumulate(np.append(complete["score"], -np.inf))
        axes.step(numbers, best, where="post", color=GREEN, linewidth=2, label="best complete so far")
    if majority_rate is not None:
        axes.axhline(majority_rate, color=GREY, linestyle="--", linewidth=1.2, label=f"majority {majority_rate:.3f}")
    for state in STATES:
        if (of_state := trials[trials["state"] == state]).size:
            _draw_trials(axes, of_state, state)
    axes.set(xlabel="trial", ylabel=f"score ({objective})")
    axes.margins(y=0.12)
    axes.set_xlim(trials["trial"].min() - 0.8, trials["trial"].max() + 0.8)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    save_figure(figure, path)


def plot_spending(trials: pd.DataFrame, path: Path, *, names: Mapping[str, str]) -> None:
    """Draw the device time of every trial as a bar stacked by kind; a pale bar on top shows what was saved.

    Args:
        trials: columns trial (int), left_out (what stopping or waiting saved) and the keys of ``SPENDING``, all in
            seconds.
        names: legend label of each kind.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(trials, "trials", ("trial", "left_out", *SPENDING))
    figure, (axes,) = new_canvas(1, 8.5, 3.8)
    kinds = [kind for kind in SPENDING if trials[kind].any()]
    tops = trials[[*SPENDING, "left_out"]].sum(axis=1)
    divisor, unit = time_unit(tops.max())
    bottom = np.zeros(len(trials))
    for kind in kinds:
        colour, hatch = SPENDING[kind]
        axes.bar(
            trials["trial"],
            trials[kind] / divisor,
            0.8,
            bottom=bottom,
            label=names[kind],
            color=colour,
            edgecolor="white",
            linewidth=0.6,
            hatch=hatch,
        )
        bottom += trials[kind].to_numpy() / divisor
    is_cut = (trials["left_out"] > 0).to_numpy()
    if is_cut.any():
        cut = trials[is_cut]
        axes.bar(
            cut["trial"],
            cut["left_out"] / divisor,
            0.74,
            bottom=bottom[is_cut],
            label="saved (estimate)",
            color=PALE,
        )
    axes.set(xlabel="trial", ylabel=f"device time ({unit})")
    axes.set_xlim(trials["trial"].min() - 0.8, trials["trial"].max() + 0.8)
    axes.set_ylim(0, 1.05 * max(tops.max(), 1e-9) / divisor)
    axes.grid(False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    save_figure(figure, path)


def plot_importances(importances: Mapping[str, float], path: Path) -> None:
    """Draw the share of the score's variance explained by each parameter, 0..1, the largest at the top.

    Raises:
        ValueError: the mapping is empty.
    """
    if not importances:
        raise ValueError("importances: expected at least one parameter, got none")
    # Ascending, because bars are drawn from the bottom up; ties are sorted by name.
    ranked = sorted(importances.items(), key=lambda item: (item[1], item[0]))
    shares = np.array([share for _, share in ranked])
    figure, (axes,) = new_canvas(1, 7.5, 0.9 + 0.28 * len(ranked))
    bars = axes.barh([name for name, _ in ranked], 100 * shares, 0.7, color=BLUE)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], padding=4, fontsize=9, color=INK)
    axes.set(xlabel="share of the score's variance (%)", xlim=(0, 112 * max(shares.max(), 0.01)))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    save_figure(figure, path)


def plot_front(trials: pd.DataFrame, path: Path, *, objective: str) -> None:
    """Draw score against device time of complete trials, with their Pareto front and the winner.

    Args:
        trials: columns trial (str), score, seconds, front (bool) and winner (bool).
        objective: name of the score, for the axis.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(trials, "trials", ("trial", "score", "seconds", "front", "winner"))
    figure, (axes,) = new_canvas(1, 8.5, 4.4)
    divisor, unit = time_unit(trials["seconds"].max())
    trials = trials.assign(time=trials["seconds"] / divisor).sort_values(["time", "score"])
    front, rest, winner = trials[trials["front"]], trials[~trials["front"]], trials[trials["winner"]]
    axes.scatter(rest["time"], rest["score"], c=GREY, s=32, alpha=0.8, label="complete trial")
    axes.step(front["time"], front["score"], where="post", color=BLUE, linewidth=1.2, alpha=0.6)
    axes.scatter(front["time"], front["score"], c=BLUE, marker="D", s=40, zorder=3, label="Pareto front")
    axes.scatter(
        winner["time"],
        winner["score"],
        label="winner",
        facecolors="none",
        edgecolors=ORANGE,
        linewidths=2.2,
        s=190,
        zorder=4,
    )
    for row in trials[trials["front"] | trials["winner"]].to_dict("records"):
        # The area above and left of the front is empty; next to a winner off the front it may not be.
        offset, side = ((-6, 6), "right") if row["front"] else ((9, -13), "left")
        point = (row["time"], row["score"])
        axes.annotate(row["trial"], point, offset, textcoords="offset points", ha=side, fontsize=9, color=INK)
    axes.set(xlabel=f"device time of all folds ({unit})", ylabel=f"score ({objective})")
    axes.margins(x=0.08, y=0.14)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    save_figure(figure, path)


def _draw_trials(axes: Axes, trials: pd.DataFrame, state: str) -> None:
    colour, marker = STATES[state]
    scored, unscored = trials[trials["score"].notna()], trials[trials["score"].isna()]
    axes.scatter(scored["trial"], scored["score"], c=colour, marker=marker, s=36, zorder=3, label=state)
    # Draw trials without a score at the bottom of the axes.
    bottom = np.full(len(unscored), 0.03)
    axes.scatter(
        unscored["trial"], bottom, c=colour, marker=marker, s=36, zorder=3, transform=axes.get_xaxis_transform()
    )
