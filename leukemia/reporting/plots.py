"""Pictures of a report; the only room with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from leukemia.base.files import atomic
from leukemia.scoring.metrics import NUM_BINS, THRESHOLD, calibration_bins, point_scores, roc_points

# Colour-blind safe: Okabe & Ito (2008), "Color Universal Design".
BLUE, ORANGE, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#333333", "#8A8A8A"
SKY, PURPLE = "#56B4E9", "#CC79A7"

STATES: dict[str, tuple[str, str]] = {"complete": (BLUE, "o"), "stopped": (ORANGE, "v"), "failed": (INK, "x")}
"""States that a trial ends in, with colour and marker: shape tells them apart as well, for those who see no colour."""

SPENDING: dict[str, tuple[str, str]] = {
    "useful": (BLUE, ""),
    "repeats": (SKY, ""),
    "stopped": (ORANGE, "///"),
    "failed": (INK, ""),
    "redone": (PURPLE, "..."),
    "unfinished": (GREY, "xxx"),
}
"""What device time goes into, from the foot of a bar up, with colour and hatch."""

_CLASS_LABELS = ("normal (hem)", "leukemic (all)")

DPI = 160
"""Dots per inch: pictures are shown at 96 a pixel, finer ones stay crisp on dense screens."""


def plot_confusion(matrix: ArrayLike, path: Path) -> None:
    """Draw a confusion matrix, counts (2, 2), rows true and columns predicted, in the order hem, all."""
    counts = np.asarray(matrix)
    if counts.shape != (2, 2):
        raise ValueError(f"matrix: expected shape (2, 2), got {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = _canvas(1, 4.8, 4.4)
    axes.grid(False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        share = shares[row, column]
        colour = "white" if share > 0.55 else INK
        axes.text(column, row - 0.06, f"{counts[row, column]:,}", ha="center", color=colour, fontsize=17, weight="bold")
        axes.text(column, row + 0.18, f"{100 * share:.1f} % of row", ha="center", color=colour, fontsize=10)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_xticks((0, 1), _CLASS_LABELS)
    axes.set_yticks((0, 1), _CLASS_LABELS, rotation=90, va="center")
    axes.tick_params(length=0)
    _save(figure, path)


def plot_roc(labels: ArrayLike, probabilities: ArrayLike, path: Path) -> None:
    """Draw the ROC curve and where the threshold of 0.5 lies on it; labels and probabilities (n,) as in ``metrics``.

    With one class only the picture says that the curve is not defined.
    """
    figure, (axes,) = _canvas(1, 4.8, 4.6)
    points = point_scores(labels, probabilities)
    if math.isnan(points["auroc"]):
        axes.text(0.5, 0.5, "not defined: only one class", ha="center", va="center", color=INK, fontsize=12)
    else:
        axes.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="chance")
        axes.plot(*roc_points(labels, probabilities), color=BLUE, linewidth=2, label=f"AUROC {points['auroc']:.3f}")
        threshold = (1 - points["specificity"], points["sensitivity"])
        axes.plot(*threshold, "o", color=ORANGE, markersize=8, label=f"threshold {THRESHOLD}")
        axes.legend(loc="lower right", frameon=False)
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (sensitivity)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    _save(figure, path)


def plot_calibration(labels: ArrayLike, probabilities: ArrayLike, path: Path) -> None:
    """Draw a reliability diagram: accuracy in each bin of confidence, and below how many images each bin holds."""
    counts, confidence, accuracy = calibration_bins(labels, probabilities).T
    lefts, width = np.arange(NUM_BINS) / NUM_BINS, 1 / NUM_BINS
    figure = _figure(4.8, 5.2)
    upper, lower = (_style(axes) for axes in figure.subplots(2, 1, sharex=True, height_ratios=(3, 1)))
    upper.bar(lefts, accuracy, width, align="edge", color=BLUE, alpha=0.35, edgecolor="white", label="accuracy")
    upper.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    upper.plot(confidence, accuracy, "o", color=BLUE, markersize=5, label="at mean confidence")
    error = point_scores(labels, probabilities)["ece"]
    upper.set_title(f"expected calibration error {error:.3f} ({NUM_BINS} bins)", fontsize=10.5, color=INK, loc="left")
    upper.set(ylabel="accuracy", ylim=(0, 1.03))
    upper.legend(loc="lower right", fontsize=9, framealpha=0.9, edgecolor="none")
    lower.bar(lefts, counts, width, align="edge", color=GREY, edgecolor="white")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    # Confidence in the predicted one of two classes is never below 0.5; the bin that holds 0.5 begins at 7/15.
    lower.set(xlabel="confidence in the predicted class", ylabel="images", xlim=(7 / NUM_BINS, 1.0))
    _save(figure, path)


def plot_curves(epochs: pd.DataFrame, path: Path) -> None:
    """Draw loss, accuracy and learning rate over epochs, a thin line per fold and seed and a thick one for their mean.

    Args:
        epochs: columns fold, seed, epoch, train_loss, train_accuracy, validation_loss, validation_accuracy,
            learning_rate; an absent validation is NaN.

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    series = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "learning_rate")
    _require(epochs, "epochs", ("fold", "seed", "epoch", *series))
    figure, panels = _canvas(3, 11.5, 3.6)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=False):
        for side, colour in (("train", ORANGE), ("validation", BLUE)):
            _draw_runs(axes, epochs, f"{side}_{name}", colour, side)
        axes.legend(frameon=False)
    _draw_runs(panels[2], epochs, "learning_rate", INK, "learning rate")
    losses = epochs[["train_loss", "validation_loss"]].to_numpy()
    losses = losses[np.isfinite(losses) & (losses > 0)]
    # One diverged epoch would otherwise press every other curve flat.
    logarithmic = len(losses) > 0 and losses.max() > 100 * np.median(losses)
    panels[0].set(ylabel="cross-entropy, log scale" if logarithmic else "cross-entropy (nats)", title="loss")
    panels[0].set_yscale("log" if logarithmic else "linear")
    panels[1].set(ylabel="share of images", ylim=(None, 1.01), title="accuracy")
    panels[2].set(ylabel="learning rate", ylim=(0, None), title="learning rate")
    panels[2].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    for axes in panels:
        axes.set(xlabel="epoch", xlim=(epochs["epoch"].min() - 0.5, epochs["epoch"].max() + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _save(figure, path)


def plot_search(
    trials: pd.DataFrame, path: Path, *, majority_rate: float | None = None, objective: str = "tta_accuracy"
) -> None:
    """Draw the score of every trial, the best complete one so far, and the rate of always answering one class.

    Args:
        trials: columns trial (int), state (a key of ``STATES``) and score (float, NaN for none).
        majority_rate: height of the line, for an objective that it can be compared with; None draws none.
        objective: what the score is, for the axis.

    Raises:
        ValueError: a column is missing, there is no row, or a state is unknown.
    """
    _require(trials, "trials", ("trial", "state", "score"))
    unknown = sorted(set(trials["state"]) - set(STATES))
    if unknown:
        raise ValueError(f"trials: expected a state of {', '.join(STATES)}, got {', '.join(map(str, unknown))}")
    figure, (axes,) = _canvas(1, 8.5, 4.2)
    trials = trials.sort_values("trial")
    complete = trials[(trials["state"] == "complete") & trials["score"].notna()]
    if len(complete):
        # The best stays the best until the last trial, complete or not.
        numbers = np.append(complete["trial"], trials["trial"].max())
        best = np.maximum.accumulate(np.append(complete["score"], -np.inf))
        axes.step(numbers, best, where="post", color=GREEN, linewidth=2, label="best complete so far")
    if majority_rate is not None:
        axes.axhline(majority_rate, color=GREY, linestyle="--", linewidth=1.2, label=f"majority {majority_rate:.3f}")
    for state in STATES:
        _draw_trials(axes, trials[trials["state"] == state], state)
    axes.set(xlabel="trial", ylabel=f"score ({objective})")
    axes.margins(x=0.03, y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False, fontsize=9)
    _save(figure, path)


def plot_spending(trials: pd.DataFrame, path: Path, *, names: Mapping[str, str]) -> None:
    """Draw the device time of every trial as a bar of its kinds; what stopping left out stands above it, hollow.

    Args:
        trials: columns trial (int), left_out and the keys of ``SPENDING``, all in seconds.
        names: each kind as the legend calls it.

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    _require(trials, "trials", ("trial", "left_out", *SPENDING))
    figure, (axes,) = _canvas(1, 8.5, 3.8)
    kinds = [kind for kind in SPENDING if trials[kind].any()]
    tops = trials[[*SPENDING, "left_out"]].sum(axis=1)
    divisor, unit = _time_unit(tops.max())
    foot = np.zeros(len(trials))
    for kind in kinds:
        colour, hatch = SPENDING[kind]
        axes.bar(
            trials["trial"],
            trials[kind] / divisor,
            0.8,
            bottom=foot,
            label=names[kind],
            color=colour,
            edgecolor="white",
            linewidth=0.6,
            hatch=hatch,
        )
        foot += trials[kind].to_numpy() / divisor
    is_cut = (trials["left_out"] > 0).to_numpy()
    if is_cut.any():
        cut = trials[is_cut]
        axes.bar(
            cut["trial"],
            cut["left_out"] / divisor,
            0.74,
            bottom=foot[is_cut],
            label="left out (estimate)",
            color="none",
            edgecolor=GREY,
            linestyle="--",
        )
    axes.set(xlabel="trial", ylabel=f"device time ({unit})")
    axes.set_xlim(trials["trial"].min() - 0.8, trials["trial"].max() + 0.8)
    axes.set_ylim(0, 1.05 * max(tops.max(), 1e-9) / divisor)
    axes.grid(False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    _save(figure, path)


def plot_importances(importances: Mapping[str, float], path: Path) -> None:
    """Draw the share of the score's variance that each parameter explains, 0..1, the largest on top.

    Raises:
        ValueError: there is none.
    """
    if not importances:
        raise ValueError("importances: expected at least one parameter, got none")
    # Sorted from the foot up; equals in the order of their names.
    ranked = sorted(importances.items(), key=lambda item: (item[1], item[0]))
    shares = np.array([share for _, share in ranked])
    figure, (axes,) = _canvas(1, 7.5, 0.9 + 0.28 * len(ranked))
    bars = axes.barh([name for name, _ in ranked], 100 * shares, 0.7, color=BLUE)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], padding=4, fontsize=9, color=INK)
    axes.set(xlabel="share of the score's variance (%)", xlim=(0, 112 * max(shares.max(), 0.01)))
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    _save(figure, path)


def plot_front(trials: pd.DataFrame, path: Path, *, objective: str) -> None:
    """Draw score against device time of complete trials, the front of those that none beats in both, and the winner.

    Args:
        trials: columns trial (str), score, seconds, front (bool) and winner (bool).
        objective: what the score is, for the axis.

    Raises:
        ValueError: a column is missing, or there is no row.
    """
    _require(trials, "trials", ("trial", "score", "seconds", "front", "winner"))
    figure, (axes,) = _canvas(1, 8.5, 4.4)
    divisor, unit = _time_unit(trials["seconds"].max())
    trials = trials.assign(time=trials["seconds"] / divisor).sort_values(["time", "score"])
    front, rest, winner = trials[trials["front"]], trials[~trials["front"]], trials[trials["winner"]]
    axes.scatter(rest["time"], rest["score"], c=GREY, s=32, alpha=0.8, label="complete trial")
    axes.step(front["time"], front["score"], where="post", color=BLUE, linewidth=1.2, alpha=0.6)
    axes.scatter(
        front["time"], front["score"], c=BLUE, marker="D", s=40, zorder=3, label="front: none beats it in both"
    )
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
        # Nothing lies above and to the left of the front; beside another winner it may.
        offset, side = ((-6, 6), "right") if row["front"] else ((9, -13), "left")
        place = (row["time"], row["score"])
        axes.annotate(row["trial"], place, offset, textcoords="offset points", ha=side, fontsize=9, color=INK)
    axes.set(xlabel=f"device time of all folds ({unit})", ylabel=f"score ({objective})")
    axes.margins(x=0.08, y=0.14)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    _save(figure, path)


def plot_augmented(images: NDArray[np.uint8], path: Path) -> None:
    """Draw a contact sheet of images (rows, columns, height, width, 3), uint8: each row one image, the original first.

    Raises:
        ValueError: another shape or type.
    """
    if images.ndim != 5 or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        raise ValueError(f"images: expected (rows, columns, height, width, 3) uint8, got {images.shape} {images.dtype}")
    rows, columns, height, width, _ = images.shape
    figure = _figure(1.25 * columns + 0.2, 1.25 * rows * height / width + 0.4)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        row, column = divmod(number, columns)
        axes.imshow(images[row, column], interpolation="nearest")
        axes.set_axis_off()
        if row == 0:
            axes.set_title("original" if column == 0 else f"augmented {column}", fontsize=9, color=INK)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    """A figure of that many inches without pyplot's global state: no display, nothing to close."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def _canvas(num_panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = _figure(width, height)
    return figure, [_style(axes) for axes in figure.subplots(1, num_panels, squeeze=False)[0]]


def _style(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    return axes


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        # Without the version of matplotlib inside, equal pictures are equal files.
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _draw_runs(axes: Axes, epochs: pd.DataFrame, column: str, colour: str, label: str) -> None:
    present = epochs.dropna(subset=[column])
    if present.empty:
        return
    for _, run in present.groupby(["seed", "fold"]):
        axes.plot(run["epoch"], run[column], color=colour, linewidth=0.8, alpha=0.5)
    mean = present.groupby("epoch")[column].mean()
    # A lone epoch draws no line: markers keep a very short training visible.
    axes.plot(mean.index, mean, color=colour, linewidth=2.2, label=label, marker="o" if len(mean) < 3 else "")


def _draw_trials(axes: Axes, trials: pd.DataFrame, state: str) -> None:
    colour, marker = STATES[state]
    scored, unscored = trials[trials["score"].notna()], trials[trials["score"].isna()]
    axes.scatter(scored["trial"], scored["score"], c=colour, marker=marker, s=36, zorder=3, label=state)
    # Trials without a score stand on the axis, not at an invented height.
    foot = np.full(len(unscored), 0.03)
    axes.scatter(unscored["trial"], foot, c=colour, marker=marker, s=36, zorder=3, transform=axes.get_xaxis_transform())


def _time_unit(seconds: float) -> tuple[int, str]:
    """Seconds in the unit that suits the longest span, and its name."""
    return (3600, "hours") if seconds >= 7200 else (60, "minutes") if seconds >= 120 else (1, "seconds")


def _require(table: pd.DataFrame, name: str, columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{name}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing")
    if table.empty:
        raise ValueError(f"{name}: expected at least one row, got none")
