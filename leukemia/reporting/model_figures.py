"""Figures of one model: training curves and predictions."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from leukemia.reporting.columns import require_columns, rows_of
from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, CARD, GREY, INK, ORANGE, SCORES
from leukemia.scoring.bootstrap import NUM_BINS, THRESHOLD
from leukemia.scoring.calibration import error_of, leukemic_bins
from leukemia.scoring.metrics import point_scores, roc_points

_CLASSES = ("normal", "leukemic")


def confusion(matrix: ArrayLike, images: str) -> Figure:
    """A confusion matrix: counts (2, 2), rows are true and columns predicted classes, in the order hem, all.

    Args:
        images: which images were scored.
    """
    counts = np.asarray(matrix)
    if counts.shape != (2, 2):
        raise ValueError(f"matrix: expected shape (2, 2), got {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    rows = [
        {
            "true": _CLASSES[row],
            "predicted": _CLASSES[column],
            "count": f"{counts[row, column]:,}",
            "share": float(shares[row, column]),
            "text": f"{100 * shares[row, column]:.1f} % of row",
            # White or black text, whichever the cell's colour needs.
            "is_dark": bool(shares[row, column] > 0.5),
        }
        for row, column in np.ndindex(2, 2)
    ]
    base = alt.Chart(data("cells")).encode(
        x=alt.X("predicted:N", sort=list(_CLASSES), title="predicted class", axis=alt.Axis(labelAngle=0, ticks=False)),
        y=alt.Y("true:N", sort=list(_CLASSES), title="true class", axis=alt.Axis(labelAngle=-90, ticks=False)),
        tooltip=["true:N", "predicted:N", "count:N", alt.Tooltip("share:Q", title="share of row", format=".1%")],
    )
    colour = alt.Color("share:Q", legend=None, scale=alt.Scale(type="quantize", domain=[0, 1], range=SCORES))
    ink = alt.condition("datum.is_dark", alt.value(CARD), alt.value(INK))
    cells = base.mark_rect(stroke=CARD, strokeWidth=2).encode(color=colour)
    numbers = base.mark_text(fontSize=19, fontWeight="bold", dy=-8).encode(text="count:N", color=ink)
    texts = base.mark_text(fontSize=11, dy=14).encode(text="text:N", color=ink)
    return Figure(
        name="confusion",
        caption=f"Confusion matrix, {images}.",
        chart=alt.layer(cells, numbers, texts).properties(title="Confusion matrix"),
        rows={"cells": rows},
        height=300,
        is_wide=False,
    )


def roc(labels: ArrayLike, probabilities: ArrayLike, images: str) -> Figure:
    """The ROC curve with the point of the threshold; labels and probabilities (n,) as in ``metrics``.

    If there is only one class, the title says that the curve is undefined.
    """
    points = point_scores(labels, probabilities)
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(tickCount=5)
    across = alt.X("false_rate:Q", title="normal cells called leukemic", scale=scale, axis=axis)
    up = alt.Y("true_rate:Q", title="leukemic cells found", scale=scale, axis=axis)
    tooltip = [alt.Tooltip("true_rate:Q", format=".3f"), alt.Tooltip("false_rate:Q", format=".3f")]
    chance = alt.Chart(data("chance")).mark_line(color=GREY, strokeDash=[5, 4], strokeWidth=1).encode(x=across, y=up)
    curve, threshold = [], []
    title = "ROC curve: undefined, only one class"
    if not math.isnan(points["auroc"]):
        false_rate, true_rate = roc_points(labels, probabilities)
        curve = [{"false_rate": float(a), "true_rate": float(b)} for a, b in zip(false_rate, true_rate, strict=True)]
        threshold = [{"false_rate": 1 - points["specificity"], "true_rate": points["sensitivity"]}]
        title = f"ROC curve, AUROC {points['auroc']:.3f}"
    line = alt.Chart(data("curve")).mark_line(
        color=BLUE, strokeWidth=2, point={"size": 60, "opacity": 0, "color": BLUE}
    )
    point = alt.Chart(data("threshold")).mark_point(filled=True, size=90, color=ORANGE, opacity=1)
    layers = (chance, line.encode(x=across, y=up, tooltip=tooltip), point.encode(x=across, y=up, tooltip=tooltip))
    return Figure(
        name="roc",
        caption=f"Receiver operating characteristic, {images}; the point is the threshold {THRESHOLD}, the dashed line "
        "is chance.",
        chart=alt.layer(*layers).properties(title=title),
        rows={"chance": [{"false_rate": x, "true_rate": x} for x in (0, 1)], "curve": curve, "threshold": threshold},
        height=300,
        is_wide=False,
    )


def calibration(labels: ArrayLike, probabilities: ArrayLike, images: str) -> list[Figure]:
    """A reliability diagram of P(leukemic), the share of leukemic images per bin, and the number of images per bin."""
    bins = leukemic_bins(labels, probabilities)
    rows = [
        {
            "from": index / NUM_BINS,
            "to": (index + 1) / NUM_BINS,
            "images": int(count),
            "probability": float(mean),
            "share": float(share),
            "zero": 0,
        }
        for index, (count, mean, share) in enumerate(bins)
        if count
    ]
    scale, axis = alt.Scale(domain=[0, 1], nice=False), alt.Axis(tickCount=5, format=".1f")
    across = alt.X("from:Q", title="probability of leukemic", scale=scale, axis=axis)
    tooltip = [
        "images:Q",
        alt.Tooltip("probability:Q", title="mean probability", format=".3f"),
        alt.Tooltip("share:Q", title="share leukemic", format=".3f"),
    ]
    up = alt.Y("share:Q", title="share of leukemic images", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    base = alt.Chart(data("bins"))
    bars = base.mark_rect(color=BLUE, opacity=0.35, stroke=CARD).encode(
        x=across, x2="to:Q", y=up, y2="zero:Q", tooltip=tooltip
    )
    points = base.mark_point(filled=True, color=BLUE, size=50, opacity=1)
    points = points.encode(x=alt.X("probability:Q", scale=scale), y=up, tooltip=tooltip)
    perfect = alt.Chart(data("perfect")).mark_line(color=GREY, strokeDash=[5, 4], strokeWidth=1)
    perfect = perfect.encode(x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q"))
    counts = base.mark_rect(color=GREY, stroke=CARD)
    number = alt.Y("images:Q", title="images", scale=alt.Scale(zero=True))
    counts = counts.encode(x=across, x2="to:Q", y=number, y2="zero:Q", tooltip=tooltip)
    return [
        Figure(
            name="calibration",
            caption=f"Calibration, {images}: share of leukemic images in each of {NUM_BINS} bins of the probability, "
            "with points at their mean probability; the dashed line is perfect.",
            chart=alt.layer(bars, perfect, points).properties(title=f"Calibration, error {error_of(bins):.3f}"),
            rows={"bins": rows, "perfect": [{"at": 0.0}, {"at": 1.0}]},
            height=300,
            is_wide=False,
        ),
        Figure(
            name="counts",
            caption=f"Number of images by probability, {images}.",
            chart=counts.properties(title="Images by probability"),
            rows={"bins": rows},
            height=300,
            is_wide=False,
        ),
    ]


def training_curves(epochs: pd.DataFrame, runs: str) -> list[Figure]:
    """Loss, accuracy and learning rate over epochs: a thin line per fold and seed, and a thick line for the mean.

    Args:
        epochs: columns fold, seed, epoch, train_loss, train_accuracy, validation_loss, validation_accuracy,
            learning_rate; validation columns are NaN if there was no validation.
        runs: what a line stands for, for the caption.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    series = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "learning_rate")
    require_columns(epochs, "epochs", ("fold", "seed", "epoch", *series))
    losses = epochs[["train_loss", "validation_loss"]].to_numpy()
    losses = losses[np.isfinite(losses) & (losses > 0)]
    # Otherwise one diverged epoch would flatten all other curves.
    is_log = len(losses) > 0 and losses.max() > 100 * np.median(losses)
    both = {"training": "train", "validation": "validation"}
    return [
        _curves(
            "loss",
            f"Loss (cross-entropy{', log scale' if is_log else ', nats'})",
            epochs,
            {side: f"{column}_loss" for side, column in both.items()},
            runs,
            is_log=is_log,
        ),
        _curves("accuracy", "Accuracy", epochs, {side: f"{column}_accuracy" for side, column in both.items()}, runs),
        _curves("learning-rate", "Learning rate", epochs, {"learning rate": "learning_rate"}, runs),
    ]


def _curves(
    name: str, title: str, epochs: pd.DataFrame, sides: dict[str, str], runs: str, *, is_log: bool = False
) -> Figure:
    tables = []
    for side, column in sides.items():
        present = epochs[["seed", "fold", "epoch"]].assign(side=side, value=epochs[column]).dropna(subset=["value"])
        tables.append(present[np.isfinite(present["value"]) & ((present["value"] > 0) | (not is_log))])
    lines = pd.concat(tables)
    means = lines.groupby(["side", "epoch"], sort=False)["value"].mean().reset_index()
    scale = alt.Scale(type="log") if is_log else alt.Scale(zero=name == "learning-rate")
    up = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5, format="~g"))
    across = alt.X(
        "epoch:Q", title="epoch", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(zero=False, nice=False)
    )
    colours = {"training": ORANGE, "validation": BLUE, "learning rate": INK}
    shown = list(sides)
    legend = alt.Legend() if len(shown) > 1 else None
    colour = alt.Color(
        "side:N",
        title=None,
        scale=alt.Scale(domain=shown, range=[colours[side] for side in shown]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "side:N", title=None, legend=legend, scale=alt.Scale(domain=shown, range=[[1, 0], [6, 3]][: len(shown)])
    )
    thin = alt.Chart(data("lines")).mark_line(strokeWidth=0.8, opacity=0.45)
    thin = thin.encode(x=across, y=up, color=colour, detail=["seed:N", "fold:N"])
    # A single epoch gives no line, so every mean has a point; it also takes the pointer.
    is_short = means["epoch"].nunique() < 3
    thick = alt.Chart(data("means")).mark_line(strokeWidth=2.4, point={"size": 60, "opacity": 1 if is_short else 0})
    tooltip = ["epoch:Q", alt.Tooltip("side:N", title="of"), alt.Tooltip("value:Q", title="mean", format=".4~g")]
    thick = thick.encode(x=across, y=up, color=colour, strokeDash=dash, tooltip=tooltip)
    return Figure(
        name=f"curves-{name}",
        caption=f"{title.partition(' (')[0]} over epochs: a thin line per {runs}, a thick one for their mean.",
        chart=alt.layer(thin, thick).properties(title=title),
        rows={"lines": rows_of(lines), "means": rows_of(means)},
        height=260,
        is_wide=False,
    )
