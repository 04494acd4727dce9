"""Figures of a search: scores by trial and over device time, what the time was used for, score against cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from leukemia.reporting.columns import require_columns, rows_of, time_unit
from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, CARD, GREEN, GREY, INK, ORANGE, PALE, PURPLE, SKY

STATES: dict[str, tuple[str, str]] = {
    "complete": (BLUE, "circle"),
    "stopped": (ORANGE, "triangle-down"),
    "failed": (INK, "cross"),
    "waiting": (SKY, "square"),
}
"""Colour and shape of each state of a trial that does not run; shapes differ too, for colour-blind readers."""

SPENDING: dict[str, str] = {
    "useful": BLUE,
    "repeats": SKY,
    "stopped": ORANGE,
    "failed": INK,
    "waiting": GREEN,
    "redone": PURPLE,
    "unfinished": GREY,
}
"""Colour of each kind of device time, from the bottom of a bar to the top."""

SAVED = "saved (estimate)"


def scores_by_trial(trials: pd.DataFrame, *, majority_rate: float | None, score: str) -> Figure:
    """The score of every trial, the best complete score so far, and the majority rate.

    Args:
        trials: columns trial (int), state (a key of ``STATES``), score (float, NaN if absent) and recipe (text).
        majority_rate: draws a line if the score is comparable with it; None draws none.
        score: its name.

    Raises:
        ValueError: a column is missing, there are no rows, or a state is unknown.
    """
    require_columns(trials, "trials", ("trial", "state", "score", "recipe"))
    unknown = sorted(set(trials["state"]) - set(STATES))
    if unknown:
        raise ValueError(f"trials: expected a state of {', '.join(STATES)}, got {', '.join(map(str, unknown))}")
    trials = trials.sort_values("trial")
    best = best_so_far(trials.assign(at=trials["trial"]))
    across = alt.X(
        "trial:Q", title="trial", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(nice=False, padding=8)
    )
    up = alt.Y("score:Q", title=None, scale=alt.Scale(zero=False, padding=12))
    scored = trials[trials["score"].notna()]
    layers = [*_majority(majority_rate), *_best_line(best, "trial")]
    layers.append(_marks(alt.Chart(data("trials")).encode(y=up), across, trials))
    if len(scored) < len(trials):
        # Trials without a score are drawn at the bottom of the axes.
        layers.append(_marks(alt.Chart(data("unscored")).encode(y=alt.value("height")), across, trials))
    return Figure(
        name="scores-by-trial",
        caption=f"{_capital(score)} of every trial, mean over its finished folds. The green line is the best complete "
        "trial so far; trials without a score are on the lower edge.",
        chart=alt.layer(*layers).properties(title=f"{_capital(score)} by trial"),
        rows={
            "trials": rows_of(scored),
            "unscored": rows_of(trials[trials["score"].isna()]),
            "best": rows_of(best),
            "majority": _majority_row(majority_rate),
        },
        height=320,
    )


def score_over_time(trials: pd.DataFrame, *, majority_rate: float | None, score: str) -> Figure:
    """The score of every trial at the device time that was spent when it ended, and the best complete score so far.

    Args:
        trials: as for ``scores_by_trial``, with the seconds that were spent (float).
    """
    require_columns(trials, "trials", ("trial", "state", "score", "recipe", "seconds"))
    divisor, unit = time_unit(trials["seconds"].max())
    trials = trials[trials["score"].notna()].assign(at=trials["seconds"] / divisor).sort_values(["at", "trial"])
    best = best_so_far(trials)
    title = f"device time spent ({unit})"
    across = alt.X("at:Q", title=title, scale=alt.Scale(domainMin=0))
    up = alt.Y("score:Q", title=None, scale=alt.Scale(zero=False, padding=12))
    layers = [*_majority(majority_rate), *_best_line(best, title)]
    layers.append(_marks(alt.Chart(data("trials")).encode(y=up), across, trials))
    return Figure(
        name="score-over-time",
        caption=f"{_capital(score)} over the device time of all folds that had been trained when a trial ended. The "
        "green line is the best complete trial so far.",
        chart=alt.layer(*layers).properties(title="Best score so far"),
        rows={"trials": rows_of(trials), "best": rows_of(best), "majority": _majority_row(majority_rate)},
        height=300,
    )


def best_so_far(trials: pd.DataFrame) -> pd.DataFrame:
    """The best score of the complete trials so far, as ``at`` and ``score``, up to the last trial.

    Args:
        trials: columns state, score and at, in ascending order of ``at``.
    """
    complete = trials[(trials["state"] == "complete") & trials["score"].notna()]
    if complete.empty:
        return pd.DataFrame(columns=["at", "score"])
    best = np.maximum.accumulate(np.append(complete["score"], -np.inf))
    return pd.DataFrame({"at": [*complete["at"], trials["at"].max()], "score": best})


def device_time(trials: pd.DataFrame, *, names: Mapping[str, str]) -> Figure:
    """The device time of every trial as a bar stacked by kind; a pale part on top shows what was saved.

    Args:
        trials: columns trial (int), left_out (what stopping or waiting saved) and the keys of ``SPENDING``, all in
            seconds.
        names: legend label of each kind.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(trials, "trials", ("trial", "left_out", *SPENDING))
    kinds = [kind for kind in SPENDING if trials[kind].any()]
    is_cut = bool((trials["left_out"] > 0).any())
    divisor, unit = time_unit(trials[[*SPENDING, "left_out"]].sum(axis=1).max())
    order = [*(names[kind] for kind in kinds), *([SAVED] if is_cut else [])]
    parts = []
    for position, (kind, name) in enumerate(zip([*kinds, *(["left_out"] if is_cut else [])], order, strict=True)):
        part = trials[["trial"]].assign(use=name, time=trials[kind] / divisor, order=position)
        parts.append(part[part["time"] > 0])
    colours = [*(SPENDING[kind] for kind in kinds), *([PALE] if is_cut else [])]
    rows = pd.concat(parts) if parts else pd.DataFrame(columns=["trial", "use", "time", "order"])
    chart = (
        alt.Chart(data("parts"))
        .mark_bar(stroke=CARD, strokeWidth=0.6)
        .encode(
            x=alt.X("trial:O", title="trial", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("time:Q", title=None, stack="zero"),
            color=alt.Color(
                "use:N",
                title=None,
                sort=order,
                scale=alt.Scale(domain=order, range=colours),
                legend=alt.Legend(columns=alt.ExprRef("width < 500 ? 2 : 5")),
            ),
            order=alt.Order("order:Q"),
            tooltip=["trial:O", "use:N", alt.Tooltip("time:Q", title=unit, format=".3~r")],
        )
        .properties(title=f"Device time by trial ({unit})")
    )
    return Figure(
        name="device-time",
        caption="What the device time of each trial was used for.",
        chart=chart,
        rows={"parts": rows_of(rows)},
        height=300,
    )


def importance(shares: pd.DataFrame, caption: str) -> Figure:
    """The share of the score's variance that each parameter explains, the largest at the top.

    Args:
        shares: columns parameter (text), share, low and high (0..1; the last two NaN without an interval).

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(shares, "shares", ("parameter", "share", "low", "high"))
    order = list(shares.sort_values(["share", "parameter"], ascending=[False, True])["parameter"])
    down = alt.Y("parameter:N", sort=order, title=None)
    tooltip: list[Any] = [
        "parameter:N",
        alt.Tooltip("share:Q", format=".0%"),
        alt.Tooltip("low:Q", title="from", format=".0%"),
        alt.Tooltip("high:Q", title="to", format=".0%"),
    ]
    across = alt.X("share:Q", title="share of the score's variance", axis=alt.Axis(format="%"))
    base = alt.Chart(data("shares")).encode(y=down, tooltip=tooltip)
    bars = base.mark_bar(color=BLUE, opacity=0.35, height={"band": 0.6}).encode(x=across)
    whiskers = base.mark_rule(color=INK, strokeWidth=1.5).encode(x=alt.X("low:Q"), x2=alt.X2("high:Q"))
    points = base.mark_point(filled=True, color=BLUE, size=60, opacity=1).encode(x=across)
    return Figure(
        name="importance",
        caption=caption,
        chart=alt.layer(bars, whiskers, points).properties(title="Importance for the score"),
        rows={"shares": rows_of(shares)},
        height=90 + 26 * len(shares),
    )


def score_and_cost(trials: pd.DataFrame, *, score: str) -> Figure:
    """Score against device time of complete trials, with their Pareto front and the winner.

    Args:
        trials: columns trial (text), score, seconds, front (bool) and winner (bool).
        score: its name.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    require_columns(trials, "trials", ("trial", "score", "seconds", "front", "winner"))
    divisor, unit = time_unit(trials["seconds"].max())
    trials = trials.assign(
        at=trials["seconds"] / divisor,
        role=np.where(trials["front"], "Pareto front", "complete trial"),
        label=np.where(trials["front"] | trials["winner"], trials["trial"], ""),
    ).sort_values(["at", "score"])
    across = alt.X("at:Q", title=f"device time of all folds ({unit})", scale=alt.Scale(zero=False, padding=16))
    up = alt.Y("score:Q", title=None, scale=alt.Scale(zero=False, padding=16))
    tooltip: list[Any] = [
        "trial:N",
        "role:N",
        alt.Tooltip("score:Q", format=".4f"),
        alt.Tooltip("at:Q", title=unit, format=".3~r"),
    ]
    base = alt.Chart(data("trials")).encode(x=across, y=up, tooltip=tooltip)
    roles = ["complete trial", "Pareto front"]
    points = base.mark_point(filled=True, size=60, opacity=0.9).encode(
        color=alt.Color("role:N", title=None, scale=alt.Scale(domain=roles, range=[GREY, BLUE])),
        shape=alt.Shape("role:N", title=None, scale=alt.Scale(domain=roles, range=["circle", "diamond"])),
    )
    line = (
        alt.Chart(data("trials"))
        .transform_filter("datum.front")
        .mark_line(interpolate="step-after", color=BLUE, opacity=0.6, strokeWidth=1.2)
        .encode(x=across, y=up)
    )
    circle = base.transform_filter("datum.winner").mark_point(size=220, color=ORANGE, strokeWidth=2.2)
    labels = base.mark_text(align="right", dx=-8, dy=-8, color=INK).encode(text="label:N")
    return Figure(
        name="score-and-cost",
        caption="Score against device time of the complete trials; the winner is circled.",
        chart=alt.layer(line, points, circle, labels).properties(title=f"{_capital(score)} against device time"),
        rows={"trials": rows_of(trials)},
        height=320,
    )


def _marks(chart: alt.Chart, across: alt.X, trials: pd.DataFrame) -> alt.Chart:
    """A point per trial, with the colour and the shape of its state."""
    states = [state for state in STATES if (trials["state"] == state).any()]
    colours, shapes = [STATES[state][0] for state in states], [STATES[state][1] for state in states]
    return chart.mark_point(filled=True, size=55, opacity=0.9).encode(
        x=across,
        color=alt.Color("state:N", title=None, scale=alt.Scale(domain=states, range=colours)),
        shape=alt.Shape("state:N", title=None, scale=alt.Scale(domain=states, range=shapes)),
        tooltip=["trial:Q", "state:N", alt.Tooltip("score:Q", format=".4f"), "recipe:N"],
    )


def _best_line(best: pd.DataFrame, title: str) -> list[alt.Chart]:
    if best.empty:
        return []
    tooltip = [alt.Tooltip("score:Q", title="best so far", format=".4f")]
    chart = alt.Chart(data("best")).mark_line(interpolate="step-after", color=GREEN, strokeWidth=2)
    return [chart.encode(x=alt.X("at:Q", title=title), y="score:Q", tooltip=tooltip)]


def _majority_row(rate: float | None) -> list[dict[str, float]]:
    return [] if rate is None or math.isnan(rate) else [{"score": rate}]


def _majority(rate: float | None) -> list[alt.Chart]:
    if not _majority_row(rate):
        return []
    chart = alt.Chart(data("majority")).encode(y="score:Q")
    label = chart.mark_text(align="left", baseline="bottom", dx=2, dy=-3, color=GREY, fontSize=11)
    return [
        chart.mark_rule(color=GREY, strokeDash=[5, 4], strokeWidth=1.2),
        label.encode(x=alt.value(0), text=alt.value("always the more frequent class")),
    ]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
