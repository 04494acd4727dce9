"""Plots of one model: training curves, and the classes of its predictions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from leukemia.reporting.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    new_canvas,
    new_figure,
    save_figure,
)
from leukemia.reporting.columns import require_columns
from leukemia.scoring.metrics import (
    THRESHOLD,
    average_precision,
    confusion_matrix,
    point_scores,
    precision_recall_points,
    roc_points,
)

_CLASS_LABELS = ("normal (hem)", "leukemic (all)")


def plot_confusion(matrix: ArrayLike, path: Path) -> None:
    """Draw a confusion matrix: counts (2, 2), rows are true and columns predicted classes, in the order hem, all."""
    counts = np.asarray(matrix)
    if counts.shape != (2, 2):
        raise ValueError(f"matrix: expected shape (2, 2), got {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = new_canvas(1, 4.8, 4.4)
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
    save_figure(figure, path)


def plot_roc(labels: ArrayLike, probabilities: ArrayLike, path: Path, threshold: float = THRESHOLD) -> None:
    """Draw the ROC curve with the point of the threshold; labels and probabilities (n,) as in ``metrics``.

    If there is only one class, the picture says that the curve is undefined.
    """
    figure, (axes,) = new_canvas(1, 4.8, 4.6)
    points = point_scores(labels, probabilities, threshold)
    if math.isnan(points["auroc"]):
        axes.text(0.5, 0.5, "undefined: only one class", ha="center", va="center", color=INK, fontsize=12)
    else:
        axes.plot((0, 1), (0, 1), color=GREY, linestyle="--", linewidth=1, label="chance")
        axes.plot(*roc_points(labels, probabilities), color=BLUE, linewidth=2, label=f"AUROC {points['auroc']:.3f}")
        point = (1 - points["specificity"], points["sensitivity"])
        axes.plot(*point, "o", color=ORANGE, markersize=8, label=f"threshold {threshold:.3g}")
        axes.legend(loc="lower right", frameon=False)
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="true positive rate (sensitivity)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    save_figure(figure, path)


def plot_precision_recall(
    labels: ArrayLike, probabilities: ArrayLike, path: Path, threshold: float = THRESHOLD
) -> None:
    """Draw precision (PPV) over recall (sensitivity) with the point of the threshold; arguments as of ``plot_roc``.

    Chance is the share of leukemic images. If there are none, the picture says that the curve is undefined.
    """
    figure, (axes,) = new_canvas(1, 4.8, 4.6)
    recall, precision = precision_recall_points(labels, probabilities)
    if math.isnan(recall[-1]):
        axes.text(0.5, 0.5, "undefined: no leukemic images", ha="center", va="center", color=INK, fontsize=12)
    else:
        share = float(np.mean(np.asarray(labels)))
        axes.axhline(share, color=GREY, linestyle="--", linewidth=1, label=f"chance {share:.3f}")
        mean = average_precision(labels, probabilities)
        # A point of the curve is a threshold: between two of them, precision is that of the next one.
        axes.step(recall, precision, where="pre", color=BLUE, linewidth=2, label=f"average precision {mean:.3f}")
        (_, false), (_, true) = confusion_matrix(labels, probabilities, threshold)
        if true + false:
            point = (true / np.sum(labels), true / (true + false))
            axes.plot(*point, "o", color=ORANGE, markersize=8, label=f"threshold {threshold:.3g}")
        axes.legend(loc="lower left", frameon=False)
    axes.set(xlabel="recall (sensitivity)", ylabel="precision (PPV)")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    save_figure(figure, path)


def plot_curves(epochs: pd.DataFrame, path: Path) -> None:
    """Draw loss, accuracy and learning rate over epochs: a thin line per fold and seed, and a thick line for the mean.

    Args:
        epochs: columns fold, seed, epoch, train_loss, train_accuracy, validation_loss, validation_accuracy,
            learning_rate; validation columns are NaN if there was no validation.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    series = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "learning_rate")
    require_columns(epochs, "epochs", ("fold", "seed", "epoch", *series))
    figure, panels = new_canvas(3, 11.5, 3.6)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=False):
        for side, colour in (("train", ORANGE), ("validation", BLUE)):
            _draw_runs(axes, epochs, f"{side}_{name}", colour, side)
        axes.legend(frameon=False)
    _draw_runs(panels[2], epochs, "learning_rate", INK, "learning rate")
    losses = epochs[["train_loss", "validation_loss"]].to_numpy()
    losses = losses[np.isfinite(losses) & (losses > 0)]
    # Otherwise one diverged epoch would flatten all other curves.
    logarithmic = len(losses) > 0 and losses.max() > 100 * np.median(losses)
    panels[0].set(ylabel="cross-entropy, log scale" if logarithmic else "cross-entropy (nats)", title="loss")
    panels[0].set_yscale("log" if logarithmic else "linear")
    panels[1].set(ylabel="share of images", ylim=(None, 1.01), title="accuracy")
    panels[2].set(ylabel="learning rate", ylim=(0, None), title="learning rate")
    panels[2].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    for axes in panels:
        axes.set(xlabel="epoch", xlim=(epochs["epoch"].min() - 0.5, epochs["epoch"].max() + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    save_figure(figure, path)


def plot_augmented(images: NDArray[np.uint8], path: Path) -> None:
    """Draw a contact sheet of images (rows, columns, height, width, 3), uint8: one image per row, the original first.

    Raises:
        ValueError: another shape or dtype.
    """
    if images.ndim != 5 or images.shape[-1] != 3 or images.dtype != np.uint8 or not images.size:
        raise ValueError(f"images: expected (rows, columns, height, width, 3) uint8, got {images.shape} {images.dtype}")
    rows, columns, height, width, _ = images.shape
    figure = new_figure(1.25 * columns + 0.2, 1.25 * rows * height / width + 0.4)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        row, column = divmod(number, columns)
        axes.imshow(images[row, column], interpolation="nearest")
        axes.set_axis_off()
        if row == 0:
            axes.set_title("original" if column == 0 else f"augmented {column}", fontsize=9, color=INK)
    save_figure(figure, path)


def _draw_runs(axes: Axes, epochs: pd.DataFrame, column: str, colour: str, label: str) -> None:
    present = epochs.dropna(subset=[column])
    if present.empty:
        return
    for _, run in present.groupby(["seed", "fold"]):
        axes.plot(run["epoch"], run[column], color=colour, linewidth=0.8, alpha=0.5)
    mean = present.groupby("epoch")[column].mean()
    # A single epoch gives no line, so use markers for very short training runs.
    axes.plot(mean.index, mean, color=colour, linewidth=2.2, label=label, marker="o" if len(mean) < 3 else "")
