"""Figures of the parameters of trials: parallel coordinates, and a slice through the scores for each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from leukemia.reporting.figure import Figure, data
from leukemia.reporting.parameters import Parameter
from leukemia.reporting.theme import INK, LINE, ORANGE, SCORES, SOFT
from leukemia.reporting.words import value_text

MOST_LINES = 400
"""Of parallel coordinates: more would hide each other. The trials with the highest scores are kept."""


def parallel_coordinates(parameters: Sequence[Parameter], scores: Mapping[int, float], *, score: str) -> Figure:
    """A line per trial through its parameters, a row each, coloured by score.

    The rows lie below each other, so that the figure is as legible on a narrow screen.

    Args:
        parameters: those in which the trials differ.
        scores: of at least one trial, by its number.
        score: its name.
    """
    kept = sorted(scores, key=lambda trial: (-scores[trial], trial))[:MOST_LINES]
    low, high = min(scores[trial] for trial in kept), max(scores[trial] for trial in kept)
    names = [f"{score}", *(parameter.name for parameter in parameters)]
    rows, marks = [], []
    # The best trials are drawn last.
    for trial in reversed(kept):
        place = 0.5 if high <= low else (scores[trial] - low) / (high - low)
        common = {"trial": trial, "score": scores[trial]}
        rows.append({**common, "row": score, "order": 0, "at": place, "value": f"{scores[trial]:.4f}"})
        for order, parameter in enumerate(parameters, 1):
            value = parameter.values.get(trial)
            at = None if value is None else parameter.position(value) + _spread(trial, parameter) / 20
            rows.append({**common, "row": parameter.name, "order": order, "at": at, "value": value_text(value)})
    ends = [(score, [(0.0, f"{low:.3f}"), (1.0, f"{high:.3f}")] if high > low else [(0.5, f"{low:.3f}")])]
    for row, texts in [*ends, *((parameter.name, parameter.marks()) for parameter in parameters)]:
        marks += [{"row": row, "at": at, "text": text} for at, text in texts]
    down = alt.Y(
        "row:N",
        sort=names,
        title=None,
        scale=alt.Scale(padding=0.5),
        axis=alt.Axis(domain=False, ticks=False, grid=False),
    )
    across = alt.X("at:Q", axis=None, scale=alt.Scale(domain=[-0.03, 1.03], nice=False, padding=10))
    hovered = alt.selection_point(name="hovered", fields=["trial"], on="pointerover", clear="pointerout", empty=False)
    chart = alt.Chart(data("lines"))
    lines = chart.mark_line(strokeWidth=1.4, invalid="break-paths-show-domains").encode(
        x=across,
        y=down,
        detail="trial:N",
        order="order:Q",
        stroke=_by_score(low, high, score),
        opacity=alt.condition(hovered, alt.value(1), alt.value(0.75)),
        strokeWidth=alt.condition(hovered, alt.value(4), alt.value(1.4)),
    )
    points = (
        chart.mark_point(filled=True, size=70, opacity=0.001, color=ORANGE)
        .encode(
            x=across,
            y=down,
            opacity=alt.condition(hovered, alt.value(1), alt.value(0.001)),
            tooltip=["trial:N", alt.Tooltip("score:Q", title=score, format=".4f"), "row:N", "value:N"],
        )
        .add_params(hovered)
    )
    axes = alt.Chart(data("marks")).mark_rule(color=LINE).encode(y=down, x=alt.value(0), x2=alt.value("width"))
    texts = alt.Chart(data("marks")).mark_text(dy=13, fontSize=10, color=SOFT).encode(x=across, y=down, text="text:N")
    left_out = (
        f" The {len(scores) - len(kept)} trials with the lowest scores are left out." if len(scores) > len(kept) else ""
    )
    return Figure(
        name="parallel-coordinates",
        caption="A line per trial through its parameters. Values below a row are those at its ends, or its choices; a "
        f"line is interrupted where a recipe lacks the parameter.{left_out}",
        chart=alt.layer(axes, lines, texts, points).properties(title="Trials by their parameters"),
        rows={"lines": rows, "marks": marks},
        height=70 + 38 * len(names),
    )


def slices(parameters: Sequence[Parameter], scores: Mapping[int, float], *, score: str) -> list[Figure]:
    """For each parameter, the score of the trials against its value.

    Args:
        parameters, scores, score: as for ``parallel_coordinates``.
    """
    return [_slice(parameter, scores, score) for parameter in parameters]


def _slice(parameter: Parameter, scores: Mapping[int, float], score: str) -> Figure:
    trials = [trial for trial in scores if trial in parameter.values]
    choices = parameter.choices
    rows = []
    for trial in trials:
        value = parameter.values[trial]
        shown = value if choices is None else value_text(value)
        rows.append({"trial": trial, "value": shown, "score": scores[trial], "spread": _spread(trial, parameter)})
    low, high = min(scores.values()), max(scores.values())
    if choices is None:
        scale = alt.Scale(type="log", padding=8) if parameter.is_log else alt.Scale(zero=False, padding=8)
        axis = alt.Axis(format="~g", tickCount=3 if parameter.is_log else 4)
        across = alt.X("value:Q", title=None, scale=scale, axis=axis)
    else:
        order = [value_text(choice) for choice in choices]
        across = alt.X("value:N", title=None, sort=order, axis=alt.Axis(labelAngle=0, labelLimit=90))
    encoded = {
        "x": across,
        "y": alt.Y("score:Q", title=None, scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=4)),
        "color": _by_score(low, high, score, legend=False),
        "tooltip": [
            "trial:N",
            alt.Tooltip("value:N", title=parameter.name),
            alt.Tooltip("score:Q", title=score, format=".4f"),
        ],
    }
    if choices is not None:
        encoded["xOffset"] = alt.XOffset("spread:Q", scale=alt.Scale(domain=[-0.6, 0.6]))
    chart = alt.Chart(data("trials")).mark_point(filled=True, size=45, opacity=0.95, stroke=INK, strokeWidth=0.3)
    return Figure(
        name=f"slice-{parameter.key.replace('.', '-').replace('_', '-')}",
        caption="",
        chart=chart.encode(**encoded).properties(title=parameter.name),
        rows={"trials": rows},
        height=190,
        is_wide=False,
    )


def _spread(trial: int, parameter: Parameter) -> float:
    """A shift of -0.5..0.5 between trials with the same choice, by their numbers: chance would draw another picture."""
    return 0.0 if parameter.choices is None else (trial * 0.618034) % 1 - 0.5


def _by_score(low: float, high: float, score: str, *, legend: bool = True) -> alt.Color:
    return alt.Color(
        "score:Q",
        title=score,
        scale=alt.Scale(type="quantize", domain=[low, high if high > low else low + 1e-9], range=SCORES, nice=False),
        legend=alt.Legend(format=".2f" if high - low > 0.05 else ".3f", gradientLength=200) if legend else None,
    )
