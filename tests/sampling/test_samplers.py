"""Samplers: what each proposes, that it learns, and that a crash changes nothing."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from leukemia.config.recipe import Recipe
from leukemia.study.field_types import MAX_STARTS
from leukemia.study.schema import SamplerName
from search.policy.portfolio import starts_of
from search.policy.space import Space, make_space
from search.sampling.journal import Journal, Prior
from search.sampling.samplers import METHODS
from search.sampling.suggestions import Suggestions, recipe_of

SPACE = make_space(Recipe().resolved([(64, 64)]), {})
SAMPLERS: tuple[SamplerName, ...] = typing.get_args(SamplerName)


def journal_at(path: Path, *, space: Space = SPACE, **settings: Any) -> Journal:
    return Journal(path, space, seed=0, name="study", **settings)


def score_of(recipe: Recipe) -> float:
    return 0.9 - abs(recipe.augment.rotate - 0.9) / 2 - abs(np.log10(recipe.optimizer.learning_rate) + 2.2) / 10


def run(journal: Journal, count: int) -> list[tuple[int, Recipe]]:
    """Start trials and complete them."""
    asked = []
    for _ in range(count):
        number, recipe = journal.ask()
        asked.append((number, recipe))
        journal.tell(number, "complete", score_of(recipe), 10.0)
    return asked


def test_every_name_is_a_sampler() -> None:
    assert set(METHODS) == set(SAMPLERS)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_default_proposes_as_optunas_sampler_of_the_same_seed(tmp_path: Path) -> None:
    """Studies of earlier versions go on as they would have."""
    study, expected = optuna.create_study(direction="maximize"), []
    study.enqueue_trial(SPACE.parameters(SPACE.start))
    for number in range(16):
        seed = int(np.random.SeedSequence((0, number)).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(multivariate=True, group=True, seed=seed)
        trial = study.ask()
        recipe = recipe_of(trial, SPACE)
        expected.append((number, recipe))
        study.tell(trial, score_of(recipe))
    assert run(journal_at(tmp_path / "a"), 16) == expected


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_are_the_same_after_every_reopening(tmp_path: Path, sampler: SamplerName) -> None:
    undisturbed = run(journal_at(tmp_path / "a", sampler=sampler), 12)
    assert undisturbed[0] == (0, SPACE.start)
    assert len({recipe for _, recipe in undisturbed}) == 12
    assert [pair for _ in range(12) for pair in run(journal_at(tmp_path / "b", sampler=sampler), 1)] == undisturbed


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("num_before", [3, 11])
def test_a_proposal_that_was_cut_off_is_completed_as_it_would_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: SamplerName, num_before: int
) -> None:
    undisturbed = journal_at(tmp_path / "a", sampler=sampler)
    run(undisturbed, num_before)
    killed = journal_at(tmp_path / "b", sampler=sampler)
    run(killed, num_before)
    killed._study.sampler = killed._samplers.of(num_before, {})
    suggest, asked = Suggestions.real, killed._study.ask()

    def interrupted(self: Suggestions, key: str, *arguments: Any) -> float:
        if self._trial is asked and key == "augment.vertical_flip":
            raise KeyboardInterrupt
        return suggest(self, key, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Suggestions, "real", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recipe_of(asked, SPACE)
    again = journal_at(tmp_path / "b", sampler=sampler)
    recorded = again.entries()[num_before].parameters
    assert "augment.horizontal_flip" in recorded
    assert "augment.vertical_flip" not in recorded
    assert again.adopt() == [undisturbed.ask()]
    assert again.entries()[num_before].parameters == undisturbed.entries()[num_before].parameters


@pytest.mark.parametrize("sampler", ["tpe-univariate", "gp"])
def test_samplers_learn(tmp_path: Path, sampler: SamplerName) -> None:
    scores = [score_of(recipe) for _, recipe in run(journal_at(tmp_path / "a", sampler=sampler), 18)]
    at_random = [score_of(recipe) for _, recipe in run(journal_at(tmp_path / "b", sampler="random"), 18)]
    assert np.mean(scores[13:]) > np.mean(at_random) + 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_all_samplers_accept_two_objectives_and_a_start_outside_the_ranges(
    tmp_path: Path, sampler: SamplerName
) -> None:
    start = Recipe().with_settings({"optimizer.learning_rate": 0.05}).resolved([(64, 64)])
    journal = journal_at(tmp_path / "a", space=make_space(start, {}), sampler=sampler, by_cost=True)
    assert len({recipe for _, recipe in run(journal, 11)}) == 11
    # What trials have shown cannot be reported with two objectives.
    assert journal.ask({0: {1: 0.5}})[0] == 11


def test_several_starts_come_first(tmp_path: Path) -> None:
    starts = starts_of(SPACE, MAX_STARTS)
    journal = journal_at(tmp_path / "a", num_starts=MAX_STARTS)
    assert journal.num_trials() == 0
    asked = run(journal, MAX_STARTS + 1)
    assert [recipe for _, recipe in asked[:MAX_STARTS]] == starts
    assert asked[MAX_STARTS][1] not in starts
    assert [number for number, _ in asked] == list(range(MAX_STARTS + 1))


def test_starts_that_were_run_in_an_earlier_study_are_not_run_again(tmp_path: Path) -> None:
    starts = starts_of(SPACE, MAX_STARTS)
    prior = Prior(recipe=starts[2], state="complete", fold_scores={0: 0.5, 1: 0.7}, cost=1.0, origin="abcd1234-0002")
    for _ in range(2):
        journal = journal_at(tmp_path / "a", num_starts=MAX_STARTS, priors=[prior])
    assert [journal.ask() for _ in range(4)] == list(enumerate([*starts[:2], *starts[3:]], start=1))


@pytest.mark.parametrize("num_written", range(MAX_STARTS + 1))
def test_a_journal_killed_while_its_starts_were_written_gets_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_written: int
) -> None:
    enqueue, left = optuna.Study.enqueue_trial, iter(range(num_written))

    def interrupted(*arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        enqueue(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", interrupted)
        if num_written < MAX_STARTS:
            with pytest.raises(KeyboardInterrupt):
                journal_at(tmp_path / "a", num_starts=MAX_STARTS)
        else:
            journal_at(tmp_path / "a", num_starts=MAX_STARTS)
    again = journal_at(tmp_path / "a", num_starts=MAX_STARTS)
    assert [trial.state for trial in again._study.trials] == [TrialState.WAITING] * MAX_STARTS
    assert [recipe for _, recipe in run(again, MAX_STARTS)] == starts_of(SPACE, MAX_STARTS)
