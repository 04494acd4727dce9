"""The figure of the scores to quote of several studies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt

from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, INK
from leukemia.reporting.words import objective_name
from leukemia.scoring.metrics import Interval


def scores_by_study(scores: Sequence[tuple[str, Interval]], *, objective: str) -> Figure:
    """The score to quote of each study with its interval, in the order given.

    Args:
        scores: name of the study and its score; bounds may be NaN.
        objective: the score that all of them maximized, such as ``tta_accuracy``.
    """
    score = objective_name(objective)
    rows = [
        {"study": name, "value": each.value, "low": _number(each.low), "high": _number(each.high)}
        for name, each in scores
    ]
    down = alt.Y("study:N", sort=[name for name, _ in scores], title=None, axis=alt.Axis(labelLimit=140, ticks=False))
    scale = alt.Scale(zero=False, padding=12)
    tooltip = ["study:N", *(alt.Tooltip(f"{name}:Q", format=".4f") for name in ("value", "low", "high"))]
    chart = alt.Chart(data("scores"))
    lines = chart.mark_rule(color=BLUE, strokeWidth=2).encode(
        x=alt.X("low:Q", title=score, scale=scale, axis=alt.Axis(tickCount=6, format="~g")), x2="high:Q", y=down
    )
    points = chart.mark_point(filled=True, size=80, color=INK, opacity=1)
    points = points.encode(x=alt.X("value:Q", scale=scale), y=down, tooltip=tooltip)
    return Figure(
        name=f"scores-by-study-{objective.removeprefix('tta_').replace('_', '-')}",
        caption=f"The {score} to quote of each study, with its 95 % interval. Intervals that overlap do not show that "
        "studies are equally good: if they have the same patients, their difference, below, is known better.",
        chart=alt.layer(lines, points).properties(title=f"{score[:1].upper()}{score[1:]} to quote"),
        rows={"scores": rows},
        height=90 + 34 * len(scores),
    )


def _number(bound: float) -> float | None:
    return None if math.isnan(bound) else bound
