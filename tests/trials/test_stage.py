"""Importances are computed at the latest stage that enough trials have reached."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.worlds import World

from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from search.trials import stage
from search.trials.stage import latest_stage

RUNGS = (0.05, 0.15)
SHOWN = {number: {1: 0.1 * number, 2: 0.2 * number} for number in range(6)} | {6: {1: 0.6}, 7: {1: float("nan")}}
"""Trials 0 to 5 came to the second rung, 6 to the first one; what 7 showed there is undefined."""


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog) -> Study:
    """Of four trials that finished both folds, and two that were stopped after the first; one of eight has failed."""
    fates = dict.fromkeys((4, 5), "stopped") | {6: "undefined", 7: "failed"}
    world = World(tmp_path / "study", tiny_catalog, trials=8, fates=fates, racing=True, margin=0.0, repeats=0)
    world.run()
    return world.study


@pytest.mark.parametrize(
    ("least", "name", "numbers"),
    [
        (1, "all folds", None),
        (6, "1 of 2 folds", None),
        (7, "5 % of fold 1", {0, 1, 2, 3, 4, 5, 6}),
        (20, "5 % of fold 1", {0, 1, 2, 3, 4, 5, 6}),
    ],
)
def test_the_latest_stage_with_enough_trials_is_taken(
    study: Study, monkeypatch: pytest.MonkeyPatch, least: int, name: str, numbers: set[int] | None
) -> None:
    monkeypatch.setattr(stage, "MIN_TRIALS", least)
    shown = {number: each for number, each in SHOWN.items() if number < 7}
    found = latest_stage(study, shown, RUNGS)
    assert found.name == name
    if numbers is not None:
        assert set(found.scores) <= numbers
    num_folds = {"all folds": 2, "1 of 2 folds": 1}.get(name)
    if num_folds is not None:
        for number, score in found.scores.items():
            scores = [study.fold(number, 0, fold).scores[study.objective] or 0.0 for fold in range(num_folds)]
            assert score == pytest.approx(sum(scores) / num_folds)


def test_without_trials_no_stage_has_scores(tmp_path: Path, tiny_catalog: Catalog) -> None:
    world = World(tmp_path / "study", tiny_catalog)
    found = latest_stage(world.study, {}, RUNGS)
    assert (found.name, dict(found.scores)) == ("all folds", {})
