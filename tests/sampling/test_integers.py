"""Spaces with integers: every sampler proposes them, and journal, shadow and importances read them back."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import optuna
import pytest

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.study.schema import SamplerName
from search.policy.asked import Asked
from search.policy.dimensions import Choice, Integer
from search.policy.space import Space, make_space
from search.sampling.journal import Journal, Prior
from search.sampling.shadow import Shadow

SAMPLERS: tuple[SamplerName, ...] = typing.get_args(SamplerName)
EPOCHS = Integer(key="train.epochs", low=10, high=40, step=5, reason="")
BATCHES = Integer(key="train.batch_size", low=8, high=64, log=True, reason="")
START = Recipe().resolved([(64, 64)])


def space_of(*dimensions: Integer | Choice, only: bool = True) -> Space:
    return make_space(START, {}, asked=Asked(dimensions=dimensions, only=only))


SPACE = space_of(EPOCHS, BATCHES)


def journal_at(path: Path, *, space: Space = SPACE, **settings: Any) -> Journal:
    return Journal(path, space, seed=0, name="study", **settings)


def run(journal: Journal, count: int) -> list[Recipe]:
    recipes = []
    for _ in range(count):
        number, recipe = journal.ask()
        journal.tell(number, "complete", recipe.train.epochs / 50, 1.0)
        recipes.append(recipe)
    return recipes


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_integers_and_goes_on_after_a_crash(tmp_path: Path, sampler: SamplerName) -> None:
    recipes = run(journal_at(tmp_path / "a", sampler=sampler), 13)
    assert recipes[0] == START
    assert {recipe.train.epochs for recipe in recipes} <= set(range(10, 41, 5))
    assert all(8 <= recipe.train.batch_size <= 64 for recipe in recipes)
    assert {type(recipe.train.epochs) for recipe in recipes} == {int}
    assert len(set(recipes)) > 5
    again = [recipe for _ in range(13) for recipe in run(journal_at(tmp_path / "b", sampler=sampler), 1)]
    assert again == recipes


def test_conditions_and_integers_together(tmp_path: Path) -> None:
    cycle = Integer(key="optimizer.restart_epochs", low=2, high=8, reason="", optimizers=("adamw", "ranger21_cosine"))
    journal = journal_at(tmp_path / "a", space=space_of(cycle, only=False), sampler="gp")
    for recipe in run(journal, 16):
        assert recipe.optimizer.restart_epochs is None or 2 <= recipe.optimizer.restart_epochs <= 8
        assert (recipe.optimizer.restart_epochs is None) == (recipe.optimizer.name == "ranger21")


@pytest.mark.parametrize(("dimension", "middle"), [(EPOCHS, 25), (BATCHES, 23)])
def test_a_trial_without_the_field_gets_a_middle_integer(dimension: Integer, middle: int) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.5))
    (trial,) = Shadow(space_of(dimension), {}, fills=True, expects=False).of(study, 1).trials
    assert trial.params == {dimension.key: middle}
    assert trial.distributions[dimension.key]._contains(middle)


def test_a_journal_of_another_range_is_refused(tmp_path: Path) -> None:
    run(journal_at(tmp_path / "a"), 3)
    with pytest.raises(UserError, match=r"trial 0000: expected IntDistribution\(high=40, .* got IntDistribution"):
        journal_at(tmp_path / "a", space=space_of(Integer(key="train.epochs", low=10, high=40, reason=""), BATCHES))


def test_priors_and_importances_have_integers(tmp_path: Path) -> None:
    recipe = START.with_settings({"train.epochs": 20, "train.batch_size": 16})
    prior = Prior(recipe=recipe, state="complete", fold_scores={0: 0.4}, cost=1.0, origin="abcd1234-0000")
    journal = journal_at(tmp_path / "a", priors=[prior], sampler="random")
    assert run(journal, 30)[0] == START
    assert journal.entries()[0].parameters == {"train.epochs": 20, "train.batch_size": 16}
    shares = journal.importances({number: entry.score or 0.0 for number, entry in journal.entries().items()})
    assert shares["train.epochs"].share > 0.9, "the score depends on them alone"
