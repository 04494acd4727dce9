"""Figures of a training: loss, accuracy and learning rate over epochs."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from leukemia.reporting.columns import require_columns, rows_of
from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, INK, ORANGE


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
    num_runs = lines.groupby(["seed", "fold"]).ngroups
    colours = {"training": ORANGE, "validation": BLUE, "learning rate": INK}
    shown = [side for side in sides if (means["side"] == side).any()]
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
        caption=f"{title.partition(' (')[0]} over epochs"
        f"{f': a thin line per {runs}, a thick one for their mean' if num_runs > 1 else ''}.",
        chart=alt.layer(thin, thick).properties(title=title),
        rows={"lines": rows_of(lines), "means": rows_of(means)},
        height=260,
        is_wide=False,
    )
