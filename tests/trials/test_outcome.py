"""The outcome of a search: is ``best.json`` up to date, and which trial do the remarks refer to?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.studies import change_info
from helpers.worlds import World
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.base.files import write_json
from leukemia.base.record import write_record
from leukemia.data.catalog import Catalog
from leukemia.delivery.messages import unfinished
from leukemia.report import main
from leukemia.scoring.selection import corrected
from leukemia.study.best import Best
from leukemia.study.best_score import BestScore
from leukemia.study.headline import winner_verdict
from leukemia.study.verification import verify
from search.trials.outcome import print_outcome, write_best

REUSED = {"paused_before": True}
"""As of a study without pausing that has reused trials of a study with it."""


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    return lambda **settings: World(tmp_path / "study", tiny_catalog, **settings)


def test_a_winner_older_than_a_better_trial_is_refused(world_in: Callable[..., World]) -> None:
    """As after an older ``best.json`` of the study was put back."""
    world = world_in(trials=1, fates={0: "worse"})
    write_best(world.study, world.catalog, world.splits, world.run().progress)
    verify(world.study)
    resumed = world_in(trials=2)
    driver = resumed.run()
    message = r"best.json: the winner, trial 0000, has tta_accuracy 0.5\d+, but trial 0001 has 0.\d+: the file is older"
    with pytest.raises(UserError, match=message):
        verify(resumed.study)
    write_best(resumed.study, resumed.catalog, resumed.splits, driver.progress)
    verify(resumed.study)


def test_a_winner_that_only_guesses_says_so_first(
    world_in: Callable[..., World], capsys: pytest.CaptureFixture[str]
) -> None:
    world = world_in(trials=1, fates={0: "worse"})
    study = world.study
    write_best(study, world.catalog, world.splits, world.run().progress)
    write_json(study.folder / "hindsight.json", {"lines": [], "importances": {}})
    verdict = winner_verdict(study, Best.of(study))
    assert "better than always answering leukemic, out of fold: " in verdict
    assert print_outcome(Console(width=200), study, has_winner=True) == 0
    printed = capsys.readouterr().out
    assert 0 < printed.index(f"warning: {verdict}\n") < printed.index("winner: trial 0000")
    page = (study.folder / "report.html").read_text()
    assert 0 < page.index(verdict) < page.index("This is the score to quote")


@pytest.mark.parametrize(("changes", "scored_folds"), [({}, [0, 1]), ({"pausing": True}, [1]), (REUSED, [1])])
def test_if_fold_0_has_chosen_the_winner_is_scored_on_the_other_folds(
    world_in: Callable[..., World], changes: dict[str, bool], scored_folds: list[int]
) -> None:
    world = world_in(trials=3)
    driver = world.run()
    study = change_info(world.study, **changes)
    write_best(study, world.catalog, world.splits, driver.progress)
    verify(study)
    best, winner, candidates = Best.of(study), driver.race.winner(), driver.race.candidates()
    assert winner is not None
    expected = corrected(candidates, "accuracy", winner=winner.number, scored_folds=scored_folds)
    assert best.score == BestScore.of(winner.score, expected, scored_folds)
    assert best.scores["accuracy"] == best.score.pooled
    rows = np.isin(candidates.folds, scored_folds)
    right = (candidates.probabilities[winner.number][0] >= 0.5) == candidates.labels
    assert best.score.scored is not None
    assert best.score.scored.value == pytest.approx(right[rows].mean())
    content = json.loads((study.folder / "best.json").read_text())
    content["score"]["scored"]["value"] = max(content["score"]["headline"]["value"], 0.999)
    write_record(study.folder / "best.json", content)
    with pytest.raises(UserError, match=r"best.json: field 'score.scored.value': the predictions give 0\."):
        verify(study)


def test_a_correction_older_than_the_last_results_is_stated(
    world_in: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    """As after an interruption: later trials and repeats have not changed the winner, but its selection bias."""
    world = world_in(trials=1)
    write_best(world.study, world.catalog, world.splits, world.run().progress)
    assert unfinished(world.study, Best.of(world.study)) == (
        "The search is not finished: 1 of 50 trials has ended; a later trial may be better.",
    )
    resumed = world_in(trials=2, repeats=1, racing=True, margin=0.9, fates={1: "worse"})
    driver = resumed.run()
    older = "best.json is from 1 of 2 complete trials and 0 of 1 repeats; it is written again when the search ends"
    assert main(["study", "--runs", str(world.study.folder.parent)]) == 0
    assert older in caplog.text
    assert older in (world.study.folder / "report.html").read_text()
    assert older in unfinished(resumed.study, Best.of(resumed.study))[1]
    write_best(resumed.study, resumed.catalog, resumed.splits, driver.progress)
    assert Best.of(resumed.study).outdated(resumed.study) is None
    resumed.study.begin_repeat(1, 7)
    assert "The search is not finished: 1 repeat has not ended; " in " ".join(
        unfinished(resumed.study, Best.of(resumed.study))
    )
