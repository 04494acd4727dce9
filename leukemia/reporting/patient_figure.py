"""The figure of patients by their mean probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from leukemia.data.classes import CLASSES
from leukemia.reporting.figure import Figure, data
from leukemia.reporting.theme import BLUE, GREY, ORANGE
from leukemia.scoring.patients import Patient

_RESULTS = {"right": (BLUE, "circle"), "wrong": (ORANGE, "cross")}
"""Colour and shape by result."""

_STEPS = 60
"""Patients whose probabilities differ by less than one of so many steps are drawn above each other."""


def patients_by_probability(patients: Sequence[Patient], threshold: float, images: str) -> Figure:
    """A mark per patient at the mean probability of the patient's images, in a row per class.

    Args:
        patients: those whose images are of one class; at least one.
        threshold: from which a patient is called leukemic.
        images: which images were scored.
    """
    rows = _rows(patients)
    names = list(_RESULTS)
    colours, shapes = ([style[which] for style in _RESULTS.values()] for which in (0, 1))
    colour = alt.Color("result:N", title=None, scale=alt.Scale(domain=names, range=colours))
    shape = alt.Shape("result:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    scale = alt.Scale(domain=[0, 1], nice=False)
    across = alt.X("probability:Q", title="mean probability of leukemic", scale=scale, axis=alt.Axis(tickCount=10))
    band = alt.Y("class:N", title=None, sort=list(CLASSES), axis=alt.Axis(grid=False, ticks=False, domain=False))
    offset = alt.YOffset("offset:Q", scale=alt.Scale(domain=[-1, 1]))
    tooltip = [
        "patient:N",
        alt.Tooltip("probability:Q", title="mean probability", format=".3f"),
        "called:N",
        "images:Q",
        alt.Tooltip("share:Q", title="images called leukemic", format=".1%"),
    ]
    limit = alt.Chart(data("threshold")).mark_rule(color=GREY, strokeDash=[5, 4]).encode(x=alt.X("at:Q", scale=scale))
    points = alt.Chart(data("patients")).mark_point(filled=True, size=75, opacity=0.75)
    points = points.encode(x=across, y=band, yOffset=offset, color=colour, shape=shape, tooltip=tooltip)
    return Figure(
        name="patients",
        caption=f"Patients by the mean probability of their images, {images}, in a row per true class; the dashed line "
        f"is the threshold {threshold:.3g}.",
        chart=alt.layer(limit, points).properties(title="Patients by mean probability"),
        rows={"patients": rows, "threshold": [{"at": threshold}]},
        height=260,
    )


def _rows(patients: Sequence[Patient]) -> list[dict[str, Any]]:
    """A row per patient; those of about the same probability are spread across their band."""
    seen: dict[tuple[int | None, int], int] = {}
    places = []
    for each in patients:
        cell = (each.label, round(each.mean_probability * _STEPS))
        places.append(seen.get(cell, 0))
        seen[cell] = places[-1] + 1
    most = max(seen.values())
    return [
        {
            "patient": each.name,
            "class": CLASSES[int(each.label or 0)],
            "called": CLASSES[each.predicted],
            "result": "right" if each.is_right else "wrong",
            "probability": each.mean_probability,
            "share": each.share_called_leukemic,
            "images": each.num_images,
            # From the middle of the band to both sides.
            "offset": float((-1) ** place * np.ceil(place / 2) * 2 / max(most, 8)),
        }
        for each, place in zip(patients, places, strict=True)
    ]
