"""The report's section about the split."""

from __future__ import annotations

from leukemia.data.balance import MAX_DIFFERENCE, balance_of, difference
from leukemia.reporting.page import Section
from leukemia.study.folder import Study


def folds_sections(study: Study) -> list[Section]:
    """The balance of the folds, from the predictions of the first trial that has all of them; empty if none has."""
    folds = list(range(study.info.folds))
    for number in study.trials():
        seed = study.recipe(number).train.seed
        if study.folds_done(number, seed) != folds:
            continue
        predictions = study.out_of_fold(number, seed)
        balance = balance_of([predictions[predictions["fold"] == fold] for fold in folds])
        text = (
            "The split is that of the data."
            if study.info.protocol == "given"
            else "Every image is a validation image of one fold."
        )
        if difference(balance) > MAX_DIFFERENCE:
            text += (
                f" The share of leukemic images differs by {difference(balance):.2f} between folds, so their scores "
                "are hard to compare"
            )
            cause = ": a subject is too large for this number of folds. The search names it."
            text += "." if study.info.protocol == "given" else cause
        rows = [(fold, each.images, each.subjects, each.leukemic) for fold, each in enumerate(balance, start=1)]
        table = [("fold", "images", "subjects", "share of leukemic"), *rows]
        return [Section(title="Folds", text=text, table=table)]
    return []
