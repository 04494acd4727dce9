"""The figure of the ladder: the trials in fold 1, the rungs, and who went on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from leukemia.reporting.columns import require_columns, rows_of
from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, CARD, GREY, INK, ORANGE, SKY, SOFT


@dataclass(frozen=True, kw_only=True)
class _Style:
    colour: str
    dash: list[int]
    shape: str
    """At the last epoch; shapes and dashes differ too, for colour-blind readers."""


FATES: dict[str, _Style] = {
    "waits": _Style(colour=SKY, dash=[1, 0], shape="square"),
    "ended in fold 1": _Style(colour=ORANGE, dash=[5, 3], shape="triangle-down"),
    "trains in fold 1": _Style(colour=INK, dash=[1, 2], shape="triangle-right"),
    "went on to other folds": _Style(colour=BLUE, dash=[1, 0], shape="circle"),
}
"""What became of a trial, in the order of drawing: those that went on, which are few, come last."""


def ladder(curves: pd.DataFrame, *, rungs: Mapping[str, float]) -> Figure:
    """The validation accuracy of each trial over fold 1, the first, with a vertical line for each rung.

    The horizontal axis has a square-root scale, since most trials wait early.

    Args:
        curves: columns trial (int), share (of the fold's epochs, 0..1), accuracy (0..1) and fate (a key of ``FATES``);
            the rows of a trial in ascending order of shares.
        rungs: the share of the fold by label, ascending.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(curves, "curves", ("trial", "share", "accuracy", "fate"))
    numbers = curves.groupby("fate")["trial"].nunique()
    titles = {fate: f"{fate} ({numbers[fate]})" for fate in FATES if fate in numbers.index}
    order = list(titles.values())
    drawn = curves.assign(order=curves["fate"].map(list(FATES).index), fate=curves["fate"].map(titles))
    drawn = drawn.sort_values(["order", "trial", "share"], kind="stable").drop(columns="order")
    styles = [FATES[fate] for fate in titles]
    legend = alt.Legend(columns=alt.ExprRef("width < 500 ? 1 : 4"))
    colours = alt.Scale(domain=order, range=[each.colour for each in styles])
    colour = alt.Color("fate:N", title=None, legend=legend, scale=colours)
    shape = alt.Shape(
        "fate:N", title=None, legend=legend, scale=alt.Scale(domain=order, range=[each.shape for each in styles])
    )
    dash = alt.StrokeDash(
        "fate:N", title=None, legend=legend, scale=alt.Scale(domain=order, range=[each.dash for each in styles])
    )
    scale = alt.Scale(type="sqrt", domain=[0, 1.02], nice=False)
    axis = alt.Axis(format=".0%", values=[0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1])
    across = alt.X("share:Q", title="share of fold 1 trained, square-root scale", scale=scale, axis=axis)
    up = alt.Y("accuracy:Q", title=None, scale=alt.Scale(zero=False))
    tooltip = [
        "trial:N",
        "fate:N",
        alt.Tooltip("share:Q", format=".0%"),
        alt.Tooltip("accuracy:Q", title="validation accuracy", format=".3f"),
    ]
    # Many lines lie over each other.
    opacity = 0.85 if curves["trial"].nunique() <= 40 else 0.5
    lines = alt.Chart(data("curves")).mark_line(strokeWidth=1.1, opacity=opacity)
    ends = alt.Chart(data("ends")).mark_point(filled=True, size=45, opacity=1, stroke=CARD, strokeWidth=0.5)
    marks = alt.Chart(data("rungs"))
    layers = [
        marks.mark_rule(color=GREY).encode(x=across, tooltip=["rung:N"]),
        lines.encode(x=across, y=up, color=colour, strokeDash=dash, detail="trial:N", tooltip=tooltip),
        ends.encode(x=across, y=up, color=colour, shape=shape, tooltip=tooltip),
        _named(marks, across, color=CARD, stroke=CARD, strokeWidth=4),
        _named(marks, across, color=SOFT),
    ]
    return Figure(
        name="ladder",
        caption="Validation accuracy of all trials in fold 1.",
        chart=alt.layer(*layers).properties(title="Validation accuracy in fold 1"),
        rows={
            "curves": rows_of(drawn),
            "ends": rows_of(drawn.groupby("trial", sort=False).tail(1)),
            "rungs": [{"rung": rung, "share": share} for rung, share in rungs.items()],
        },
        height=380,
    )


def _named(marks: alt.Chart, across: alt.X, **style: Any) -> alt.Chart:
    """The names of the rungs; drawn twice, at first with a wide edge, they can be read where lines cross them."""
    texts = marks.mark_text(align="right", baseline="top", angle=270, dx=-4, dy=3, fontSize=10, **style)
    return texts.encode(x=across, y=alt.value(0), text="rung:N")
