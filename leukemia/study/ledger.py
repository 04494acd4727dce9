"""The ledger of a study: how its device time was used, and how much stopping and waiting saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from leukemia.study.duration import duration, durations
from leukemia.study.folder import Study
from leukemia.study.ladder import open_state, waiting_trials

Kind = Literal["useful", "repeats", "stopped", "failed", "waiting", "redone", "unfinished"]
"""What device time was used for.

useful      first-seed folds of complete trials
repeats     folds of complete trials with other seeds
stopped     trials that were stopped early
failed      trials and repeats that crashed, diverged or have no usable score
waiting     trials that wait
redone      epochs that were trained again because a crash lost them, or their checkpoint had been removed
unfinished  other trials and folds that have not ended
"""

KINDS: tuple[Kind, ...] = get_args(Kind)

KIND_NAMES: dict[Kind, str] = {
    "useful": "useful",
    "repeats": "repeats with other seeds",
    "stopped": "stopped",
    "failed": "failed",
    "waiting": "waiting",
    "redone": "redone without a checkpoint",
    "unfinished": "unfinished",
}
"""Display name of each kind."""


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """Device time of one trial."""

    number: int
    state: str
    """A ``State``, ``waiting`` or ``running``."""

    folds_done: int
    """Finished folds of the first seed."""

    folds: int
    """Folds of the study."""

    seeds: int
    """Number of seeds with a finished fold, excluding failed repeats."""

    taken_over: bool
    """Whether the trial was reused from an earlier study and so used, and saved, no device time in this one."""

    cost: float
    """Device seconds of the finished folds of the first seed, in whichever study; used to compare trials."""

    seconds: dict[Kind, float]
    """Device seconds in this study, for every kind."""

    fold_seconds: tuple[float, ...]
    """Device seconds in this study of each finished fold of any seed."""

    seconds_postponed: float
    """Estimated device seconds of the epochs that a trial that waits has not trained: the mean of its own epochs for
    each; 0 for any other."""

    @property
    def total(self) -> float:
        """Device seconds of all kinds."""
        return sum(self.seconds.values())

    @property
    def folds_left_out(self) -> int:
        """Number of folds that a stopped trial did not run; 0 for failed trials."""
        return self.folds - self.folds_done if self.state == "stopped" and not self.taken_over else 0

    @property
    def seconds_left_out(self) -> float:
        """Estimated cost of these folds: the mean of the trial's own finished folds for each; 0 if it has none."""
        return self.folds_left_out * float(np.mean(self.fold_seconds)) if self.fold_seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "trial": f"{self.number:04d}",
            "state": self.state,
            "folds_done": self.folds_done,
            "folds": self.folds,
            "seeds": self.seeds,
            "taken_over": self.taken_over,
            "cost": self.cost,
            "seconds": {**self.seconds, "total": self.total},
            "fold_seconds": _none_if_nan(_mean(self.fold_seconds)),
            "left_out": {"folds": self.folds_left_out, "seconds": self.seconds_left_out},
            "postponed": self.seconds_postponed,
        }


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Device time of a study."""

    trials: tuple[TrialCost, ...]

    @property
    def seconds(self) -> dict[Kind, float]:
        """Device seconds of all trials by kind."""
        return {kind: sum(trial.seconds[kind] for trial in self.trials) for kind in KINDS}

    @property
    def total(self) -> float:
        """Device seconds of all trials and kinds."""
        return sum(trial.total for trial in self.trials)

    @property
    def fold_seconds(self) -> float:
        """Mean device seconds of a finished fold; NaN if there is none."""
        return _mean([seconds for trial in self.trials for seconds in trial.fold_seconds])

    @property
    def folds_left_out(self) -> int:
        """Number of folds that stopped trials did not run."""
        return sum(trial.folds_left_out for trial in self.trials)

    @property
    def folds_wanted(self) -> int:
        """Number of first-seed folds that complete and stopped trials would have run without early stopping."""
        own = (trial for trial in self.trials if not trial.taken_over)
        return sum(trial.folds for trial in own if trial.state in ("complete", "stopped"))

    @property
    def seconds_left_out(self) -> float:
        """Estimated device seconds of the folds that stopped trials did not run."""
        return sum(trial.seconds_left_out for trial in self.trials)

    @property
    def num_waiting(self) -> int:
        """Number of trials that wait."""
        return sum(trial.state == "waiting" for trial in self.trials)

    @property
    def seconds_postponed(self) -> float:
        """Estimated device seconds of the epochs that trials that wait have not trained."""
        return sum(trial.seconds_postponed for trial in self.trials)

    def table(self) -> pd.DataFrame:
        """One row per trial: ``trial, state, folds, seeds, taken_over``, then device seconds.

        These are ``cost``, each kind, their ``total``, the mean per ``fold`` and the estimate of what stopping or
        waiting saved (``left_out``).
        """
        rows = [
            {
                "trial": f"{trial.number:04d}",
                "state": trial.state,
                "folds": f"{trial.folds_done}/{trial.folds}",
                "seeds": trial.seeds,
                "taken_over": trial.taken_over,
                "cost": trial.cost,
                **trial.seconds,
                "total": trial.total,
                "fold": _mean(trial.fold_seconds),
                "left_out": trial.seconds_left_out + trial.seconds_postponed,
            }
            for trial in self.trials
        ]
        seconds = ["cost", *KINDS, "total", "fold", "left_out"]
        table = pd.DataFrame(rows, columns=["trial", "state", "folds", "seeds", "taken_over", *seconds])
        return table.astype(dict.fromkeys(seconds, float))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: device seconds by kind, per fold and per trial, and what stopping and waiting saved."""
        return {
            "seconds": {**self.seconds, "total": self.total},
            "fold_seconds": _none_if_nan(self.fold_seconds),
            "left_out": {"folds": self.folds_left_out, "of": self.folds_wanted, "seconds": self.seconds_left_out},
            "postponed": {"trials": self.num_waiting, "seconds": self.seconds_postponed},
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def durations(self) -> dict[Kind, str]:
        """The device time of each kind that has any, rounded so that they add up to the rounded total."""
        used = {kind: seconds for kind, seconds in self.seconds.items() if seconds}
        return dict(zip(used, durations(list(used.values())), strict=True))

    def describe(self) -> str:
        """A one-line summary; kinds without device time are omitted."""
        parts = [f"{text} {KIND_NAMES[kind]}" for kind, text in self.durations().items()]
        text = f"device time: {duration(self.total)} ({', '.join(parts)})" if parts else "device time: none yet"
        if self.folds_left_out:
            saved = f", about {duration(self.seconds_left_out)}" if self.seconds_left_out else ""
            text += f"; early stopping saved {self.folds_left_out} of {self.folds_wanted} folds{saved}"
        num_taken_over = sum(trial.taken_over for trial in self.trials)
        return text + (f"; trials reused from earlier studies: {num_taken_over}" if num_taken_over else "")


def ledger_of(study: Study) -> Ledger:
    """Compute the ledger from the epochs and folds of every trial."""
    waiting = waiting_trials(study)
    return Ledger(trials=tuple(_cost_of(study, number, number in waiting) for number in study.trials()))


def _cost_of(study: Study, number: int, is_waiting: bool) -> TrialCost:
    first, end, num_folds = study.recipe(number).train.seed, study.end(number), study.info.folds
    state, origin = end.state if end else open_state(is_waiting), study.origin(number)
    elsewhere = [] if origin is None else origin.seeds
    spent, finished, seeds = _spent(study, number), {}, study.seeds(number)
    for seed in seeds:
        for fold in study.folds_done(number, seed):
            # A fold's seconds exclude epochs before an interruption; the epochs' seconds exclude the predictions.
            own = float(study.fold(number, seed, fold).seconds)
            finished[seed, fold] = max(own, spent.get((seed, fold), 0.0))
    failed = {seed for seed in seeds if study.repeat_failure(number, seed) is not None}
    seconds = dict.fromkeys(KINDS, 0.0)
    for (seed, fold), value in {**spent, **finished}.items():
        if seed not in elsewhere:
            ended = "failed" if seed in failed else state
            seconds[_kind(ended, is_first=seed == first, is_done=(seed, fold) in finished)] += value
    redone = study.repeated(number)
    seconds["redone"] = float(redone.loc[~redone["seed"].isin(elsewhere), "seconds"].sum())
    return TrialCost(
        number=number,
        state=state,
        folds_done=sum(seed == first for seed, _ in finished),
        folds=num_folds,
        seeds=len({seed for seed, _ in finished} - failed),
        taken_over=origin is not None,
        cost=sum(value for (seed, _), value in finished.items() if seed == first),
        seconds=seconds,
        fold_seconds=tuple(value for (seed, _), value in finished.items() if seed not in elsewhere),
        seconds_postponed=_postponed(study, number) if state == "waiting" else 0.0,
    )


def _postponed(study: Study, number: int) -> float:
    recipe, epochs = study.recipe(number), study.epochs(number)
    own = epochs.loc[epochs["seed"] == recipe.train.seed, "seconds"]
    return float(own.mean()) * (study.info.folds * recipe.train.epochs - len(own)) if len(own) else 0.0


def _spent(study: Study, number: int) -> dict[tuple[int, int], float]:
    """Device seconds of a trial's epochs by seed and fold."""
    epochs = study.epochs(number)
    found: dict[tuple[int, int], float] = {}
    for seed, fold, seconds in zip(epochs["seed"], epochs["fold"], epochs["seconds"], strict=True):
        key = (int(seed), int(fold))
        found[key] = found.get(key, 0.0) + float(seconds)
    return found


def _kind(state: str, *, is_first: bool, is_done: bool) -> Kind:
    if state == "stopped":
        return "stopped"
    if state == "failed":
        return "failed"
    if state == "waiting":
        return "waiting"
    if state == "running" or not is_done:
        return "unfinished"
    return "useful" if is_first else "repeats"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
