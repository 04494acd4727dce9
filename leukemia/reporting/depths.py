"""The report's sections about depth: accuracy over epochs, and the confusion matrix of the best trial of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from leukemia.base.quantity import quantity
from leukemia.reporting.depth_figure import accuracy_by_depth
from leukemia.reporting.factors import DEPTH, is_augmented
from leukemia.reporting.figure import Figure
from leukemia.reporting.model_figures import confusion
from leukemia.reporting.page import Section
from leukemia.reporting.words import describe_interval, folds_text, more_often, objective_name
from leukemia.scoring.bootstrap import THRESHOLD
from leukemia.scoring.metrics import confusion_matrix, scores
from leukemia.study.finished import FinishedTrial, finished_trials, shared_folds
from leukemia.study.folder import Study
from leukemia.study.table import complete_trials, mean_score

MIN_TRIALS = 2
"""Trials from which their curves are drawn; a single one is among the winner's, or is the only one."""

COLUMNS = ("trial", "network", "augmented", "epoch", "accuracy")

_CURVES = (
    "A thin line is a trial, a thick one the mean of all trials of that depth with, or without, augmentation of the "
    "training images (any of its probabilities above 0); their number is in brackets. The trials of two groups may "
    "differ in other settings, too"
)


def depth_sections(study: Study) -> list[Section]:
    """Accuracy over epochs by depth, and confusion matrices side by side; empty if there is nothing to compare."""
    trials = [trial for trial in finished_trials(study) if DEPTH.value(trial.recipe) is not None]
    return [*_curves_section(study, trials), *_confusion_section(study, trials)]


def _curves_section(study: Study, trials: Sequence[FinishedTrial]) -> list[Section]:
    # Folds that all have finished: no trial leaves them on the way.
    folds = shared_folds(trial.own_folds for trial in trials)
    curves = curves_of(study, trials, folds or [0])
    if curves.empty or curves["trial"].nunique() < MIN_TRIALS:
        return []
    drawn, others = curves["trial"].nunique(), len(study.trials())
    which = f"{folds_text(folds)}, which all of them have finished" if folds else "fold 1, as far as each has come"
    caption = (
        f"Validation accuracy of {quantity(drawn, 'trial')} over the epochs of {which}, first seed only. Each mean "
        "ends where the first trial of its group does, so that none leaves it."
    )
    if others > drawn:
        left_out = quantity(others - drawn, "trial")
        caption += f" Without {left_out} that failed, still ran, or had no epoch, or whose network has no depth."
    kinds = {bool(each) for each in curves["augmented"]}
    missing = "" if len(kinds) == 2 else f" No trial was trained {'without' if True in kinds else 'with'} augmentation."
    return [
        Section(
            title="Accuracy by depth",
            text=f"{_CURVES}{more_often(study.info)}.{missing}",
            figures=[accuracy_by_depth(curves, caption=caption)],
        )
    ]


def curves_of(study: Study, trials: Sequence[FinishedTrial], folds: Sequence[int]) -> pd.DataFrame:
    """The validation accuracy of each trial by epoch, mean over the folds, for its own seed.

    Returns:
        ``COLUMNS``, ordered by network; trials without an epoch have no rows.
    """
    drawn = []
    for trial in trials:
        epochs = study.epochs(trial.number)
        own = epochs[(epochs["seed"] == trial.seed) & epochs["fold"].isin(folds)]
        means = own.astype({"validation_accuracy": float}).groupby("epoch")["validation_accuracy"].mean().dropna()
        kind = (trial.number, DEPTH.value(trial.recipe), is_augmented(trial.recipe))
        drawn += [(*kind, epoch, accuracy) for epoch, accuracy in means.items()]
    if not drawn:
        return pd.DataFrame(columns=list(COLUMNS))
    found = pd.DataFrame(drawn, columns=list(COLUMNS))
    order = {network: place for place, network in enumerate(DEPTH.ordered(found["network"]))}
    return found.sort_values("network", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def _confusion_section(study: Study, trials: Sequence[FinishedTrial]) -> list[Section]:
    """The best complete trial of each depth; empty if the trials have one depth only, whose best is the winner."""
    depths = DEPTH.ordered(str(DEPTH.value(trial.recipe)) for trial in trials)
    if len(depths) < 2:
        return []
    complete, figures, missing = set(complete_trials(study)), [], []
    for depth in depths:
        tried = [trial for trial in trials if DEPTH.value(trial.recipe) == depth]
        found = {trial.number: mean_score(study, trial.number) for trial in tried if trial.number in complete}
        found = {number: score for number, score in found.items() if not np.isnan(score)}
        if not found:
            missing.append(f"{depth} (none of {quantity(len(tried), 'trial')} is complete)")
            continue
        # Of equal scores, that of the earliest.
        number = max(found, key=lambda each: (found[each], -each))
        figures.append(_confusion(study, depth, number, len(found)))
    text = (
        f"The complete trial with the best {objective_name(study.objective)} of each depth: out-of-fold images of its "
        f"first seed, called leukemic from a probability of {THRESHOLD:g}. The best of many trials is luckier than the "
        "best of a few: the number that each was chosen from is below it, and none of these scores is corrected for it."
    )
    if missing:
        text += f" Not enough trials: {', '.join(missing)}."
    return [Section(title="The best trial of each depth", text=text, figures=figures)] if figures else []


def _confusion(study: Study, depth: str, number: int, num_complete: int) -> Figure:
    predictions = study.out_of_fold(number, study.recipe(number).train.seed)
    labels, probabilities = predictions["label"].to_numpy(), predictions["probability_leukemic"].to_numpy()
    accuracy = describe_interval(scores(labels, probabilities, predictions["group"])["accuracy"])
    chosen = f"best of {num_complete} complete trials" if num_complete > 1 else "the only complete trial"
    images = f"{len(labels)} images out of fold, accuracy {accuracy}"
    return confusion(
        confusion_matrix(labels, probabilities),
        f"trial {number:04d}, {chosen}: {images}",
        name=f"confusion-{depth.lower()}",
        title=depth,
    )
