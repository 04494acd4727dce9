"""A study checked against itself: its scores are computed again from its predictions."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import RESTORE, read_content, read_record, wrong_value
from leukemia.config.results import fold_name, score_name
from leukemia.data.folds import Splits
from leukemia.scoring.metrics import majority_rate, point_scores, scores
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.best_score import IntervalRecord
from leukemia.study.folder import Study
from leukemia.study.ladder import LadderRecord
from leukemia.study.records import ROUNDING, check_score
from leukemia.study.table import complete_trials, mean_score

WITHOUT_READER = (layout.LEDGER, layout.HINDSIGHT, layout.LEAKCHECK, layout.SWEEP)
"""Files of which only the checksum is verified; those that are read later are checked then."""


def verify(study: Study) -> None:
    """Check the files of all trials and of the winner, before a result of the study is shown, delivered or published.

    Raises:
        UserError: a file was changed after it was written, is missing, or contradicts another one.
    """
    for name in WITHOUT_READER:
        path = study.folder / name
        if path.is_file():
            read_content(path, study.place_of(path))
    check_splits(study)
    LadderRecord.find(study)
    for number in study.trials():
        for seed in study.seeds(number):
            # Reading the predictions compares them with the fold's scores.
            study.out_of_fold(number, seed)
            study.repeat_failure(number, seed)
        check_trial(study, number)
        check_epochs(study, number)
        study.origin(number)
        study.repeated(number)
    best = Best.find(study)
    if best is not None:
        check_best(study, best)


def check_splits(study: Study) -> None:
    """Check that ``splits.json``, if it is there, is the split that the study was started with.

    Raises:
        UserError: it is not, or is damaged.
    """
    path = study.folder / layout.SPLITS
    # Earlier versions did not record it in study.json.
    if path.is_file() and study.info.splits_sha256 not in ("", read_record(Splits, path).sha256()):
        raise UserError(f"{path} is not the split that the study was started with; restore it from a backup")


def check_trial(study: Study, number: int) -> None:
    """Check that a trial, if it is complete, has all folds of its own seed, and that their mean is its score.

    Raises:
        UserError: it does not; the message names the file.
    """
    end, seed = study.end(number), study.recipe(number).train.seed
    if end is None or end.state != "complete":
        return
    found = []
    for fold in range(study.info.folds):
        path = study.fold_file(number, seed, fold)
        if fold not in study.folds_done(number, seed):
            raise MissingFile(f"{path}: is missing, but trial {number:04d} is complete; {RESTORE}")
        score = study.fold(number, seed, fold).scores[study.objective]
        if score is None:
            raise UserError(f"{path}: {study.objective} is undefined, but trial {number:04d} is complete; {RESTORE}")
        found.append(score)
    path = study.trial_folder(number) / layout.STATE
    check_score(path, "score", end.score, float(np.mean(found)), f"the {len(found)} folds of the trial")


def check_epochs(study: Study, number: int) -> None:
    """Check that a trial has the epochs of all its finished folds, which are written before the fold.

    Raises:
        UserError: some are missing; the message names the file.
    """
    path, wanted = study.trial_folder(number) / layout.EPOCHS, study.recipe(number).train.epochs
    epochs = study.epochs(number)
    found = Counter(zip(epochs["seed"].tolist(), epochs["fold"].tolist(), strict=True))
    for seed in study.seeds(number):
        for fold in study.folds_done(number, seed):
            if found[seed, fold] != wanted:
                raise UserError(
                    f"{path}: expected {wanted} epochs of {fold_name(fold)} ({fold} in the file), seed {seed}, which "
                    f"is finished, found {found[seed, fold]}; {RESTORE}"
                )


def check_best(study: Study, best: Best) -> None:
    """Check the winner's scores against its predictions, and the trials and repeats that it was compared with.

    The corrections for selection need the trials that were complete when the file was written: only its checksum
    protects them.

    Raises:
        UserError: a value differs; the message names it.
    """
    path, number = study.folder / layout.BEST, int(best.trial)
    folds = [_scores(study, best, seed) for seed in best.seeds]
    check_score(path, "score.raw", best.score.raw, float(np.mean(folds)), "the folds")
    predictions = best.out_of_fold(study)
    labels = predictions["label"].to_numpy()
    metric = score_name(best.objective).removeprefix("tta_")
    seen = [study.out_of_fold(number, seed)["probability_leukemic"].to_numpy() for seed in best.seeds]
    is_scored = np.isin(predictions["fold"], best.score.scored_folds or range(best.folds))
    for name, record, rows in (
        ("pooled", best.score.pooled, np.full(len(labels), True)),
        ("scored", best.score.scored or best.score.pooled, is_scored),
    ):
        value = float(np.mean([point_scores(labels[rows], each[rows])[metric] for each in seen]))
        check_score(path, f"score.{name}.value", record.value, value, "the predictions")
    check_score(path, "majority_rate", best.majority_rate, majority_rate(labels), "the predictions")
    groups = predictions["group"].to_numpy()
    for name, interval in scores(labels, seen[0], groups).items():
        found, recorded = IntervalRecord.of(interval), best.scores[name]
        for end in ("value", "low", "high"):
            expected = getattr(found, end)
            check_score(path, f"scores.{name}.{end}", getattr(recorded, end), expected, "the predictions")
    for trial, seeds in best.noise.seeds.items():
        for seed in seeds:
            if (done := len(study.folds_done(int(trial), seed))) < best.folds:
                raise MissingFile(
                    f"{study.seed_folder(int(trial), seed)}: has {done} of {best.folds} folds, but is complete "
                    f"according to {path.name}; {RESTORE}"
                )
    complete = complete_trials(study)
    if number not in complete:
        raise wrong_value(path, "trial", "a complete trial", best.trial)
    if best.num_complete > len(complete):
        raise wrong_value(path, "num_complete", f"at most {len(complete)}, the complete trials", best.num_complete)
    rivals = [] if best.by_cost else [each for each in complete if each != number]
    if better := [each for each in rivals if mean_score(study, each) > best.score.raw + ROUNDING]:
        raise UserError(
            f"{path}: the winner, trial {best.trial}, has {study.objective} {best.score.raw:.4f}, but trial "
            f"{better[0]:04d} has {mean_score(study, better[0]):.4f}: the file is older than that trial; resume the "
            f"search with --resume --study {study.name}, which writes it again"
        )


def _scores(study: Study, best: Best, seed: int) -> NDArray[np.float64]:
    """The objective in each fold of one of the winner's seeds, float64 (folds,)."""
    path, number = study.folder / layout.BEST, int(best.trial)
    if study.folds_done(number, seed) != list(range(best.folds)) or study.repeat_failure(number, seed) is not None:
        raise wrong_value(path, "seeds", f"seeds of trial {best.trial} with all {best.folds} folds", best.seeds)
    found = [study.fold(number, seed, fold).scores[study.objective] for fold in range(best.folds)]
    return np.array(found, dtype=np.float64)
