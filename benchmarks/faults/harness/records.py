"""The three records of a study: Optuna journal, study folder and W&B runs, and where they differ."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from leukemia.base.errors import MissingFile, UserError
from leukemia.study.folder import Study
from leukemia.study.schema import FoldRecord

STATES = {"complete": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}
SERIES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate")


def _log_of(folder: Path) -> list[dict[str, Any]]:
    """All records of an offline run's transaction log."""
    wandb = Path(sys.executable).with_name("wandb")
    output = subprocess.run(
        [str(wandb), "leet", "inspect", "--json", str(folder)], capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in output.stdout.splitlines()]


def differences(folder: Path) -> Iterator[str]:
    """One line for each difference between journal, study folder and W&B runs, for every trial.

    Raises:
        MissingFile: there is no study or no journal.
        UserError: the journal does not contain exactly one study.
    """
    study = Study.open(folder)
    in_journal = {trial.number: trial for trial in _journal_of(study).get_trials(deepcopy=False)}
    if sorted(in_journal) != study.trials():
        yield f"journal has trials {sorted(in_journal)}, the folder {study.trials()}"
    for number in study.trials():
        if study.origin(number) is not None:
            # Reused from an earlier study, which has its W&B run.
            continue
        if number not in in_journal:
            continue
        for problem in [*_journal(study, number, in_journal[number]), *_wandb(study, number)]:
            yield f"trial {number:04d}: {problem}"


def _journal_of(study: Study) -> optuna.Study:
    """The only study of the journal, which keeps its name when the folder is renamed."""
    path = study.folder / "optuna.journal"
    if not path.is_file():
        # Optuna would create an empty one.
        raise MissingFile(f"no journal at {path}; restore it from a backup")
    try:
        return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: expected a journal with one study ({error}); restore it from a backup") from None


def _folds(study: Study, number: int) -> dict[int, FoldRecord]:
    seed = study.recipe(number).train.seed
    return {fold: study.fold(number, seed, fold) for fold in study.folds_done(number, seed)}


def _journal(study: Study, number: int, trial: optuna.trial.FrozenTrial) -> Iterator[str]:
    end, objective = study.end(number), study.objective
    if end is None:
        yield "has not ended"
        return
    if trial.state.name != STATES[end.state]:
        yield f"{end.state} in the folder, {trial.state.name} in the journal"
    scores = {fold: content.scores[objective] for fold, content in _folds(study, number).items()}
    # With two objectives Optuna accepts no intermediate values; they are user attributes instead.
    reported = trial.intermediate_values or {
        int(key.removeprefix("fold_")): value for key, value in trial.user_attrs.items() if key.startswith("fold_")
    }
    if reported != {fold: score for fold, score in scores.items() if score is not None}:
        yield f"fold scores {scores} in the folder, {reported} in the journal"
    if end.state == "complete" and trial.values[0] != end.score:
        yield f"score {end.score} in the folder, {trial.values[0]} in the journal"
    flat = study.recipe(number).flat()
    for key, value in trial.params.items():
        if flat[key] != value:
            yield f"{key} is {flat[key]} in the folder, {value} in the journal"


def _wandb(study: Study, number: int) -> Iterator[str]:
    run_id = f"{study.info.study_uid}-{number:04d}"
    folders = sorted((study.folder / "wandb").glob(f"*run-*-{run_id}"))
    if len(folders) != 1:
        yield f"{len(folders)} W&B runs, expected 1"
        return
    found = _log_of(folders[0])
    end = study.end(number)
    state, score = (None, None) if end is None else (end.state, end.score)
    exits = [record["exit"].get("exit_code", 0) for record in found if record["type"] == "exit"]
    if exits != [int(state == "failed")]:
        yield f"{state} in the folder, W&B exit codes {exits}"
    summary = {
        key: value
        for record in found
        if record["type"] == "summary"
        for key, value in record["summary"]["update"].items()
    }
    # The score without a suffix is the mean over all seeds.
    if (summary.get("state"), summary.get(f"{study.objective}_first_seed")) != (state, score):
        yield f"ended as {end} in the folder, W&B's summary is {summary}"
    items = [record["history"]["item"] for record in found if record["type"] == "history"]
    # The last row contains predictions and figures.
    yield from _series(study, number, [item for item in items if "epoch" in item or "fold/number" in item])


def _series(study: Study, number: int, items: list[dict[str, Any]]) -> Iterator[str]:
    expected = []
    epochs = study.epochs(number)
    # Repeats with other seeds have no run of their own.
    for row in epochs[epochs["seed"] == study.recipe(number).train.seed].to_dict("records"):
        expected.append({f"fold_{row['fold']}/{name}": row[name] for name in SERIES} | {"epoch": row["epoch"]})
    for fold, content in _folds(study, number).items():
        scores = {f"fold/{name}": value for name, value in content.scores.items() if value is not None}
        expected.append(scores | {"fold/number": fold})
    if len(items) != len(expected):
        yield f"{len(expected)} epochs and folds in the folder, {len(items)} in W&B"
    for wanted in expected:
        if not any(all(_same(item.get(key), value) for key, value in wanted.items()) for item in items):
            yield f"W&B lacks {wanted}"


def _same(logged: Any, value: float) -> bool:
    return isinstance(logged, int | float) and math.isclose(logged, value, rel_tol=1e-12)
