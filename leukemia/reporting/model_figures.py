"""Figures of one model's predictions: confusion matrix, ROC curve, precision and recall."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
from numpy.typing import ArrayLike

from leukemia.reporting.figure import Figure, Rows, data
from leukemia.reporting.polyline import simplified
from leukemia.reporting.theme import BLUE, CARD, GREY, INK, ORANGE, SCORES
from leukemia.scoring.bootstrap import THRESHOLD, Floats
from leukemia.scoring.metrics import (
    average_precision,
    confusion_matrix,
    point_scores,
    precision_recall_points,
    roc_points,
)

_CLASSES = ("normal", "leukemic")


def confusion(matrix: ArrayLike, images: str, *, name: str = "confusion", title: str = "Confusion matrix") -> Figure:
    """A confusion matrix: counts (2, 2), rows are true and columns predicted classes, normal first.

    Args:
        images: which images were scored.
        name: unique in its page.
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
        name=name,
        caption=f"Confusion matrix, {images}.",
        chart=alt.layer(cells, numbers, texts).properties(title=title),
        rows={"cells": rows},
        height=300,
        is_wide=False,
    )


def roc(labels: ArrayLike, probabilities: ArrayLike, images: str, threshold: float = THRESHOLD) -> Figure:
    """The ROC curve with the point of the threshold; labels and probabilities (n,) as in ``metrics``.

    If there is only one class, the title says that the curve is undefined.
    """
    points = point_scores(labels, probabilities, threshold)
    curve, marked = [], []
    title = "ROC curve: undefined, only one class"
    if not math.isnan(points["auroc"]):
        curve = _points(*roc_points(labels, probabilities))
        marked = [{"x": 1 - points["specificity"], "y": points["sensitivity"]}]
        title = f"ROC curve, AUROC {points['auroc']:.3f}"
    return _rates(
        "roc",
        title,
        f"Receiver operating characteristic, {images}; the point is the threshold {threshold:.3g}, the dashed line is "
        "chance.",
        axes=("normal cells called leukemic", "leukemic cells found"),
        rows={"chance": [{"x": x, "y": x} for x in (0, 1)], "curve": curve, "threshold": marked},
    )


def precision_recall(labels: ArrayLike, probabilities: ArrayLike, images: str, threshold: float = THRESHOLD) -> Figure:
    """Precision (PPV) over recall (sensitivity) with the point of the threshold; arguments as of ``roc``.

    Chance is the share of leukemic images. Without any, the title says that the curve is undefined.
    """
    recall, precision = precision_recall_points(labels, probabilities)
    share = float(np.mean(np.asarray(labels)))
    curve, marked = [], []
    title = "Precision and recall: undefined, no leukemic images"
    if not math.isnan(recall[-1]):
        # A point of the curve is a threshold: between two of them, precision is that of the next one.
        across = np.repeat(np.append(0.0, recall), 2)[1:-1]
        curve = _points(across, np.repeat(precision, 2))
        title = f"Precision and recall, average precision {average_precision(labels, probabilities):.3f}"
        (_, false), (_, true) = confusion_matrix(labels, probabilities, threshold)
        if true + false:
            marked = [{"x": float(true / np.sum(labels)), "y": float(true / (true + false))}]
    return _rates(
        "precision-recall",
        title,
        f"Precision and recall of leukemic images, {images}; the point is the threshold {threshold:.3g}, the dashed "
        "line is chance, the share of leukemic images.",
        axes=("recall: leukemic cells found", "precision (PPV)"),
        rows={"chance": [{"x": x, "y": share} for x in (0, 1)], "curve": curve, "threshold": marked},
    )


def _points(x: Floats, y: Floats) -> list[dict[str, float]]:
    return [{"at": at, "x": float(x[each]), "y": float(y[each])} for at, each in enumerate(simplified(x, y))]


def _rates(name: str, title: str, caption: str, *, axes: tuple[str, str], rows: dict[str, Rows]) -> Figure:
    """A curve of two rates in 0..1 from ``rows``, with the points of chance and of the threshold."""
    scale, axis = alt.Scale(domain=[0, 1]), alt.Axis(tickCount=5)
    across, up = (
        alt.X("x:Q", title=axes[0], scale=scale, axis=axis),
        alt.Y("y:Q", title=axes[1], scale=scale, axis=axis),
    )
    tooltip = [alt.Tooltip("y:Q", title=axes[1], format=".3f"), alt.Tooltip("x:Q", title=axes[0], format=".3f")]
    chance = alt.Chart(data("chance")).mark_line(color=GREY, strokeDash=[5, 4], strokeWidth=1).encode(x=across, y=up)
    line = alt.Chart(data("curve")).mark_line(
        color=BLUE, strokeWidth=2, point={"size": 60, "opacity": 0, "color": BLUE}
    )
    # Many points have one recall.
    line = line.encode(x=across, y=up, order="at:Q", tooltip=tooltip)
    point = alt.Chart(data("threshold")).mark_point(filled=True, size=90, color=ORANGE, opacity=1)
    return Figure(
        name=name,
        caption=caption,
        chart=alt.layer(chance, line, point.encode(x=across, y=up, tooltip=tooltip)).properties(title=title),
        rows=rows,
        height=300,
        is_wide=False,
    )
