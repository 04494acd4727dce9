"""``best.json``: there and back; what is no winner."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from leukemia.best import INTERVALS, SCHEMA, Best
from leukemia.config import Optimizer, Recipe
from leukemia.metrics import METRICS
from leukemia.mistakes import MissingFile, Mistake

BEST = Best(
    study="one",
    study_uid="abcd1234",
    trial="0007",
    recipe=Recipe(optimizer=Optimizer(name="adamw", learning_rate=0.1 + 0.2)).resolved(64),
    objective="tta_accuracy",
    score={
        "raw": 1 / 3,
        "pooled": {"value": 0.32, "low": 0.2, "high": 0.5},
        "bootstrap": {"value": 0.31, "low": 0.2, "high": 0.5},
        "leave_fold_out": {"value": 0.3, "low": None, "high": 0.4},
        "headline": {"value": 0.3, "low": None, "high": 0.4},
    },
    scores={name: {"value": 0.3, "low": None, "high": 0.4} for name in METRICS},
    noise={"winner_vs_start": "better by 1.0 points", "fold_noise": 0.01, "seeds": {"0007": [0, 1]}},
    num_complete=5,
    majority_rate=2 / 3,
    folds=3,
    folds_done=3,
    seeds=[0],
    n=12,
    protocol="grouped",
    data={"uri": "cells", "fingerprint": "f" * 64, "base": None, "subjects_from": None},
    splits_sha256="0" * 64,
    versions={"torch": "2"},
    commit="unknown",
    hardware={"device": "cpu"},
    command="python -m search.run",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "best.json"
    BEST.save(path)
    return path


def change(path: Path, **values: Any) -> None:
    """Overwrite fields of the file; None removes one."""
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_best_comes_back_exactly(path: Path) -> None:
    assert Best.load(path) == BEST
    content = json.loads(path.read_text())
    assert content["recipe"] == BEST.recipe.flat()
    assert content["schema"] == SCHEMA == 2


def test_study_without_a_winner(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^no .*best.json: this study has no complete trial; let the search finish"):
        Best.load(tmp_path / "best.json")


def test_incomplete_trial(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    dataclasses.replace(BEST, folds_done=2).save(path)
    with pytest.raises(Mistake, match=r"best.json: trial 0007 finished 2 of 3 folds; only a complete trial can win"):
        Best.load(path)


def test_other_schema(path: Path) -> None:
    change(path, schema=1)
    with pytest.raises(Mistake, match=r"best.json: expected schema 2; it was written by another version"):
        Best.load(path)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"schema": "1"}'])
def test_file_that_is_no_best(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(Mistake, match=r"best.json: (expected a JSON|expected a field|field .schema.)"):
        Best.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trial", "../../etc"),
        ("trial", 5),
        ("scores", []),
        ("scores", {"accuracy": {"value": "good", "low": None, "high": None}}),
        ("score", {}),
        ("score", {"raw": 0.5}),
        ("score", {"raw": 0.5, **{name: {"value": 0.5, "low": 0.4} for name in INTERVALS}}),
        ("score", {"raw": "good", **dict.fromkeys(INTERVALS, BEST.score["pooled"])}),
        ("noise", []),
        ("num_complete", 1.5),
        ("majority_rate", "x"),
        ("folds", "3"),
        ("data", {}),
    ],
)
def test_field_of_another_kind(path: Path, field: str, value: Any) -> None:
    change(path, **{field: value})
    with pytest.raises(Mistake, match=r"best.json: (field '|expected a field ').*; restore the file from a copy$"):
        Best.load(path)


def test_fields_missing_or_unknown(path: Path) -> None:
    change(path, luck=1, trial=None)
    with pytest.raises(Mistake, match=r"best.json: fields missing or unknown: luck, trial$"):
        Best.load(path)


@pytest.mark.parametrize("recipe", [{"train.epoch": 3}, {"train.epochs": 0}])
def test_recipe_that_is_none(path: Path, recipe: Any) -> None:
    change(path, recipe=recipe)
    with pytest.raises(Mistake, match=r"best.json: (unknown recipe field|train.epochs)"):
        Best.load(path)


def test_damaged_file(path: Path) -> None:
    path.write_text(path.read_text()[:100])
    with pytest.raises(Mistake, match=r"best.json: expected JSON, got something else .*; restore the file from a copy"):
        Best.load(path)
