"""The report's section about the ladder: how trials did in fold 1, and who went on from which rung."""

from __future__ import annotations

import pandas as pd

from leukemia.reporting.ladder_figure import ladder
from leukemia.reporting.page import Section
from leukemia.study.folder import Study
from leukemia.study.ladder import LadderRecord, rung_name, waiting_trials

_TEXT = (
    "A trial waits after these parts of fold 1, its first, and those that are best there go on first: inside the fold "
    "by validation accuracy, allowing for the schedule, at its end by score. Waiting changes the order of the work "
    "only; no trial is stopped for it. Each line is the validation accuracy of a trial in fold 1, up to where it has "
    "come. Vertical lines are the rungs; epochs are whole, and no trial waits after its first, so a rung may lie later "
    "than its name says."
)


def ladder_sections(study: Study) -> list[Section]:
    """The rungs, and all trials in fold 1; empty for a search that lets no trial wait."""
    record = LadderRecord.find(study)
    curves = _curves(study)
    if not record.rungs or curves.empty:
        return []
    names = {rung_name(rung.share): rung for rung in record.rungs}
    marks = {f"{name}: {rung.went_on} of {rung.reached} went on": rung.trained for name, rung in names.items()}
    places = waiting_trials(study).values()
    rows = []
    for rung in record.rungs:
        waiting = sum(place.share == rung.share for place in places)
        ended = max(0, rung.reached - rung.went_on - waiting)
        rows.append((f"{rung_name(rung.share)} of fold 1", rung.reached, rung.went_on, waiting, ended))
    return [
        Section(
            title="Waiting",
            text=_TEXT,
            table=[("rung", "reached", "went on", "wait there", "ended there"), *rows],
            figures=[ladder(curves, rungs=marks)],
        )
    ]


def _curves(study: Study) -> pd.DataFrame:
    """Fold 0 of all trials of this study, as ``plot_ladder`` takes it."""
    waiting = waiting_trials(study)
    tables = []
    for number in study.trials():
        if study.origin(number) is not None:
            continue
        recipe, epochs = study.recipe(number), study.epochs(number)
        own = epochs[epochs["seed"] == recipe.train.seed]
        fate = "waits" if number in waiting else "trains in fold 1" if study.end(number) is None else "ended in fold 1"
        if (own["fold"] > 0).any():
            fate = "went on to other folds"
        first = own[own["fold"] == 0]
        share, accuracy = first["epoch"] / recipe.train.epochs, first["validation_accuracy"]
        tables.append(pd.DataFrame({"trial": number, "share": share, "accuracy": accuracy, "fate": fate}))
    return pd.concat(tables, ignore_index=True).dropna() if tables else pd.DataFrame()
