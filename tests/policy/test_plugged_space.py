"""Searching what plug-ins add: networks without fields of the ResNet, optimizers and augmentations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.plugins import unknown, written
from helpers.proposals import proposals

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.plugins.registry import load_named
from leukemia.study.schema import SearchOptions
from search.planning.own_space import read_wishes
from search.policy.asked import Asked
from search.policy.comparison import Comparison, comparison_of
from search.policy.dimensions import Choice
from search.policy.effort import effort, memory_mb
from search.policy.portfolio import starts_of
from search.policy.recipe_list import RecipeList
from search.policy.space import Space, make_space
from search.policy.wishes import start_of


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path) -> Iterator[None]:
    with unknown():
        load_named(written(tmp_path))
        yield


def space_of(*searches: str, **settings: Any) -> Space:
    fixed = {key.replace("__", "."): value for key, value in settings.items()}
    wishes, _ = read_wishes(None, searches)
    assert wishes is not None
    asked, both = wishes.resolved(fixed, Recipe())
    return make_space(start_of(Recipe(), both, asked).resolved([(64, 64)]), both, asked=asked)


def test_depth_and_shortcut_are_proposed_with_the_resnet_only() -> None:
    space = space_of("model.network=resnet,tiny")
    assert space.dimensions[0].key == "model.network"
    seen = set()
    for values, recipe in proposals(space, 80):
        is_resnet = values["model.network"] == "resnet"
        assert ("model.depth" in values, "model.shortcut" in values) == (is_resnet, is_resnet)
        assert recipe.model.network == values["model.network"]
        assert dict(recipe.plugins).keys() == (set() if is_resnet else {"tiny"})
        assert space.parameters(recipe) == values
        assert space.fits(recipe)
        assert recipe == Recipe.from_json(recipe.to_json())
        seen.add(is_resnet)
    assert seen == {True, False}


def test_a_fixed_depth_is_that_of_the_resnet() -> None:
    space = space_of("model.network=tiny,resnet", model__depth=50)
    depths = {recipe.model.network: recipe.model.depth for _, recipe in proposals(space, 40)}
    assert depths == {"tiny": None, "resnet": 50}
    first = space_of("model.network=tiny,tiny2".replace(",tiny2", ",resnet"))
    assert first.start.model.network == "resnet", "the preset's, since it is among them"


def test_a_network_of_a_plugin_alone_has_no_fields_of_the_resnet() -> None:
    space = make_space(
        Recipe().with_settings({"model.network": "tiny"}).resolved([(64, 64)]), {"model.network": "tiny"}
    )
    assert {"model.depth", "model.shortcut", "model.network"}.isdisjoint(each.key for each in space.dimensions)
    with pytest.raises(UserError, match=r"^model.depth: only resnet has it, but trials have tiny; leave it out$"):
        space_of("model.depth=18,50", model__network="tiny")


def test_optimizers_and_augmentations_are_searched() -> None:
    space = space_of("optimizer.name=adamw,plain", "augment.swap=0..0.5")
    assert space.start.flat()["augment.swap"] == 0.0
    names = set()
    for values, recipe in proposals(space, 60):
        names.add(recipe.optimizer.name)
        # Both have them.
        assert {"optimizer.weight_decay", "augment.swap"} <= values.keys()
        assert 0 <= recipe.flat()["augment.swap"] <= 0.5
        assert space.fits(recipe)
    assert names == {"adamw", "plain"}
    described = space.describe()
    assert described["optimizer.weight_decay"]["optimizers"] == ["adamw", "plain"]
    assert "plain" not in str(make_space(Recipe().resolved([(64, 64)]), {}).describe()), "only if it is searched"


def test_the_built_in_space_does_not_change() -> None:
    start = Recipe().resolved([(64, 64)])
    here = make_space(start, {}).describe()
    with unknown():
        assert make_space(start, {}).describe() == here


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            "model.network=resnet,dense",
            r"^--search: model.network: expected one of resnet, tiny, got 'dense'; a plug-in's",
        ),
        (
            "optimizer.name=lion,plain",
            r"ranger21_package_cosine, plain, got 'lion'; a plug-in's name needs its --plugin",
        ),
        ("augment.stain=0..1", r"^--search: unknown recipe field 'augment.stain'; did you mean "),
        ("augment.swap=0..2", r"^--search: augment.swap: expected a value from 0 to 1, got 2.0$"),
        ("model.network=0..1", r"^--search: model.network: expected one of resnet, tiny, got '0'"),
    ],
)
def test_unknown_names_and_wrong_values_are_refused(search: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of(search)


def test_pretrained_weights_are_those_of_one_network() -> None:
    with pytest.raises(UserError, match=r"^model.network cannot be searched with model.pretrained, whose weights are"):
        space_of("model.network=resnet,tiny", model__pretrained="weights.pt")


def test_starting_recipes_do_not_contradict_a_network_of_a_plugin() -> None:
    space = space_of("model.network=tiny,resnet", "optimizer.name=adamw,ranger21,plain")
    assert all(space.fits(start) for start in starts_of(space, 5))
    alone = make_space(
        Recipe().with_settings({"model.network": "tiny"}).resolved([(64, 64)]), {"model.network": "tiny"}
    )
    assert {start.model.network for start in starts_of(alone, 5)} == {"tiny"}


def test_effort_and_memory_of_a_network_are_counted() -> None:
    recipe = Recipe().with_settings({"model.network": "tiny", "optimizer.name": "plain"}).resolved([(64, 64)])
    # Of the two convolutions and the head: weights times positions.
    multiplications = 4 * 3 * 9 * 32**2 + 8 * 4 * 9 * 16**2 + 8 * 2
    parameters = 4 * 3 * 9 + 4 + 8 + 8 * 4 * 9 + 8 + 16 + 16 + 8 * 2 + 2
    expected = recipe.train.epochs * (3 * multiplications + 100 * parameters / recipe.train.batch_size)
    assert effort(recipe) == pytest.approx(expected)
    assert 0 < memory_mb(recipe) < memory_mb(Recipe().resolved([(64, 64)]))


def compared(*entries: dict[str, Any], **settings: Any) -> tuple[Comparison, Space]:
    fixed = {key.replace("__", "."): value for key, value in settings.items()}
    recipes = RecipeList(entries=entries).resolved(fixed, Recipe())
    found = comparison_of(SearchOptions(sampler="grid", recipes=recipes, settings=fixed))
    assert found is not None
    found = found.resolved(found.recipes[0].resolved([(64, 64)]))
    return found, found.space(fixed)


@pytest.mark.parametrize(
    "entries",
    [
        ({}, {"model.network": "tiny"}),
        ({"model.network": "tiny"}, {"model.depth": 50}, {"model": {"depth": 18, "shortcut": "concat"}}),
        ({"optimizer.name": "plain"}, {"optimizer.name": "adamw", "optimizer.warmup_epochs": 2}, {}),
        ({}, {"augment.swap": 0.5}, {"augment.swap": 0.5, "model.network": "tiny", "data.grayscale": True}),
    ],
)
def test_recipes_with_plugins_are_compared(entries: tuple[dict[str, Any], ...]) -> None:
    comparison, space = compared(*entries)
    assert len(comparison.recipes) == len(entries)
    for recipe, entry in zip(comparison.recipes, entries, strict=True):
        flat = recipe.flat()
        flattened = {f"model.{key}": value for key, value in entry.get("model", {}).items()} or entry
        assert flat.items() >= flattened.items()
        assert space.fits(recipe)
        assert space.recipe(space.parameters(recipe)) == recipe
        assert recipe.model.is_resnet or not {"model.depth", "model.shortcut"} & space.parameters(recipe).keys()
    assert not [each.key for each in space.dimensions if None in getattr(each, "choices", ())]


def test_a_recipe_without_an_augmentation_has_it_with_probability_0() -> None:
    comparison, space = compared({}, {"augment.swap": 0.5})
    assert [recipe.augmentations for recipe in comparison.recipes] == [(("swap", 0.0),), (("swap", 0.5),)]
    assert [(each.key, each.choices) for each in space.dimensions if isinstance(each, Choice)] == [
        ("augment.swap", (0.0, 0.5))
    ]
    with pytest.raises(
        UserError, match=r"^--recipes: recipe 1 and recipe 2 are the same recipe; leave one of them out$"
    ):
        compared({}, {"augment.swap": 0.0})


def test_a_grid_combines_a_depth_with_the_resnet_only() -> None:
    network = Choice(key="model.network", choices=("resnet", "tiny"), reason="why")
    depth = Choice(key="model.depth", choices=(18, 50), reason="why")
    name = Choice(key="optimizer.name", choices=("plain", "ranger21"), reason="why")
    decay = Choice(key="optimizer.weight_decay", choices=(0.0, 0.1), reason="why", optimizers=("adamw", "plain"))
    for dimensions, expected in (
        ((depth, network), [("resnet", 18), ("resnet", 50), ("tiny", None)]),
        ((network, decay, name), [("resnet", 18)] * 3 + [("tiny", None)] * 3),
    ):
        asked = Asked(dimensions=dimensions, only=True).to_dict()
        found = comparison_of(SearchOptions(sampler="grid", asked=asked))
        assert found is not None
        assert [(each.model.network, each.model.depth) for each in found.recipes] == expected


@pytest.mark.parametrize(
    ("entries", "settings", "message"),
    [
        (
            [{}, {"model.network": "tiny", "model.depth": 50}],
            {},
            r"^--recipes: recipe 2: model.depth has no effect with the network tiny; leave it out$",
        ),
        (
            [{"model.network": "tiny"}, {"model.network": "tiny", "augment.blur": 0.0}],
            {"model__depth": 50},
            r"^--recipes: --set model.depth: only resnet has it, but the recipes have tiny; leave it out$",
        ),
        (
            [{}, {"model.network": "tiny"}],
            {"model__pretrained": "weights.pt"},
            r"^--recipes: --set model.pretrained: its weights are a ResNet's, but not all recipes have that network; ",
        ),
        (
            [{}, {"model.network": "dense"}],
            {},
            r"^--recipes: recipe 2: model.network: expected one of resnet, tiny, got",
        ),
        ([{}, {"augment.stain": 0.5}], {}, r"^--recipes: recipe 2: unknown recipe field 'augment.stain'"),
    ],
)
def test_recipes_that_contradict_a_plugin_are_refused(
    entries: list[dict[str, Any]], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        compared(*entries, **settings)
