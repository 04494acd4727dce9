"""The recipes of a comparison: a list of differences or a grid, and the space that they span."""

from __future__ import annotations

from typing import Any

import pytest

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.study.schema import SearchOptions
from search.policy.asked import Asked
from search.policy.comparison import MOST_RECIPES, Comparison, as_comparison, combinations, comparison_of
from search.policy.dimensions import Choice, Integer
from search.policy.recipe_list import RecipeList

SIZES = [(450, 450)]


def resolved(*entries: dict[str, Any], **options: Any) -> tuple[Comparison, dict[str, Any]]:
    settings = options.pop("settings", {})
    found = comparison_of(SearchOptions(sampler="grid", recipes=list(entries), settings=settings, **options))
    assert found is not None
    return found.resolved(found.recipes[0].resolved(SIZES)), settings


RANGER21 = {"optimizer.name": "ranger21"}
LISTS: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
    ([{}, {"model.depth": 50}], {}),
    ([{"model.depth": 152, "name": "deep"}, {"model.depth": 18, "augment.blur": 0.0}], {"train.epochs": 7}),
    ([{"optimizer.name": "adamw"}, RANGER21], {}),
    ([RANGER21, {"optimizer.name": "adamw", "optimizer.weight_decay": 0.05}], {}),
    # All have the same rate, which is not the default of either optimizer.
    ([{"optimizer.learning_rate": 2e-3, "optimizer.name": name} for name in ("ranger21", "adamw")], {}),
    ([RANGER21, {"optimizer.name": "adamw"}], {"optimizer.weight_decay": 0.2, "optimizer.learning_rate": 5e-4}),
    ([{"train.epochs": 4, "optimizer.name": "adamw"}, {"train.epochs": 8, "optimizer.name": "ranger21_cosine"}], {}),
    ([{"optimizer.name": "adamw", "optimizer.restart_epochs": 10}, {"optimizer.name": "adamw"}], {"train.epochs": 30}),
]


@pytest.mark.parametrize(("entries", "settings"), LISTS)
@pytest.mark.parametrize("preset", ["seed", "strong", "debug"])
def test_the_space_has_exactly_what_differs(
    entries: list[dict[str, Any]], settings: dict[str, Any], preset: str
) -> None:
    comparison, _ = resolved(*entries, settings=settings, preset=preset)
    space = comparison.space(settings)
    assert space.start == comparison.recipes[0]
    assert len(set(comparison.recipes)) == len(entries)
    for recipe, entry in zip(comparison.recipes, entries, strict=True):
        flat = recipe.flat()
        assert {key: flat[key] for key in entry if key != "name"} == {
            key: value for key, value in entry.items() if key != "name"
        }
        assert space.fits(recipe)
        assert space.recipe(space.parameters(recipe)) == recipe
        assert recipe == recipe.resolved(SIZES)
    differing = {key for key in space.start.flat() if len({each.flat()[key] for each in comparison.recipes}) > 1}
    assert differing <= {each.key for each in space.dimensions}
    assert all(each.reason for each in space.dimensions)


def test_a_resolved_comparison_is_the_same_from_its_first_recipe() -> None:
    comparison, _ = resolved({}, {"model.depth": 50})
    again, _ = resolved({}, {"model.depth": 50})
    assert again.resolved(comparison.recipes[0]) == comparison


def grid(*dimensions: Any, **options: Any) -> list[Recipe]:
    asked = Asked(dimensions=dimensions, only=True).to_dict()
    found = comparison_of(SearchOptions(sampler="grid", asked=asked, **options))
    assert found is not None
    return list(found.recipes)


DEPTH = Choice(key="model.depth", choices=(50, 18), reason="why")
EPOCHS = Integer(key="train.epochs", low=10, high=20, step=5, reason="why")


def test_a_grid_has_all_combinations_in_the_order_of_the_fields() -> None:
    found = grid(EPOCHS, DEPTH)
    assert [(each.model.depth, each.train.epochs) for each in found] == [
        *((50, 10), (50, 15), (50, 20)),
        *((18, 10), (18, 15), (18, 20)),
    ]
    assert {each.optimizer.name for each in grid(DEPTH, preset="strong")} == {"adamw"}


def test_combinations_that_differ_in_what_their_optimizer_lacks_are_one() -> None:
    name = Choice(key="optimizer.name", choices=("ranger21", "adamw"), reason="why")
    decay = Choice(key="optimizer.weight_decay", choices=(0.01, 0.1), reason="why", optimizers=("adamw",))
    found = grid(decay, name)
    assert [(each.optimizer.name, each.optimizer.weight_decay) for each in found] == [
        ("ranger21", None),
        ("adamw", 0.01),
        ("adamw", 0.1),
    ]


def test_a_grid_too_large_to_run_is_refused() -> None:
    sizes = Integer(key="train.batch_size", low=1, high=MOST_RECIPES, reason="why")
    assert len(combinations([sizes])) == MOST_RECIPES
    with pytest.raises(UserError, match=r"^--sampler grid: expected at most 1,000 combinations, got 2,000; list fewer"):
        combinations([sizes, DEPTH])


def test_a_search_is_no_comparison() -> None:
    assert comparison_of(SearchOptions()) is None


def test_a_comparison_has_neither_race_nor_ladder() -> None:
    options = as_comparison(SearchOptions(pausing=True, starts=3), {}, 40)
    expected = {"trials": 40, "racing": False, "pausing": False, "starts": 1}
    assert {name: getattr(options, name) for name in expected} == expected
    assert as_comparison(SearchOptions(), {"trials": 4}, 4).trials == 4
    with pytest.raises(UserError, match=r"^--trials: a comparison runs each of its 4 recipes once, got 3; leave it"):
        as_comparison(SearchOptions(), {"trials": 3}, 4)


def test_entries_are_brought_into_one_form() -> None:
    entries = ({"name": "deep", "model": {"depth": 50}, "augment.blur": 0}, {"data.grayscale": True}, {})
    found = RecipeList(entries=entries).resolved({}, Recipe())
    assert found == [{"name": "deep", "model.depth": 50, "augment.blur": 0.0}, {"data.grayscale": True}, {}]
    assert isinstance(found[0]["augment.blur"], float)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{}, {"model.dept": 50}],
            r"^recipes: recipe 2: unknown recipe field 'model.dept'; did you mean model.depth, ",
        ),
        ([{}, {"model.depth": 49}], r"^recipes: recipe 2: model.depth: expected one of 18, 34, 50, 101, 152, got 49$"),
        ([{}, {"augment.blur": 2, "name": "b"}], r"^recipes: recipe 2 \(b\): .*blur.*2"),
        ([{}, {"optimizer.weight_decay": 0.1}], r"^recipes: recipe 2: .*weight_decay"),
        ([{}, [18]], r"^recipes: recipe 2: expected fields and their values, such as \{name: deep, .*got '\[18\]'$"),
        ([{}, {"name": 18}], r"^recipes: recipe 2: name: expected a line of text with at most 60 characters, got 18$"),
        ([{}, {"name": "a\nb"}], r"^recipes: recipe 2 \(a\\nb\): name: expected a line of text"),
        ([{}, {"name": " "}], r": name: expected a line of text"),
        ([{}, {"name": "x" * 61}], r": name: expected a line of text"),
        (
            [{}, {"model": {"depth": 50}, "model.depth": 50}],
            r"^recipes: recipe 2: model.depth is given twice, nested and with a dotted name; give it once$",
        ),
        ([{}, {"data.size_px": 64}], r"recipe 2: data.size_px cannot differ between recipes: all trials share one"),
        ([{}, {"train.seed": 3}], r"recipe 2: train.seed cannot differ between recipes: the best of several seeds"),
        ([{}, {"train.epochs": 9}], r"recipe 2: train.epochs: the value 9 contradicts --set train.epochs=5; leave one"),
        (
            [{}, {"name": "a", "model.depth": 50}, {"name": "b", "model.depth": 50}],
            r"^recipes: recipe 2 \(a\) and recipe 3 \(b\) are the same recipe; leave one of them out$",
        ),
        ([{"model.depth": 18}, {}], r"^recipes: recipe 1 and recipe 2 are the same recipe; leave one of them out$"),
        (
            [{"name": "a"}, {"name": "a", "model.depth": 50}],
            r"^recipes: the name 'a' is given twice; tables tell recipes apart by it$",
        ),
        ([{"model.depth": 50}], r"^recipes: expected at least two recipes, got 1, which nothing is compared with"),
    ],
)
def test_mistakes_are_refused(entries: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RecipeList(entries=tuple(entries), source="recipes").resolved({"train.epochs": 5}, Recipe())


def test_all_mistakes_are_listed() -> None:
    entries = ({"model.dept": 1, "augment.blurr": 2}, {"name": "b", "augment.blur": 2, "augment.noise": 3}, "deep")
    with pytest.raises(UserError) as refused:
        RecipeList(entries=entries).resolved({}, Recipe())
    lines = str(refused.value).splitlines()
    assert lines[0] == "--recipes has 5 mistakes:"
    starts = ["recipe 1: unknown", "recipe 1: unknown", "recipe 2 (b): ", "recipe 2 (b): ", "recipe 3: expected fields"]
    assert [line.strip()[: len(start)] for line, start in zip(lines[1:], starts, strict=True)] == starts


def test_settings_that_apply_to_no_recipe_are_refused() -> None:
    entries = ({}, {"model.depth": 50})
    message = r"^--recipes: --set optimizer.weight_decay: only adamw has it, but the recipes have ranger21; leave"
    with pytest.raises(UserError, match=message):
        RecipeList(entries=entries).resolved({"optimizer.weight_decay": 0.1}, Recipe())
    with_adamw = ({}, {"optimizer.name": "adamw"})
    assert len(RecipeList(entries=with_adamw).resolved({"optimizer.weight_decay": 0.1}, Recipe())) == 2
    with pytest.raises(UserError, match=r"^(?!--recipes).*blur"):
        RecipeList(entries=entries).resolved({"augment.blur": 3.0}, Recipe())
