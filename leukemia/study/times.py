"""When a study's trials, folds and epochs ended, in seconds since 1970.

Trials and folds record it. In folders of older versions, the time of the file says it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import FoldRecord


def trial_ended(study: Study, number: int) -> float | None:
    """When a trial ended, its repeats excluded; None while it is running."""
    end = study.end(number)
    return None if end is None else _seconds(end.ended, study.trial_folder(number) / layout.STATE)


def fold_ended(study: Study, number: int, fold: FoldRecord) -> float:
    """When a fold of a trial was committed."""
    return _seconds(fold.ended, study.fold_file(number, fold.seed, fold.fold))


def search_ended(study: Study) -> float:
    """When the last trial or fold ended, repeats included; 0 if nothing has ended."""
    trials = [(number, trial_ended(study, number)) for number in study.trials()]
    folds = (
        fold_ended(study, number, study.fold(number, seed, fold))
        for number, _ in trials
        for seed in study.seeds(number)
        for fold in study.folds_done(number, seed)
    )
    return max([0.0, *folds, *(time for _, time in trials if time is not None)])


def epochs_ended(study: Study, number: int, seconds: Sequence[float], fold: FoldRecord | None) -> list[float]:
    """When the epochs of a fold ended: counted back from the end of the fold, less its evaluation.

    Args:
        seconds: of each epoch.
        fold: None if it is not finished: then its last epoch is the last one written to ``epochs.csv``.
    """
    if fold is None:
        return counted_back(seconds, (study.trial_folder(number) / layout.EPOCHS).stat().st_mtime)
    # After an interruption, the fold's seconds exclude the epochs before it.
    return counted_back(seconds, fold_ended(study, number, fold) - max(0.0, fold.seconds - sum(seconds)))


def counted_back(seconds: Sequence[float], last: float) -> list[float]:
    """When each of several epochs ended.

    >>> counted_back([2.0, 3.0, 4.0], 100.0)
    [93.0, 96.0, 100.0]
    """
    return [float(time) for time in last - np.sum(seconds) + np.cumsum(seconds)]


def iso(time: float) -> str:
    """A time in UTC, ISO 8601, to the second.

    >>> iso(0.5)
    '1970-01-01T00:00:00Z'
    """
    return datetime.datetime.fromtimestamp(int(time), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(recorded: str, path: Path) -> float:
    return datetime.datetime.fromisoformat(recorded).timestamp() if recorded else path.stat().st_mtime
