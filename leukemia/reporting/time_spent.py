"""The device time that a study had spent when each of its trials ended."""

from __future__ import annotations

from leukemia.study.folder import Study
from leukemia.study.ledger import Ledger
from leukemia.study.times import fold_ended, trial_ended


def time_spent(study: Study, ledger: Ledger) -> dict[int, float]:
    """Device seconds of the whole study at the end of each trial that has ended, by number.

    A fold counts when it ends; what a trial used beyond its finished folds, when the trial ends.
    """
    ends = {trial.number: trial_ended(study, trial.number) for trial in ledger.trials}
    events = []
    for trial in ledger.trials:
        origin = study.origin(trial.number)
        elsewhere = [] if origin is None else origin.seeds
        folds = [
            study.fold(trial.number, seed, fold)
            for seed in study.seeds(trial.number)
            if seed not in elsewhere
            for fold in study.folds_done(trial.number, seed)
        ]
        events += [(fold_ended(study, trial.number, fold), fold.seconds) for fold in folds]
        if (ended := ends[trial.number]) is not None:
            events.append((ended, max(0.0, trial.total - sum(fold.seconds for fold in folds))))
    return {
        number: sum(seconds for time, seconds in events if time <= ended)
        for number, ended in ends.items()
        if ended is not None
    }
