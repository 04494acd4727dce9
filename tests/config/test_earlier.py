"""Recipes of earlier versions keep their meaning, and those of this one the names of files that they had then."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from helpers.plugins import unknown

from leukemia.config.earlier import ADDED
from leukemia.config.plugins import Kind, record
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe

PLUGINS: dict[str, Kind] = {"plain": "optimizer", "tiny": "network"}
LATEST = ADDED[-1].unchanged
"""The fields of the version that added ``augment.rotate_limit``."""

NAMES = {
    "seed": "7f9acc3d52a5e05f",
    "strong": "fd7e6bcf02f40eac",
    "debug": "13ce6d843d2a96ae",
}
"""The first 16 digits of the SHA-256 that names files of the presets, made at commit ea6bd54, without these fields."""


@pytest.mark.parametrize("preset", PRESETS)
def test_the_presets_keep_the_names_of_their_files(preset: str) -> None:
    identity = PRESETS[preset]().resolved([(64, 64)]).identity()
    assert hashlib.sha256(identity.encode()).hexdigest()[:16] == NAMES[preset]


@pytest.mark.parametrize("name", ["ranger21", "adamw", "ranger21_cosine", "ranger21_package"])
def test_defaults_of_new_fields_are_what_versions_without_them_did(name: str) -> None:
    recipe = Recipe().with_settings({"optimizer.name": name})
    flat = recipe.flat()
    assert all(flat[key] in values for key, values in LATEST.items())
    earlier = {key: value for key, value in flat.items() if key not in LATEST}
    assert Recipe.from_flat(earlier) == recipe
    assert json.loads(recipe.identity()).keys() == earlier.keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("augment.rotate_limit", 90.0),
        ("augment.border", "reflect"),
        ("augment.brightness", 0.2),
        ("augment.contrast", 0.2),
        ("augment.saturation", 0.2),
        ("optimizer.warmup_epochs", 3),
        ("train.label_smoothing", 0.1),
    ],
)
def test_a_recipe_that_needs_a_new_field_is_named_with_all_of_them(key: str, value: Any) -> None:
    recipe = Recipe().with_settings({"optimizer.name": "adamw"})
    changed = recipe.with_settings({key: value})
    assert changed.flat()[key] == value
    assert json.loads(changed.identity()) == changed.flat()
    assert changed.identity() != recipe.identity()
    assert Recipe.from_json(changed.identity()) == changed


def test_a_recipe_of_a_version_with_the_reference_pipeline_keeps_its_name() -> None:
    stored = {"data.fit": "crop", "model.depth": 50, "optimizer.name": "adamw"}
    identity = json.loads(Recipe.from_flat(stored).identity())
    assert not identity.keys() & {"train.pipeline", *LATEST}
    assert identity["data.fit"] == "crop"


def test_recipes_with_plugins_are_named_with_what_they_need() -> None:
    with unknown():
        for name, kind in PLUGINS.items():
            record(kind, name)
        recorded = {**Recipe().flat(), **{f"plugin.{name}": "0" * 64 for name in PLUGINS}}
        plain = Recipe.from_flat({**recorded, "optimizer.name": "plain", "optimizer.learning_rate": 0.1})
        assert dict(plain.plugins).keys() == {"plain"}
        # The network is the built-in one, as in earlier versions.
        assert json.loads(plain.identity()).keys() == plain.flat().keys() - LATEST.keys()
        tiny = Recipe.from_flat({**recorded, "model.network": "tiny", "model.depth": None, "model.shortcut": None})
        assert json.loads(tiny.identity()) == tiny.flat()
        for recipe in (plain, tiny):
            assert Recipe.from_json(recipe.identity()) == recipe
