"""The figure of accuracy over epochs by depth, with and without augmentation."""

from __future__ import annotations

import altair as alt
import pandas as pd

from leukemia.reporting.columns import require_columns, rows_of
from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)
"""Of the depths, in their order; more networks than these are grey."""

MANY = 40
"""Trials from which thin lines are fainter."""


def accuracy_by_depth(curves: pd.DataFrame, *, caption: str) -> Figure:
    """The validation accuracy over epochs: a thin line per trial, and a thick one for the mean of its group.

    A mean is drawn up to the last epoch that all trials of the group have reached, so that no trial leaves it.

    Args:
        curves: columns trial (int), network (text), augmented (bool), epoch (int) and accuracy (0..1); networks in
            their order.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(curves, "curves", ("trial", "network", "augmented", "epoch", "accuracy"))
    named = curves.assign(group=[_group(*pair) for pair in zip(curves["network"], curves["augmented"], strict=True)])
    numbers = named.groupby("group", sort=False)["trial"].nunique()
    order = list(dict.fromkeys(named.sort_values("augmented", ascending=False, kind="stable")["group"]))
    titles = {group: f"{group} ({numbers[group]})" for group in order}
    named = named.assign(group=named["group"].map(titles))
    networks = list(dict.fromkeys(curves["network"]))
    colours = dict(zip(networks, [*_COLOURS, *[GREY] * len(networks)], strict=False))
    first = named.drop_duplicates("group").set_index("group")
    domain = list(titles.values())
    # Of lines, whose dashes tell; otherwise they would be as faint as the thin ones.
    legend = alt.Legend(
        columns=alt.ExprRef("width < 500 ? 1 : 3"), symbolType="stroke", symbolOpacity=1, symbolSize=300
    )
    colour = alt.Color(
        "group:N",
        title=None,
        legend=legend,
        scale=alt.Scale(domain=domain, range=[colours[first.loc[group, "network"]] for group in domain]),
    )
    dash = alt.StrokeDash(
        "group:N",
        title=None,
        legend=legend,
        scale=alt.Scale(domain=domain, range=[[1, 0] if first.loc[group, "augmented"] else [6, 3] for group in domain]),
    )
    across = alt.X(
        "epoch:Q", title="epoch", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(zero=False, nice=False)
    )
    up = alt.Y("accuracy:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    opacity = 0.35 if named["trial"].nunique() < MANY else 0.18
    thin = alt.Chart(data("curves")).mark_line(strokeWidth=0.8, opacity=opacity)
    thin = thin.encode(x=across, y=up, color=colour, strokeDash=dash, detail="trial:N")
    means = means_of(named)
    # A single epoch gives no line, so every mean has a point; it also takes the pointer.
    is_short = means["epoch"].nunique() < 3
    thick = alt.Chart(data("means")).mark_line(strokeWidth=2.6, point={"size": 60, "opacity": 1 if is_short else 0})
    tooltip = ["group:N", "epoch:Q", alt.Tooltip("accuracy:Q", title="mean accuracy", format=".3f"), "trials:Q"]
    thick = thick.encode(x=across, y=up, color=colour, strokeDash=dash, tooltip=tooltip)
    return Figure(
        name="accuracy-by-depth",
        caption=caption,
        chart=alt.layer(thin, thick).properties(title="Validation accuracy by depth"),
        rows={"curves": rows_of(named), "means": rows_of(means)},
        # On a narrow screen, each group has a line of the legend.
        height=290 + 16 * len(order),
    )


def means_of(curves: pd.DataFrame) -> pd.DataFrame:
    """The mean accuracy of each group, up to the last epoch that all its trials have reached.

    Args:
        curves: columns trial, group, epoch, accuracy.

    Returns:
        columns group, epoch, accuracy, trials (their number).
    """
    tables = []
    for group, rows in curves.groupby("group", sort=False):
        last = rows.groupby("trial")["epoch"].max().min()
        means = rows[rows["epoch"] <= last].groupby("epoch")["accuracy"].mean().reset_index()
        tables.append(means.assign(group=group, trials=rows["trial"].nunique()))
    return pd.concat(tables, ignore_index=True)[["group", "epoch", "accuracy", "trials"]]


def _group(network: str, is_augmented: bool) -> str:
    return f"{network}, {'augmented' if is_augmented else 'not augmented'}"
