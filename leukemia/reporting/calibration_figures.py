"""Figures of the calibration of the probability of class 1: reliability, and the number of images behind it."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np

from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, CARD, GREY, ORANGE
from leukemia.scoring.bootstrap import NUM_BINS, Floats
from leukemia.scoring.calibration import error_of

_SIDES = {"before scaling": ORANGE, "after scaling": BLUE}

_SCALE = alt.Scale(domain=[0, 1], nice=False)
_AXIS = alt.Axis(tickCount=5, format=".1f")


def calibration(bins: Floats, images: str) -> list[Figure]:
    """A reliability diagram of P(leukemic), the share of leukemic images per bin, and the number of images per bin.

    Args:
        bins: (15, 3), of ``leukemia.scoring.calibration.leukemic_bins``.
        images: which images were scored.
    """
    rows = _rows(bins)
    across = alt.X("from:Q", title="probability of leukemic", scale=_SCALE, axis=_AXIS)
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
    points = points.encode(x=alt.X("probability:Q", scale=_SCALE), y=up, tooltip=tooltip)
    counts = base.mark_rect(color=GREY, stroke=CARD)
    number = alt.Y("images:Q", title="images", scale=alt.Scale(zero=True))
    counts = counts.encode(x=across, x2="to:Q", y=number, y2="zero:Q", tooltip=tooltip)
    return [
        Figure(
            name="calibration",
            caption=f"Calibration, {images}: share of leukemic images in each of {NUM_BINS} bins of the probability, "
            "with points at their mean probability; the dashed line is perfect.",
            chart=alt.layer(bars, _perfect(), points).properties(
                title=f"Calibration error of P(leukemic) {error_of(bins):.3f}"
            ),
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


def scaling(before: Floats, after: Floats, images: str) -> list[Figure]:
    """Reliability diagrams of P(leukemic) before and after temperature scaling in one figure, and their histograms.

    Args:
        before, after: (15, 3), of ``leukemia.scoring.calibration.leukemic_bins``.
        images: which images were scored.
    """
    both = list(zip(_SIDES, (before, after), strict=True))
    rows = [row | {"side": side} for side, bins in both for row in _rows(bins)]
    sides = alt.Scale(domain=list(_SIDES), range=list(_SIDES.values()))
    colour = alt.Color("side:N", title=None, scale=sides)
    shape = alt.Shape("side:N", title=None, scale=alt.Scale(domain=list(_SIDES), range=["triangle-up", "circle"]))
    across = alt.X("probability:Q", title="mean probability of leukemic", scale=_SCALE, axis=_AXIS)
    up = alt.Y("share:Q", title="share of leukemic images", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    tooltip = [
        alt.Tooltip("side:N", title="of"),
        "images:Q",
        alt.Tooltip("probability:Q", title="mean probability", format=".3f"),
        alt.Tooltip("share:Q", title="share leukemic", format=".3f"),
    ]
    base = alt.Chart(data("bins"))
    lines = base.mark_line(strokeWidth=1.5).encode(x=across, y=up, color=colour)
    points = base.mark_point(filled=True, size=55, opacity=1)
    points = points.encode(x=across, y=up, color=colour, shape=shape, tooltip=tooltip)
    middle = alt.X("middle:Q", title="probability of leukemic", scale=_SCALE, axis=_AXIS)
    number = alt.Y("images:Q", title="images", scale=alt.Scale(zero=True))
    counts = alt.Chart(data("steps")).mark_line(interpolate="step", strokeWidth=2)
    counts = counts.encode(x=middle, y=number, color=colour, tooltip=[alt.Tooltip("side:N", title="of"), "images:Q"])
    return [
        Figure(
            name="scaling",
            caption=f"Calibration, {images}, before and after temperature scaling; the dashed line is perfect.",
            chart=alt.layer(_perfect(), lines, points).properties(
                title=f"Error of P(leukemic) {error_of(before):.3f} before, {error_of(after):.3f} after"
            ),
            rows={"bins": rows, "perfect": [{"at": 0.0}, {"at": 1.0}]},
            height=300,
            is_wide=False,
        ),
        Figure(
            name="scaling-counts",
            caption=f"Number of images by probability, {images}, before and after temperature scaling.",
            chart=counts.properties(title="Images by probability"),
            rows={
                "steps": [
                    step for side, bins in zip(_SIDES, (before, after), strict=True) for step in _steps(side, bins)
                ]
            },
            height=300,
            is_wide=False,
        ),
    ]


def _perfect() -> alt.Chart:
    line = alt.Chart(data("perfect")).mark_line(color=GREY, strokeDash=[5, 4], strokeWidth=1)
    found: alt.Chart = line.encode(x=alt.X("at:Q", scale=_SCALE), y=alt.Y("at:Q"))
    return found


def _rows(bins: Floats) -> list[dict[str, Any]]:
    """A row per bin that has images."""
    return [
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


def _steps(side: str, bins: Floats) -> list[dict[str, Any]]:
    """The number of images in every bin, at its middle."""
    middles = (np.arange(NUM_BINS) + 0.5) / NUM_BINS
    return [
        {"side": side, "middle": float(middle), "images": int(count)}
        for middle, count in zip(middles, bins[:, 0], strict=True)
    ]
