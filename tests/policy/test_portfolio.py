"""Starting recipes: different, in the space, and never against what the user has fixed."""

from __future__ import annotations

from typing import Any

import pytest

from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.study.field_types import MAX_STARTS
from search.policy.portfolio import STARTS, starts_of
from search.policy.space import Space, fixed_start, make_space


def space_of(preset: str = "seed", **fixed: Any) -> Space:
    """A space around a preset; in ``fixed`` a double underscore stands for the dot."""
    settings = {key.replace("__", "."): value for key, value in fixed.items()}
    return make_space(fixed_start(PRESETS[preset](), settings).resolved([(450, 450)]), settings)


@pytest.mark.parametrize("preset", PRESETS)
def test_there_are_five_different_starts_in_the_space(preset: str) -> None:
    space = space_of(preset)
    starts = starts_of(space, MAX_STARTS)
    assert len(set(starts)) == MAX_STARTS
    assert starts[0] == space.start
    assert [space.outside(start) for start in starts] == [{}] * MAX_STARTS
    assert [space.recipe(space.parameters(start)) for start in starts] == starts
    assert starts_of(space, 1) == [space.start]
    assert starts_of(space, 3) == starts[:3]


def test_the_starts_are_what_their_reasons_say() -> None:
    start, twin, strong, cheap, regularized = starts_of(space_of(), MAX_STARTS)
    assert start == PRESETS["seed"]().resolved([(450, 450)])
    assert twin == start.with_settings({"optimizer.name": "adamw", "optimizer.restart_epochs": start.train.epochs})
    preset = PRESETS["strong"]().resolved([(450, 450)])
    assert strong.optimizer == preset.optimizer
    assert (cheap.model, cheap.optimizer) == (start.model, start.optimizer)
    assert regularized.optimizer.weight_decay > twin.optimizer.weight_decay  # type: ignore[operator]
    assert all(each.reason for each in STARTS)


def test_another_preset_has_the_recipe_of_the_course_among_its_starts() -> None:
    starts = starts_of(space_of("strong"), MAX_STARTS)
    assert [start.optimizer.name for start in starts[:2]] == ["adamw", "ranger21"]
    assert {start.train.class_weight for start in starts} == {"balanced"}, "not searched, so as in trial 0"


@pytest.mark.parametrize(
    ("fixed", "number"),
    [
        ({"optimizer__name": "ranger21"}, 2),
        ({"optimizer__name": "adamw"}, 4),
        ({"model__depth": 18}, 4),
        ({"model__depth": 50}, 4),
        ({"model__shortcut": "concat"}, 4),
        ({"optimizer__weight_decay": 0.05}, 4),
        ({"augment__cutout": 1.0}, 4),
        # Nothing contradicts these.
        ({"train__epochs": 40}, 5),
        ({"optimizer__learning_rate": 2e-3}, 5),
        ({"model__shortcut": "add"}, 5),
    ],
)
def test_starts_that_contradict_what_is_fixed_are_left_out(fixed: dict[str, Any], number: int) -> None:
    space = space_of(**fixed)
    starts = starts_of(space, MAX_STARTS)
    assert len(starts) == number
    for start in starts:
        flat = start.flat()
        for key, value in space.settings.items():
            has = start.optimizer.has(key.removeprefix("optimizer.")) or not key.startswith("optimizer.")
            assert flat[key] == value or (key != "optimizer.name" and not has)
        assert space.outside(start) == {}


def test_pretrained_weights_fix_the_depth() -> None:
    settings = {"model.pretrained": "weights.pth"}
    space = make_space(Recipe().with_settings(settings).with_settings({"data.size_px": 64}), settings)
    depths = {start.model.depth for start in starts_of(space, MAX_STARTS)}
    assert depths == {18}


def test_settings_of_starts_are_searched_fields() -> None:
    keys = {dimension.key for dimension in space_of().dimensions}
    for start in STARTS:
        assert start.settings.keys() <= keys
        assert start.settings.get("optimizer.name", "ranger21") in OPTIMIZERS
