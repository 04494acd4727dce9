"""Compare the results of a disturbed search with those of an undisturbed one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study

TIMES = ("seconds", "images_per_second", "device_memory_mb")
"""Columns of epochs that differ between two runs."""


def results(folder: Path) -> dict[str, Any]:
    """All results that a fault must not change, by file."""
    study, best = Study.open(folder), Best.load(folder / layout.BEST)
    found: dict[str, Any] = {layout.BEST: (best.trial, best.score, best.scores, best.noise)}
    for number in study.trials():
        end = study.end(number)
        found[f"trial {number}"] = (study.recipe(number), end and (end.state, end.reason, end.score))
        for seed in study.seeds(number):
            for fold in study.folds_done(number, seed):
                name = study.trial_folder(number).relative_to(folder) / f"seed_{seed}" / f"fold_{fold}"
                found[f"{name}.json"], found[f"{name}.csv"], found[f"epochs of {name}"] = _fold(
                    study, number, seed, fold
                )
    return found


def trained(folder: Path) -> dict[str, Any]:
    """What a study had trained when each trial ended, which depends on the order in which they did."""
    study = Study.open(folder)
    ends = {number: study.end(number) for number in study.trials()}
    return {f"training before the end of trial {number}": end and end.trained for number, end in ends.items()}


def compare(undisturbed: Path, disturbed: Path, *, in_order: bool = False) -> Iterator[str]:
    """One line for each result that differs from the undisturbed search.

    Args:
        in_order: whether the trials must also have ended in the same order.
    """
    expected, found = (results(folder) | (trained(folder) if in_order else {}) for folder in (undisturbed, disturbed))
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            yield f"{name} differs" if name in expected and name in found else f"only one of the searches has {name}"


def compare_shared(undisturbed: Path, disturbed: Path) -> tuple[int, list[str]]:
    """Compare the finished folds of those recipes that both searches have tried, whatever the numbers of the trials.

    Returns:
        the number of these folds, and a line for each that differs.
    """
    expected, found = (_folds_by_recipe(Study.open(folder)) for folder in (undisturbed, disturbed))
    shared = expected.keys() & found.keys()
    differing = sorted(found[key][0] for key in shared if expected[key][1] != found[key][1])
    return len(shared), [f"{name} differs from that of the same recipe" for name in differing]


def _folds_by_recipe(study: Study) -> dict[tuple[str, int, int], tuple[str, Any]]:
    """Name and content of each finished fold, by recipe, seed and fold."""
    return {
        (study.recipe(number).identity(), seed, fold): (
            f"fold {fold} of trial {number}, seed {seed},",
            _fold(study, number, seed, fold),
        )
        for number in study.trials()
        for seed in study.seeds(number)
        for fold in study.folds_done(number, seed)
    }


def _fold(study: Study, number: int, seed: int, fold: int) -> tuple[Any, bytes, str]:
    """Scores, predictions and epochs of a finished fold; as text, NaN equals NaN."""
    epochs = study.epochs(number).drop(columns=list(TIMES))
    own = epochs[(epochs["seed"] == seed) & (epochs["fold"] == fold)]
    path = study.fold_file(number, seed, fold)
    return study.fold(number, seed, fold).scores, path.with_suffix(".csv").read_bytes(), own.to_csv(index=False)


def repeated_epochs(study: Study) -> int:
    """Epochs that were trained twice."""
    return sum(len(study.repeated(number)) for number in study.trials())
