"""With pausing, proposals depend on what trials showed at rungs; after a kill they are the same with one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.worlds import Killed, World, everything, frozen

from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog, read_catalog
from search.policy.ladder import Ladder
from search.sampling.journal import Journal

NUM_TRIALS = 14
"""Optuna's TPE needs ten trials that do not run before it proposes anything but random recipes."""


def world_at(folder: Path, catalog: Catalog) -> World:
    return World(folder, catalog, folds=2, epochs=8, trials=NUM_TRIALS, pausing=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, session_cache: Path, tiny_folder: Path) -> World:
    with pytest.MonkeyPatch.context() as patch:
        # As for each test, but before the first.
        patch.setenv("LEUKEMIA_CACHE", str(session_cache))
        world = world_at(tmp_path_factory.mktemp("undisturbed") / "study", read_catalog(tiny_folder))
        world.run()
    return world


def recipes(world: World) -> list[Recipe]:
    return [world.study.recipe(number) for number in world.study.trials()]


def test_what_rungs_showed_is_not_in_the_journal(undisturbed: World) -> None:
    for trial in frozen(undisturbed):
        assert trial.state.name == "COMPLETE"
        scores = [undisturbed.study.fold(trial.number, 0, fold).scores["tta_accuracy"] for fold in range(2)]
        assert trial.intermediate_values == dict(enumerate(scores)), "scores of folds, and nothing else"


def test_what_rungs_showed_changes_the_proposals(
    undisturbed: World, tmp_path: Path, tiny_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ladder, "shown", lambda self: {})
    other = world_at(tmp_path / "study", tiny_catalog)
    other.run()
    assert recipes(other)[:10] == recipes(undisturbed)[:10]
    assert recipes(other)[11:] != recipes(undisturbed)[11:]


@pytest.mark.parametrize(("number", "after"), [(11, False), (12, True)], ids=["before", "after"])
def test_a_kill_at_a_proposal_changes_none(
    undisturbed: World,
    tmp_path: Path,
    tiny_catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    after: bool,
) -> None:
    killed, ask = world_at(tmp_path / "study", tiny_catalog), Journal.ask

    def interrupted(self: Journal, *arguments: Any) -> tuple[int, Recipe]:
        if self.num_trials() == number and not after:
            raise Killed
        asked = ask(self, *arguments)
        if asked[0] == number:
            raise Killed
        return asked

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "ask", interrupted)
        with pytest.raises(Killed):
            killed.run()
    assert len(frozen(killed)) == number + after
    resumed = world_at(tmp_path / "study", tiny_catalog)
    resumed.run()
    assert everything(resumed) == everything(undisturbed)
