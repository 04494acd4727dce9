"""What the user asks to be searched: together with the settings and the preset, all mistakes at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.proposals import proposals

from leukemia.base.errors import UserError
from leukemia.config.fields import FIELDS
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.study.field_types import MAX_STARTS
from search.policy.asked import NOTHING, Asked
from search.policy.dimensions import Dimension, mean_of, size_of, without_reasons
from search.policy.portfolio import starts_of
from search.policy.searchable import NOT_SEARCHED
from search.policy.space import Space, make_space
from search.policy.wishes import Wish, Wishes, moved, start_of

Entries = dict[str, dict[str, Any]]


def resolved(
    entries: Entries, settings: dict[str, Any] | None = None, *, preset: str = "seed", **others: Any
) -> tuple[Asked, dict[str, Any]]:
    parameters = tuple(Wish(key=key, entry=entry, source="--space f.yaml") for key, entry in entries.items())
    wishes = Wishes(parameters=parameters, file="--space f.yaml", **others)
    return wishes.resolved(settings or {}, PRESETS[preset]())


def space_of(entries: Entries, settings: dict[str, Any] | None = None, *, preset: str = "seed", **others: Any) -> Space:
    asked, fixed = resolved(entries, settings, preset=preset, **others)
    start = start_of(PRESETS[preset](), fixed, asked).resolved([(450, 450)])
    space = make_space(start, fixed, asked=asked)
    # As a resumed search makes it again.
    stored = Asked.from_dict(json.loads(json.dumps(asked.to_dict())))
    assert make_space(Recipe.from_flat(start.flat()), fixed, asked=stored).describe() == space.describe()
    return space


def by_key(space: Space) -> dict[str, Dimension]:
    return {each.key: each for each in space.dimensions}


BUILT_IN = by_key(space_of({}))


def test_a_file_changes_the_built_in_space() -> None:
    entries = {
        "optimizer.learning_rate": {"distribution": "log_uniform_values", "min": 1e-3, "max": 1e-2},
        "train.batch_size": {"values": [32, 64]},
        "model.shortcut": {"value": "add"},
    }
    space = space_of(entries, left=("augment.blur",))
    found = by_key(space)
    assert found.keys() == BUILT_IN.keys() - {"model.shortcut", "augment.blur"} | {"train.batch_size"}
    assert [key for key in found if key in BUILT_IN] == [key for key in BUILT_IN if key in found], "the same order"
    assert (found["optimizer.learning_rate"].low, found["augment.rotate"]) == (1e-3, BUILT_IN["augment.rotate"])  # type: ignore[union-attr]
    assert found["train.batch_size"].reason == "asked for by the user (--space f.yaml)"
    assert space.settings == {"model.shortcut": "add"}
    for values, recipe in proposals(space, 100):
        assert (recipe.model.shortcut, recipe.augment.blur) == ("add", space.start.augment.blur)
        assert recipe.train.batch_size == values["train.batch_size"] in (32, 64)
        assert recipe.optimizer.learning_rate >= 1e-3
        assert space.parameters(recipe) == values
        assert space.recipe(values) == recipe
        assert space.fits(recipe)


def test_only_replaces_the_built_in_space() -> None:
    space = space_of({"train.epochs": {"min": 10, "max": 40}, "model.depth": {"values": [34, 101]}}, only=True)
    assert list(by_key(space)) == ["model.depth", "train.epochs"]
    assert {recipe.model.depth for _, recipe in proposals(space, 50)} == {34, 101}
    lengths = {recipe.train.epochs for _, recipe in proposals(space, 300)}
    assert (min(lengths), max(lengths)) == (10, 40)
    assert {type(length) for length in lengths} == {int}


def test_nothing_asked_is_the_built_in_space() -> None:
    asked, settings = resolved({}, {"model.depth": 50})
    assert (asked, asked.to_dict(), settings) == (NOTHING, {}, {"model.depth": 50})
    assert Asked.from_dict({}) == NOTHING


def test_a_cycle_covers_all_epochs_if_they_are_searched() -> None:
    space = space_of({"train.epochs": {"min": 10, "max": 40, "q": 10}})
    assert not {"optimizer.restart_epochs", "optimizer.restart_factor"} & by_key(space).keys()
    scheduled = [recipe for _, recipe in proposals(space) if recipe.optimizer.has("restart_epochs")]
    assert {recipe.train.epochs for recipe in scheduled} == {10, 20, 30, 40}
    assert all(recipe.optimizer.restart_epochs == recipe.train.epochs for recipe in scheduled)
    for preset in ("seed", "strong"):
        space = space_of({"train.epochs": {"min": 10, "max": 20}}, {"optimizer.restart_epochs": 10}, preset=preset)
        cycles = {recipe.optimizer.restart_epochs for _, recipe in proposals(space)}
        assert cycles == {10, None}, "a fixed length stays"


def test_conditions_are_those_of_the_recipe() -> None:
    space = space_of({"optimizer.weight_decay": {"values": [0.01, 0.1]}})
    for values, recipe in proposals(space):
        assert ("optimizer.weight_decay" in values) == (recipe.optimizer.name == "adamw")
    space = space_of({"optimizer.name": {"values": ["ranger21", "ranger21_cosine"]}})
    assert "optimizer.weight_decay" not in by_key(space)
    space = space_of({}, left=("optimizer.name",))
    assert not {key for key, each in by_key(space).items() if each.optimizers}, "ranger21 has none of these"


@pytest.mark.parametrize(
    ("entries", "preset", "expected"),
    [
        ({"model.depth": {"values": [152, 50]}}, "seed", {"model.depth": 50}),
        ({"train.epochs": {"min": 4, "max": 8}}, "seed", {"train.epochs": 8}),
        ({"train.epochs": {"min": 4, "max": 8}}, "strong", {"train.epochs": 8, "optimizer.restart_epochs": 8}),
        ({"optimizer.restart_epochs": {"values": [5, 10]}}, "strong", {"optimizer.restart_epochs": 10}),
        (
            {"optimizer.name": {"values": ["adamw", "ranger21_cosine"]}},
            "seed",
            {"optimizer.name": "adamw", "optimizer.learning_rate": 3e-4},
        ),
        ({"augment.rotate": {"min": 0, "max": 1}}, "seed", {}),
    ],
)
def test_trial_0_is_in_the_space_that_was_asked_for(entries: Entries, preset: str, expected: dict[str, Any]) -> None:
    space, wanted = space_of(entries, preset=preset), PRESETS[preset]().resolved([(450, 450)])
    assert space.start == wanted.with_settings(expected).resolved([(450, 450)])
    assert space.fits(space.start)
    asked, settings = resolved(entries, preset=preset)
    lines = moved(space.start, settings, PRESETS[preset](), asked)
    assert [line.split(" ")[0] for line in lines] == [
        key for key in entries if key in expected and key != "optimizer.restart_epochs"
    ]


def test_the_built_in_space_does_not_limit_trial_0() -> None:
    assert start_of(Recipe().with_settings({"optimizer.learning_rate": 0.05}), {}).optimizer.learning_rate == 0.05


def test_starts_outside_the_space_are_left_out() -> None:
    space = space_of({"optimizer.learning_rate": {"values": [1e-3, 1e-2]}})
    # AdamW's default rate is not among them.
    assert {start.optimizer.name for start in starts_of(space, MAX_STARTS)} == {"ranger21"}
    narrow = space_of({"augment.cutout": {"min": 0.4, "max": 0.6}})
    assert {start.augment.cutout for start in starts_of(narrow, MAX_STARTS)} == {0.5}
    assert all(narrow.fits(start) for start in starts_of(narrow, MAX_STARTS))
    assert len(starts_of(narrow, MAX_STARTS)) == 3


def test_all_mistakes_are_listed() -> None:
    entries = {
        "optimizer.learning_rate": {"min": 1e-6, "max": 1e-2},
        "model.depht": {"values": [18, 50]},
        "augment.rotate": {"min": -0.5, "max": 1.5},
        "train.batch_size": {"values": [0, 64]},
        "train.epochs": {"min": 40, "max": 10},
        "augment.blur": {"distribution": "log_uniform_values", "min": 0, "max": 1},
        "train.seed": {"values": [0, 1]},
    }
    with pytest.raises(UserError) as refused:
        resolved(entries, {"augment.noise": 0.1}, left=("augment.noise", "train.seed", "augment.blurr"))
    first, *lines = str(refused.value).split("\n")
    assert first == "the search space has 10 mistakes:"
    assert [line.strip() for line in lines] == [
        "--space f.yaml: unknown recipe field 'model.depht'; did you mean model.depth, model.network, model.shortcut?",
        "--space f.yaml: augment.rotate: expected a value from 0 to 1, got -0.5; augment.rotate: expected a value from "
        "0 to 1, got 1.5",
        "--space f.yaml: train.batch_size: expected a value from 1 to 65536, got 0",
        "--space f.yaml: train.epochs: the range from 40 to 10 is empty; min must be below max, and value fixes a "
        "field",
        "--space f.yaml: augment.blur: a logarithmic range must begin above 0, got 0 to 1",
        f"--space f.yaml: train.seed cannot be searched: {NOT_SEARCHED['train.seed']}",
        "--space f.yaml: leave: augment.noise is fixed as well; choose one",
        "--space f.yaml: leave: train.seed is not in the built-in space, so it is left already; take it out",
        "--space f.yaml: leave: unknown recipe field 'augment.blurr'; did you mean augment.blur, augment.border, "
        "augment.rotate?",
        "optimizer.learning_rate: expected a value from 3e-05 to 100, got 1e-06 (in trials with ranger21)",
    ]


@pytest.mark.parametrize(
    ("entries", "settings", "others", "message"),
    [
        (
            {"optimizer.weight_decay": {"min": 0, "max": 0.1}},
            {"optimizer.name": "ranger21"},
            {},
            r"^optimizer.weight_decay: only adamw has it, but trials have ranger21; search or set optimizer.name$",
        ),
        (
            {"augment.blur": {"min": 0, "max": 1}},
            {"optimizer.weight_decay": 0.1},
            {"only": True},
            r"^optimizer.weight_decay: only adamw has it, but trials have ranger21; leave it out$",
        ),
        (
            {"model.depth": {"values": [18, 50]}},
            {"model.pretrained": "w.pt"},
            {},
            r"^model.depth cannot be searched with model.pretrained",
        ),
        ({}, {}, {"only": True}, r"^nothing is left to search: every field is fixed or left"),
        ({"model.depth": {"value": 18}}, {}, {"only": True}, r"^nothing is left to search"),
        (
            {"model.depth": {"values": [18, 50]}},
            {"model.depth": 18},
            {},
            r"f.yaml: model.depth: 18, 50 contradicts --set model.depth=18; leave one of them out$",
        ),
        (
            {"train.epochs": {"value": 20}},
            {"train.epochs": 30},
            {},
            r"f.yaml: train.epochs: the value 20 contradicts --set train.epochs=30; leave one of them out$",
        ),
        (
            {"model.pretrained_sha256": {"value": "0" * 64}},
            {},
            {},
            r"model.pretrained_sha256 cannot be searched: it is computed from the file$",
        ),
        (
            {"augment.blur": {"min": 0, "max": 1}},
            {},
            {"only": True, "left": ("augment.noise",)},
            r"leave has no effect with only",
        ),
        (
            {"augment.blur": {"min": 0, "max": 1}},
            {},
            {"left": ("augment.blur",)},
            r"leave: augment.blur is searched as well; choose one$",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(
    entries: Entries, settings: dict[str, Any], others: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        resolved(entries, settings, **others)


def test_a_field_may_be_given_twice_with_the_same_meaning() -> None:
    twice = [
        Wish(key="model.depth", entry={"values": [18, 50]}, source="--space f.yaml"),
        Wish(key="model.depth", entry={"values": [18, 50]}, source="--search"),
    ]
    asked, _ = Wishes(parameters=tuple(twice)).resolved({}, Recipe())
    assert [each.key for each in asked.dimensions] == ["model.depth"]
    assert resolved({"train.epochs": {"value": 20}}, {"train.epochs": 20})[1] == {"train.epochs": 20}
    other = Wish(key="model.depth", entry={"values": [18, 34]}, source="--search")
    message = r"^--search: model.depth: 18, 34 contradicts 18, 50 of --space f.yaml; leave one of them out$"
    with pytest.raises(UserError, match=message):
        Wishes(parameters=(twice[0], other)).resolved({}, Recipe())


# Another network is that of a plug-in (test_plugged_space.py).
@pytest.mark.parametrize("key", [key for key in FIELDS if key != "model.network"])
def test_every_field_is_searched_or_refused_with_a_reason(key: str) -> None:
    recipe = Recipe().with_settings({"optimizer.name": "adamw"})
    values = {
        "data.grayscale": [True, False],
        "model.depth": [34, 101],
        "model.shortcut": ["add", "weighted"],
        "optimizer.name": ["adamw", "ranger21_package"],
        "train.class_weight": ["none", "balanced"],
        "evaluate.tta": ["none", "d4"],
        "evaluate.precise_bn": [True, False],
        "data.fit": ["crop", "resize"],
        "data.small": ["pad", "refuse"],
        "model.pretrained": ["a.pt", "b.pt"],
        "model.pretrained_sha256": ["0" * 64, "1" * 64],
        "train.precision": ["auto", "float32"],
        "train.pipeline": ["batch", "reference"],
        "data.crop_px": [64, 128],
        "data.size_px": [64, 128],
        "optimizer.learning_rate": [1e-3, 1e-2],
        "optimizer.weight_decay": [0.0, 0.1],
        "optimizer.restart_epochs": [5, 10],
        "optimizer.restart_factor": [1, 2],
        "optimizer.warmup_epochs": [0, 3],
        "augment.border": ["constant", "reflect"],
        "train.epochs": [5, 10],
        "train.batch_size": [16, 32],
        "train.seed": [0, 1],
    }.get(key, [0.1, 0.2])
    if key in NOT_SEARCHED:
        with pytest.raises(UserError, match=f"^--space f.yaml: {key} cannot be searched: {NOT_SEARCHED[key]}$"):
            resolved({key: {"values": values}})
        return
    space = space_of({key: {"values": values}}, {} if key == "optimizer.name" else {"optimizer.name": "adamw"})
    assert recipe.flat().keys() >= {key}
    assert {proposed.flat()[key] for _, proposed in proposals(space, 60)} == set(values)


def test_differences_name_the_fields_and_ignore_reasons() -> None:
    one, _ = resolved({"model.depth": {"values": [18, 50]}, "augment.blur": {"min": 0, "max": 1}})
    same, _ = resolved({"model.depth": {"values": [18, 50], "reason": "why not"}, "augment.blur": {"min": 0, "max": 1}})
    assert one.differences(same) == []
    other, _ = resolved({"model.depth": {"values": [18, 34]}, "augment.noise": {"min": 0, "max": 1}}, only=True)
    assert one.differences(other) == [
        "only: false, got true",
        "augment.blur: 0 to 1, got not named",
        "augment.noise: not named, got 0 to 1",
        "model.depth: 18, 50, got 18, 34",
    ]
    assert NOTHING.differences(resolved({}, left=("augment.blur",))[0]) == ["leave: none, got augment.blur"]


def test_a_damaged_record_is_refused() -> None:
    stored = resolved({"model.depth": {"values": [18, 50]}})[0].to_dict()
    assert Asked.from_dict(stored).to_dict() == stored
    del stored["leave"]
    with pytest.raises(UserError, match=r"^study.json: asked: 'leave'; restore the file from a backup$"):
        Asked.from_dict(stored)


def test_sizes_and_means() -> None:
    entries: Entries = {"train.epochs": {"min": 10, "max": 40, "q": 10}, "train.batch_size": {"values": [16, 32]}}
    found = by_key(space_of(entries))
    assert (size_of(found["train.epochs"]), size_of(found["train.batch_size"])) == (4, 2)
    assert (mean_of(found["train.epochs"]), mean_of(found["train.batch_size"])) == (25, 24)
    assert size_of(found["augment.blur"]) == float("inf")
    logarithmic = by_key(space_of({"train.epochs": {"min": 10, "max": 1000, "distribution": "q_log_uniform_values"}}))
    assert mean_of(logarithmic["train.epochs"]) == pytest.approx(990 / 4.60517, rel=1e-5)


def test_reasons_do_not_count_when_spaces_are_compared() -> None:
    one, other = space_of({}), space_of({"model.depth": {"values": [18, 50, 152], "reason": "other words"}})
    assert one.describe() != other.describe()
    assert without_reasons(one.describe()) == without_reasons(other.describe())
