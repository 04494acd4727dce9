"""The ledger of a study: where its device time went, and what stopping trials early left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from leukemia.study.folder import Study

Kind = Literal["useful", "repeats", "stopped", "failed", "redone", "unfinished"]
"""What device time went into.

useful      first-seed folds of complete trials
repeats     folds of complete trials with other seeds: evidence as well, but it chooses nothing new
stopped     trials that the judge gave up
failed      trials, and repeats, that crashed, diverged or have no usable score
redone      epochs that a crash lost and that were trained again
unfinished  trials and folds that have not ended
"""

KINDS: tuple[Kind, ...] = get_args(Kind)

KIND_NAMES: dict[Kind, str] = {
    "useful": "useful",
    "repeats": "repeats with other seeds",
    "stopped": "stopped",
    "failed": "failed",
    "redone": "done twice after a crash",
    "unfinished": "unfinished",
}
"""Each kind as a person reads it."""


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """Device time of one trial."""

    number: int
    state: str
    """How the trial ended, or ``running``."""

    folds_done: int
    """Finished folds of the first seed."""

    folds: int
    """Folds of the study."""

    seeds: int
    """Seeds with a finished fold, without those that failed."""

    taken_over: bool
    """Whether an earlier study ran it: then nothing of it was spent, or left out, in this one."""

    cost: float
    """Device seconds of the finished folds of the first seed, wherever they were spent: what trials are compared by."""

    seconds: dict[Kind, float]
    """Device seconds in this study by kind, every kind being there."""

    fold_seconds: tuple[float, ...]
    """Device seconds in this study of each finished fold of any seed."""

    @property
    def total(self) -> float:
        """Device seconds of all kinds."""
        return sum(self.seconds.values())

    @property
    def folds_left_out(self) -> int:
        """Folds that a stopped trial did not run; of failed trials nothing is claimed."""
        return self.folds - self.folds_done if self.state == "stopped" and not self.taken_over else 0

    @property
    def seconds_left_out(self) -> float:
        """What these folds would have cost at the mean of the trial's own finished folds; 0 where it has none."""
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
        """Mean device seconds of a finished fold, NaN where there is none."""
        return _mean([seconds for trial in self.trials for seconds in trial.fold_seconds])

    @property
    def folds_left_out(self) -> int:
        """Folds that stopped trials did not run."""
        return sum(trial.folds_left_out for trial in self.trials)

    @property
    def folds_wanted(self) -> int:
        """First-seed folds that complete and stopped trials would have run, had none been stopped."""
        own = (trial for trial in self.trials if not trial.taken_over)
        return sum(trial.folds for trial in own if trial.state in ("complete", "stopped"))

    @property
    def seconds_left_out(self) -> float:
        """About what the folds left out would have cost."""
        return sum(trial.seconds_left_out for trial in self.trials)

    def table(self) -> pd.DataFrame:
        """One row per trial: ``trial, state, folds, seeds, taken_over``, then device seconds.

        These are ``cost``, each kind, their ``total``, the mean of a ``fold`` and what was ``left_out``.
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
                "left_out": trial.seconds_left_out,
            }
            for trial in self.trials
        ]
        seconds = ["cost", *KINDS, "total", "fold", "left_out"]
        table = pd.DataFrame(rows, columns=["trial", "state", "folds", "seeds", "taken_over", *seconds])
        return table.astype(dict.fromkeys(seconds, float))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: device seconds by kind, per fold and per trial, and what was left out."""
        return {
            "seconds": {**self.seconds, "total": self.total},
            "fold_seconds": _none_if_nan(self.fold_seconds),
            "left_out": {"folds": self.folds_left_out, "of": self.folds_wanted, "seconds": self.seconds_left_out},
            "trials": [trial.to_dict() for trial in self.trials],
        }

    def describe(self) -> str:
        """The ledger as a sentence; kinds without any time are left out."""
        parts = [f"{duration(seconds)} {KIND_NAMES[kind]}" for kind, seconds in self.seconds.items() if seconds]
        words = f"device time: {duration(self.total)}, of it {', '.join(parts)}" if parts else "device time: none yet"
        if self.folds_left_out:
            saved = f", about {duration(self.seconds_left_out)}" if self.seconds_left_out else ""
            words += f"; stopping early left out {self.folds_left_out} of {self.folds_wanted} folds{saved}"
        num_taken_over = sum(trial.taken_over for trial in self.trials)
        return words + (f"; trials taken over from an earlier study: {num_taken_over}" if num_taken_over else "")


def duration(seconds: float) -> str:
    """A time span in the largest unit of which there is one.

    >>> duration(11520), duration(2160), duration(12.3)
    ('3.2 h', '36 min', '12 s')
    """
    # Half a unit less: what is rounded up to 60 s is a minute.
    if seconds >= 3600 - 30:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 60 - 0.5 else f"{seconds:.0f} s"


def ledger_of(study: Study) -> Ledger:
    """Add up the device time of every trial from its epochs and folds."""
    num_folds = study.info.folds
    return Ledger(trials=tuple(_cost_of(study, number, num_folds) for number in study.trials()))


def _cost_of(study: Study, number: int, num_folds: int) -> TrialCost:
    first, end = study.recipe(number).train.seed, study.end(number)
    state, origin = end.state if end else "running", study.origin(number)
    elsewhere = [] if origin is None else origin.seeds
    spent, finished, seeds = _spent(study, number), {}, study.seeds(number)
    for seed in seeds:
        for fold in study.folds_done(number, seed):
            # A fold's own seconds lack the epochs before an interruption; the epochs lack the predictions after them.
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
    )


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
    if state == "running" or not is_done:
        return "unfinished"
    return "useful" if is_first else "repeats"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
