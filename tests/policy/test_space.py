"""The search space: every proposal is a valid recipe, and fields fixed by the user stay fixed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import torch
from helpers.proposals import proposals

from leukemia.base.errors import UserError
from leukemia.config.earlier import renamed_since
from leukemia.config.fields import FIELDS
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Optimizer, Train
from leukemia.training.optim import build_optimizer
from search.policy.built_in import restart_choices
from search.policy.dimensions import Choice, Real, optimizers_of
from search.policy.space import Space, fixed_start, make_space

SIDE_PX = 450


def space_of(preset: str = "seed", **settings: Any) -> Space:
    chosen = {key.replace("__", "."): value for key, value in settings.items()}
    return make_space(fixed_start(PRESETS[preset](), chosen).resolved([(SIDE_PX, SIDE_PX)]), chosen)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_proposal_is_a_valid_recipe_with_the_proposed_values(preset: str) -> None:
    space = space_of(preset)
    for values, recipe in proposals(space):
        assert recipe == Recipe.from_json(recipe.to_json())
        assert recipe == recipe.resolved([(SIDE_PX, SIDE_PX)]), "a proposal is resolved"
        assert values.items() <= recipe.flat().items()
        assert space.fits(recipe)


def test_proposals_reach_every_choice() -> None:
    space = space_of()
    seen = Counter((key, value) for values, _ in proposals(space) for key, value in values.items())
    for dimension in space.dimensions:
        if isinstance(dimension, Choice):
            assert all(seen[dimension.key, choice] for choice in dimension.choices), dimension.key


CONDITIONAL = ("optimizer.weight_decay", "optimizer.restart_epochs", "optimizer.restart_factor")


def test_fields_that_only_some_optimizers_have() -> None:
    assert {key for key in FIELDS if optimizers_of(key)} >= {*CONDITIONAL}


def test_conditional_fields_are_proposed_only_with_their_optimizer() -> None:
    space = space_of()
    searched = {each.key for each in space.dimensions}
    # A warm-up is not in the built-in space.
    assert {key for key in FIELDS if optimizers_of(key)} - searched == {"optimizer.warmup_epochs"}
    for values, recipe in proposals(space):
        for key in CONDITIONAL:
            assert (key in values) == (recipe.optimizer.name in optimizers_of(key)), (key, recipe.optimizer.name)


def test_fields_of_a_fixed_optimizer_are_searched() -> None:
    space = space_of(optimizer__name="ranger21_cosine")
    keys = {dimension.key for dimension in space.dimensions}
    assert "optimizer.name" not in keys
    assert "optimizer.weight_decay" not in keys
    assert {"optimizer.restart_epochs", "optimizer.restart_factor"} <= keys


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.depth", 34),
        ("optimizer.learning_rate", 0.02),
        ("augment.rotate", 0.25),
        ("data.grayscale", True),
        ("train.epochs", 7),
        ("data.size_px", 96),
    ],
)
def test_a_fixed_field_is_not_searched_and_applies_to_all_proposals(key: str, value: Any) -> None:
    space = make_space(fixed_start(Recipe(), {key: value}).resolved([(SIDE_PX, SIDE_PX)]), {key: value})
    assert key not in {dimension.key for dimension in space.dimensions}
    assert space.start.flat()[key] == value
    assert all(recipe.flat()[key] == value for _, recipe in proposals(space, 50))


@pytest.mark.parametrize("preset", ["seed", "strong"])
def test_a_fixed_conditional_field_applies_if_the_optimizer_has_it(preset: str) -> None:
    space = space_of(preset, optimizer__restart_epochs=4, optimizer__weight_decay=0.125)
    seen = set()
    for _, recipe in proposals(space):
        name = recipe.optimizer.name
        seen.add(name)
        assert recipe.optimizer.restart_epochs == (None if name == "ranger21" else 4)
        assert recipe.optimizer.weight_decay == (0.125 if name == "adamw" else None)
    assert seen == {"ranger21", "adamw", "ranger21_cosine"}


def test_restart_epochs_set_to_null_means_one_cycle_in_proposals() -> None:
    space = space_of(optimizer__restart_epochs=None, train__epochs=6)
    scheduled = [recipe for _, recipe in proposals(space, 50) if recipe.optimizer.name != "ranger21"]
    assert {recipe.optimizer.restart_epochs for recipe in scheduled} == {6}


def test_size_set_to_null_is_resolved_in_proposals() -> None:
    space = space_of(data__size_px=None)
    assert {recipe.data.size_px for _, recipe in proposals(space, 10)} == {224}


def test_settings_that_apply_to_no_trial_are_refused() -> None:
    with pytest.raises(UserError, match=r"optimizer\.weight_decay has no effect with ranger21"):
        fixed_start(Recipe(), {"optimizer.name": "ranger21", "optimizer.weight_decay": 0.1})
    with pytest.raises(UserError, match=r"optimizer\.restart_epochs: expected a value from 1"):
        fixed_start(Recipe(), {"optimizer.restart_epochs": 0})


def test_pretrained_weights_fix_the_depth() -> None:
    space = space_of(model__pretrained=None)
    assert "model.depth" in {dimension.key for dimension in space.dimensions}
    start = Recipe().with_settings({"model.pretrained": "weights.pt", "model.depth": 50})
    fixed = make_space(start, {"model.pretrained": "weights.pt"})
    assert {recipe.model.depth for _, recipe in proposals(fixed, 20)} == {50}


def test_parameters_and_recipe_are_inverses() -> None:
    space = space_of()
    for values, recipe in proposals(space, 50):
        assert space.parameters(recipe) == values
        assert space.recipe(values) == recipe
    for preset in PRESETS.values():
        start = space_of(preset.__name__)
        assert start.recipe(start.parameters(start.start)) == start.start


def test_fits_includes_both_ends_of_a_range() -> None:
    space = space_of()
    rate = next(dimension for dimension in space.dimensions if dimension.key == "optimizer.learning_rate")
    assert isinstance(rate, Real)
    for value, inside in ((rate.low, True), (rate.high, True), (rate.low * 0.99, False), (rate.high * 1.01, False)):
        assert space.fits(space.start.with_settings({"optimizer.learning_rate": value})) is inside
    assert not space.fits(space.start.with_settings({"model.depth": 34}))


@pytest.mark.parametrize(
    "changes",
    [
        {"train.epochs": 7},
        {"train.seed": 1},
        {"data.size_px": 64},
        {"optimizer.name": "adamw", "optimizer.weight_decay": 0.02, "train.batch_size": 16},
    ],
)
def test_a_recipe_that_differs_in_a_field_not_searched_does_not_fit(changes: dict[str, Any]) -> None:
    space = space_of()
    assert not space.fits(space.start.with_settings(changes).resolved([(SIDE_PX, SIDE_PX)]))


def test_a_recipe_must_have_the_fixed_values_to_fit() -> None:
    space = space_of(augment__blur=0.125)
    assert space.fits(space.start)
    assert not space.fits(space.start.with_settings({"augment.blur": 0.25}))


def test_describe_is_json_serializable_and_distinguishes_spaces() -> None:
    described = space_of().describe()
    assert json.loads(json.dumps(described)) == described
    assert described == space_of().describe()
    assert described != space_of(augment__blur=0.1).describe()
    assert described["optimizer.weight_decay"]["optimizers"] == ["adamw"]


def test_the_package_is_no_choice_but_can_be_set() -> None:
    assert "package" not in json.dumps(space_of().describe())
    space = space_of(optimizer__name="ranger21_package_cosine")
    for values, recipe in proposals(space, 20):
        assert recipe.optimizer.name == "ranger21_package_cosine"
        assert "optimizer.restart_factor" in values
    assert "package" not in json.dumps(space.describe())


@pytest.mark.parametrize("settings", [{}, {"optimizer.name": "ranger21_cosine"}, {"optimizer.name": "adamw"}])
def test_a_study_of_an_earlier_version_keeps_its_parameters_and_trains_with_the_package(
    settings: dict[str, Any],
) -> None:
    new = make_space(fixed_start(Recipe(), settings).resolved([(SIDE_PX, SIDE_PX)]), settings)
    stored = {key: value for key, value in new.start.flat().items() if key != "train.pipeline"}
    space = make_space(Recipe.from_flat(stored), settings, renamed_since(stored))
    assert space.describe() == new.describe()
    assert space.parameters(space.start) == new.parameters(new.start)
    assert space.recipe(space.parameters(space.start)) == space.start
    for (values, recipe), (expected, other) in zip(proposals(space, 50), proposals(new, 50), strict=True):
        assert values == expected == space.parameters(recipe)
        assert space.recipe(values) == recipe
        assert space.fits(recipe)
        assert recipe.train.pipeline == "reference"
        assert recipe.optimizer.name == other.optimizer.name.replace("ranger21", "ranger21_package")


def test_fields_with_which_an_earlier_trial_is_outside_a_new_space() -> None:
    space, stored = space_of(), space_of().start.flat()
    del stored["train.pipeline"]
    assert space.outside(Recipe.from_flat(stored)) == {
        "optimizer.name": "ranger21_package",
        "train.pipeline": "reference",
    }
    assert space.outside(space.start.with_settings({"optimizer.learning_rate": 0.5})) == {
        "optimizer.learning_rate": 0.5
    }
    assert space.outside(space.start) == {}


def test_every_dimension_has_a_reason() -> None:
    for dimension in space_of().dimensions:
        assert len(dimension.reason.split()) >= 3, dimension.key


@pytest.mark.parametrize("epochs", [1, 2, 7, 12, 30, 45, 100])
def test_for_every_restart_choice_a_cycle_ends_with_training(epochs: int) -> None:
    choices = restart_choices(epochs)
    assert choices[0] == epochs
    assert list(choices) == sorted(set(choices), reverse=True)
    for first in choices:
        assert epochs % first == 0
        assert epochs in {first * (2**cycles - 1) for cycles in range(1, 10)}


def test_every_restart_choice_can_be_trained() -> None:
    for first in restart_choices(6):
        recipe = Recipe(
            optimizer=Optimizer(name="adamw", restart_epochs=first, restart_factor=2), train=Train(epochs=6)
        )
        build_optimizer(torch.nn.Linear(2, 2), recipe, batches_per_epoch=3).step()


def test_the_starting_recipe_may_be_outside_a_range() -> None:
    space = make_space(Recipe(optimizer=Optimizer(learning_rate=0.05)).resolved([(SIDE_PX, SIDE_PX)]), {})
    assert space.parameters(space.start)["optimizer.learning_rate"] == 0.05
    assert not space.fits(space.start)
