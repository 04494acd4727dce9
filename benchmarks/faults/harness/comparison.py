"""Compare the results of a disturbed search with those of an undisturbed one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leukemia.study.best import Best
from leukemia.study.folder import Study


def results(folder: Path) -> dict[str, Any]:
    """All results that a fault must not change, by file."""
    study, best = Study.open(folder), Best.load(folder / "best.json")
    found: dict[str, Any] = {"best.json": (best.trial, best.score, best.scores)}
    for number in study.trials():
        end = study.end(number)
        found[f"trial {number}"] = (study.recipe(number), end and (end.state, end.score))
        for seed in study.seeds(number):
            for fold in study.folds_done(number, seed):
                name = study.trial_folder(number).relative_to(folder) / f"seed_{seed}" / f"fold_{fold}"
                found[f"{name}.json"] = study.fold(number, seed, fold).scores
                found[f"{name}.csv"] = (folder / f"{name}.csv").read_bytes()
    return found


def compare(undisturbed: Path, disturbed: Path) -> Iterator[str]:
    """One line for each result that differs from the undisturbed search."""
    expected, found = results(undisturbed), results(disturbed)
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            yield f"{name} differs" if name in expected and name in found else f"only one of the searches has {name}"


def repeated_epochs(study: Study) -> int:
    """Epochs that were trained twice."""
    return sum(len(study.repeated(number)) for number in study.trials())
