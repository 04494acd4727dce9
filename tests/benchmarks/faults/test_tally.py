"""The outcomes of kills: kept in a file, counted by moment, and continued by the same benchmark only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.faults.harness.moments import Moment
from benchmarks.faults.harness.tally import Outcome, Tally
from leukemia.base.errors import UserError

OPTIONS = {"trials": 4, "places": 1, "seed": 0}


def outcome(kind: str, number: int, moment: Moment, *problems: str) -> Outcome:
    return Outcome(
        kind=kind, number=number, moment=moment, repeated_epochs=number, shared_folds=10, problems=list(problems)
    )


def test_a_benchmark_is_continued_with_its_outcomes(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "kills.jsonl", OPTIONS)
    tally.add(outcome("driver", 1, "at a rung"))
    tally.add(outcome("ray", 1, "at a rung", "trial 1 differs"))
    tally.add(outcome("ray", 2, "in a repeat"))
    again = Tally(tmp_path / "kills.jsonl", OPTIONS)
    assert again.of("ray") == tally.of("ray") != {}
    assert sorted(again.of("ray")) == [1, 2]
    assert again.of("trial") == {}
    assert again.table() == [
        "| moment of the kill | driver | ray |",
        "| --- | --- | --- |",
        "| at a rung | 1 of 1 | 0 of 1 |",
        "| in a repeat | - | 1 of 1 |",
    ]
    assert again.summary() == {
        **OPTIONS,
        "kills": 3,
        "passed": 2,
        "repeated_epochs": 4,
        "shared_folds": 30,
        "moments": {"at a rung": 2, "in a repeat": 1},
    }


def test_a_benchmark_with_other_options_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "kills.jsonl"
    Tally(path, OPTIONS)
    before = path.read_text()
    message = rf"{re.escape(str(path))}: was begun with {{'trials': 4, .*, got {{'trials': 12, .*; give another --name"
    with pytest.raises(UserError, match=message):
        Tally(path, {**OPTIONS, "trials": 12})
    assert path.read_text() == before
