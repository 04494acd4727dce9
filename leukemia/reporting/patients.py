"""The page's section about patients, and their table as CSV."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd

from leukemia.data.classes import CLASSES
from leukemia.reporting.page import Cell, Download, Grid, Section
from leukemia.reporting.patient_figure import patients_by_probability
from leukemia.reporting.words import describe_interval, metric_name
from leukemia.scoring.calibration import log_odds
from leukemia.scoring.patients import Patient, PatientScores
from leukemia.study import layout

UNKNOWN_PATIENTS = "The patients of the test images are not known, so there are no scores by patient."

_RESULTS = {True: "right", False: "wrong", None: "not scored"}


def patients_section(patients: Sequence[Patient], scores: PatientScores, threshold: float, images: str) -> Section:
    """Scores by patient, a figure, and a table of all patients, the surest mistakes first.

    Args:
        patients: at least one.
        images: which images were scored.
    """
    scored = [each for each in patients if each.label is not None]
    return Section(
        title="By patient",
        text="\n\n".join(describe_patients(scores, threshold)),
        table=[("score by patient", "value (interval)"), *patient_rows(scores)] if scored else None,
        figures=[patients_by_probability(scored, threshold, images)] if scored else [],
        grid=_grid(patients, threshold),
    )


def describe_patients(scores: PatientScores, threshold: float) -> list[str]:
    """What the scores are of, a paragraph each."""
    text = (
        f"{_number(scores.num_patients, 'patient')}. A patient is called leukemic if the mean probability of the "
        f"patient's images is at least {threshold:.3g}, the model's threshold, which was chosen for images. 95 % "
        "intervals are from a bootstrap over patients; those who share images are drawn together. Of a score of 1 the "
        "interval has no width, which does not make it certain."
    )
    left_out = []
    if scores.num_mixed:
        left_out.append(f"{_number(scores.num_mixed, 'patient')} with images of both classes")
    if scores.num_unknown:
        left_out.append(f"{_number(scores.num_unknown, 'image')} without a known patient")
    return [text, *([f"Not scored: {' and '.join(left_out)}."] if left_out else [])]


def patient_rows(scores: PatientScores) -> list[tuple[str, str]]:
    """Names and values of all scores by patient, also by subclass."""
    rows = [(_name(metric), describe_interval(interval)) for metric, interval in scores.scores.items()]
    for each in scores.subclasses:
        of = f"accuracy of {each.name} ({CLASSES[each.label]}, {_number(each.n, 'patient')})"
        rows.append((of, describe_interval(each.accuracy)))
    return rows


def _name(metric: str) -> str:
    return metric_name(metric).replace("cells", "patients")


def patients_csv(patients: Sequence[Patient]) -> str:
    """One line per patient, in the order of names: ``subject``, ``label`` (empty if there are images of both classes),
    ``images``, ``share_called_leukemic``, ``mean_probability_leukemic``, ``predicted``, ``right`` (0, 1 or empty)."""
    table = pd.DataFrame(
        {
            "subject": [each.name for each in patients],
            "label": pd.array([each.label for each in patients], dtype="Int64"),
            "images": [each.num_images for each in patients],
            "share_called_leukemic": [each.share_called_leukemic for each in patients],
            "mean_probability_leukemic": [each.mean_probability for each in patients],
            "predicted": [each.predicted for each in patients],
            "right": pd.array([each.is_right for each in patients], dtype="Int64"),
        }
    )
    written = io.StringIO()
    table.to_csv(written, index=False, lineterminator="\n")
    return written.getvalue()


def _grid(patients: Sequence[Patient], threshold: float) -> Grid:
    has_subclasses = any(each.subclass for each in patients)
    limit = log_odds(threshold)

    def order(patient: Patient) -> tuple[int, float]:
        far = abs(float(log_odds(patient.mean_probability) - limit))
        return (("wrong", "right", "not scored").index(_RESULTS[patient.is_right]), -far)

    columns = ["patient", "mean probability", "called", "class", *(["subclass"] if has_subclasses else []), "result"]
    rows = [
        [
            Cell(text=each.name, value=each.name),
            Cell(text=f"{each.mean_probability:.3f}", value=each.mean_probability),
            _word(CLASSES[each.predicted]),
            _word("both" if each.label is None else CLASSES[each.label]),
            *([_word(each.subclass or "–")] if has_subclasses else []),
            _word(_RESULTS[each.is_right]),
            Cell(text=f"{each.num_images}", value=each.num_images),
            Cell(text=f"{100 * each.share_called_leukemic:.1f} %", value=each.share_called_leukemic),
        ]
        for each in sorted(patients, key=order)
    ]
    return Grid(
        columns=[*columns, "images", "of them called leukemic"],
        rows=rows,
        example="wrong images>20",
        sorted_by=columns.index("result"),
        download=Download(name=layout.PATIENTS, content=patients_csv(patients), has="this table"),
    )


def _word(text: str) -> Cell:
    return Cell(text=text, value=text)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
