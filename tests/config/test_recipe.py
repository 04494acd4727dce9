"""Recipes: error messages, JSON round trips, settings, and fields resolved from the data."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.fields import FIELDS, parse_setting, parse_settings
from leukemia.config.presets import PRESETS, seed, strong
from leukemia.config.recipe import Recipe
from leukemia.config.sections import TRANSFORMATIONS, Data, Model, Optimizer, Train

ADAMW = Recipe(optimizer=Optimizer(name="adamw", learning_rate=3e-4, weight_decay=0.1, restart_epochs=7))


@pytest.mark.parametrize("recipe", [Recipe(), ADAMW, *(preset() for preset in PRESETS.values())])
def test_json_round_trips(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json()) == recipe.flat()
    assert tuple(recipe.flat()) == FIELDS


def test_a_recipe_without_a_pipeline_was_trained_with_the_reference() -> None:
    earlier = {key: value for key, value in Recipe().flat().items() if key != "train.pipeline"}
    assert Recipe.from_flat(earlier).train.pipeline == "reference"
    assert Recipe().train.pipeline == "batch"


def test_a_recipe_without_a_pipeline_was_trained_with_the_packages_ranger21() -> None:
    for name, present in (
        ("ranger21", "ranger21_package"),
        ("ranger21_cosine", "ranger21_package_cosine"),
        ("adamw", "adamw"),
    ):
        recipe = Recipe().with_settings({"optimizer.name": name})
        assert Recipe.from_json(recipe.to_json()) == recipe
        earlier = {key: value for key, value in recipe.flat().items() if key != "train.pipeline"}
        resolved = Recipe.from_flat(earlier)
        assert resolved.optimizer.name == present
        assert Recipe.from_flat(resolved.flat()) == resolved
    # The default of then.
    assert Recipe.from_flat({"model.depth": 50}).optimizer.name == "ranger21_package"
    assert Recipe.from_flat({"train.pipeline": "batch"}).optimizer.name == "ranger21"


def test_seed_preset_is_the_original_recipe() -> None:
    recipe = seed()
    assert (recipe.model.depth, recipe.model.shortcut, recipe.optimizer.name) == (18, "add", "ranger21")
    probabilities = [getattr(recipe.augment, name) for name in TRANSFORMATIONS]
    assert probabilities == [0.5, 0.5, 0.5, 0.5, 0.2, 0.2, 0.5]
    assert recipe.train.batch_size == 32


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "optimizer.learning_rat",
            r"unknown recipe field 'optimizer.learning_rat'; did you mean optimizer.learning_rate",
        ),
        ("epochs", r"unknown recipe field 'epochs'; did you mean train.epochs\?"),
        ("model.learning_rate", r"did you mean optimizer.learning_rate\?"),
        ("zzzz", r"unknown recipe field 'zzzz'; the fields are data.crop_px, "),
    ],
)
def test_an_unknown_field_suggests_similar_ones(key: str, message: str) -> None:
    for call in (lambda: Recipe.from_flat({key: 1}), lambda: Recipe().with_settings({key: 1})):
        with pytest.raises(UserError, match=message):
            call()
    with pytest.raises(UserError, match=message):
        parse_setting(f"{key}=1")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data.crop_px", 7, "data.crop_px: expected a value from 32 to 8192, got 7"),
        ("data.size_px", 16, "data.size_px: expected a value from 32 to 8192, got 16"),
        ("data.size_px", 8193, "data.size_px: expected a value from 32 to 8192, got 8193"),
        ("data.grayscale", "yes", "data.grayscale: expected true or false, got 'yes'"),
        ("augment.horizontal_flip", 1.1, "augment.horizontal_flip: expected a value from 0 to 1, got 1.1"),
        ("augment.vertical_flip", -0.1, "augment.vertical_flip: expected a value from 0 to 1"),
        ("augment.transpose", 2, "augment.transpose: expected a value from 0 to 1"),
        ("augment.rotate", float("nan"), "augment.rotate: expected a value from 0 to 1, got nan"),
        ("augment.blur", "0.5", "augment.blur: expected a number, got '0.5'"),
        ("augment.noise", None, "augment.noise: expected a number, got None"),
        ("augment.cutout", 5, "augment.cutout: expected a value from 0 to 1"),
        ("augment.rotate_limit", 181, "augment.rotate_limit: expected a value from 0 to 180, got 181.0"),
        ("augment.rotate_limit", -5.0, "augment.rotate_limit: expected a value from 0 to 180, got -5.0"),
        ("augment.border", "wrap", "augment.border: expected one of constant, reflect, got 'wrap'"),
        ("augment.brightness", 1.5, "augment.brightness: expected a value from 0 to 1, got 1.5"),
        ("augment.contrast", -0.1, "augment.contrast: expected a value from 0 to 1, got -0.1"),
        ("augment.saturation", float("nan"), "augment.saturation: expected a value from 0 to 1, got nan"),
        ("model.depth", 20, "model.depth: expected one of 18, 34, 50, 101, 152, got 20"),
        ("model.depth", 18.0, "model.depth: expected one of 18, 34, 50, 101, 152, got 18.0"),
        ("model.shortcut", "sum", "model.shortcut: expected one of add, concat, weighted, got 'sum'"),
        ("model.pretrained", 3, "model.pretrained: expected text, got 3"),
        ("model.pretrained_sha256", "ab", "model.pretrained_sha256: given without model.pretrained"),
        (
            "optimizer.name",
            "sgd",
            "optimizer.name: expected one of ranger21, adamw, ranger21_cosine, "
            "ranger21_package, ranger21_package_cosine, got 'sgd'",
        ),
        ("optimizer.learning_rate", 1e-5, "optimizer.learning_rate: expected a value from 3e-05 to 100, got 1e-05"),
        (
            "optimizer.learning_rate",
            float("inf"),
            "optimizer.learning_rate: expected a value from 3e-05 to 100, got inf",
        ),
        ("optimizer.learning_rate", 10**400, "optimizer.learning_rate: expected at most 1.79769e[+]308, got a larger"),
        ("train.epochs", 0, "train.epochs: expected a value from 1 to 100000, got 0"),
        ("train.epochs", 2.0, "train.epochs: expected an integer, got 2.0"),
        ("train.epochs", True, "train.epochs: expected an integer, got True"),
        ("train.batch_size", 0, "train.batch_size: expected a value from 1 to 65536"),
        ("train.class_weight", "both", "train.class_weight: expected one of none, balanced, got 'both'"),
        ("train.label_smoothing", 1.1, "train.label_smoothing: expected a value from 0 to 1, got 1.1"),
        ("train.label_smoothing", "some", "train.label_smoothing: expected a number, got 'some'"),
        ("train.precision", "float16", "train.precision: expected one of auto, float32, bfloat16, got 'float16'"),
        ("train.pipeline", "gpu", "train.pipeline: expected one of batch, reference, got 'gpu'"),
        ("train.seed", -1, "train.seed: expected a value from 0 to 2.14748e[+]09, got -1"),
        ("train.seed", 10**400, "train.seed: expected a value from 0 to"),
        ("evaluate.tta", "d8", "evaluate.tta: expected one of none, flips, d4, got 'd8'"),
        ("evaluate.precise_bn", 1, "evaluate.precise_bn: expected true or false, got 1"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Recipe.from_flat({key: value})


def test_sections_are_validated_on_construction() -> None:
    with pytest.raises(UserError, match=r"train.epochs: expected a value from 1"):
        Train(epochs=0)
    with pytest.raises(UserError, match=r"model.depth: expected one of"):
        Model(depth=19)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"data.size_px: expected at most data.crop_px \(100\), got 101; enlarging"):
        Data(crop_px=100, size_px=101)


@pytest.mark.parametrize("text", ["{", "", "[1]", "3"])
def test_json_that_is_not_a_recipe(text: str) -> None:
    with pytest.raises(UserError, match=r"^recipe: expected "):
        Recipe.from_json(text)


def test_optimizer_fields_without_effect_are_rejected() -> None:
    assert Optimizer() == Optimizer(weight_decay=None, restart_epochs=None, restart_factor=None)
    assert (Optimizer(name="adamw").weight_decay, Optimizer(name="adamw").restart_factor) == (0.01, 1)
    assert Optimizer(name="ranger21_cosine").weight_decay is None
    assert Optimizer(name="ranger21_cosine").restart_factor == 1
    assert Optimizer(name="ranger21_cosine").warmup_epochs is None
    assert Optimizer(name="adamw").warmup_epochs == 0
    for name, field in [
        ("ranger21", "weight_decay"),
        ("ranger21", "warmup_epochs"),
        ("ranger21_cosine", "warmup_epochs"),
        ("ranger21", "restart_epochs"),
        ("ranger21", "restart_factor"),
        ("ranger21_cosine", "weight_decay"),
    ]:
        with pytest.raises(UserError, match=f"^optimizer.{field} has no effect with {name}; leave it out$"):
            Recipe().with_settings({"optimizer.name": name, f"optimizer.{field}": 1})
    # Only plain ranger21 has a warm-down, which would raise a small learning rate.
    assert Optimizer(name="adamw", learning_rate=1e-6).learning_rate == 1e-6
    with pytest.raises(UserError, match=r"optimizer.restart_factor: expected a value from 1 to 2, got 3"):
        Optimizer(name="adamw", restart_factor=3)
    with pytest.raises(UserError, match=r"optimizer.weight_decay: expected a value from 0 to 1, got 2"):
        Optimizer(name="adamw", weight_decay=2.0)
    with pytest.raises(UserError, match=r"^optimizer.warmup_epochs: expected a value from 0 to 100000, got -1$"):
        Optimizer(name="adamw", warmup_epochs=-1)
    with pytest.raises(UserError, match=r"^optimizer.warmup_epochs: expected an integer, got 0.5$"):
        Recipe.from_flat({"optimizer.name": "adamw", "optimizer.warmup_epochs": 0.5})


def test_changing_the_optimizer_resets_its_settings() -> None:
    assert ADAMW.with_settings({"optimizer.name": "ranger21"}).optimizer == Optimizer()
    cosine = ADAMW.with_settings({"optimizer.name": "ranger21_cosine", "optimizer.restart_factor": 2}).optimizer
    assert (cosine.restart_epochs, cosine.restart_factor, cosine.weight_decay) == (None, 2, None)
    kept = ADAMW.with_settings({"optimizer.name": "adamw", "optimizer.learning_rate": 1e-3}).optimizer
    assert (kept.weight_decay, kept.restart_epochs, kept.learning_rate) == (0.1, 7, 1e-3)


def test_each_optimizer_has_its_own_default_learning_rate() -> None:
    for name, rate in (("ranger21", 1e-3), ("adamw", 3e-4), ("ranger21_cosine", 1e-3)):
        assert strong().with_settings({"optimizer.name": name}).optimizer.learning_rate == rate
    fixed = strong().with_settings({"optimizer.name": "ranger21", "optimizer.learning_rate": 0.005})
    assert fixed.optimizer.learning_rate == 0.005


def test_a_single_cycle_follows_the_number_of_epochs() -> None:
    resolved = Recipe.from_flat({"optimizer.name": "adamw", "train.epochs": 6}).resolved([(64, 64)])
    assert resolved.optimizer.restart_epochs == 6
    assert resolved.with_settings({"train.epochs": 10}).optimizer.restart_epochs == 10
    assert resolved.with_settings({"train.epochs": 10, "optimizer.restart_epochs": 5}).optimizer.restart_epochs == 5
    assert ADAMW.with_settings({"train.epochs": 10}).optimizer.restart_epochs == 7


@pytest.mark.parametrize(
    ("data", "smallest_px", "expected"),
    [
        (Data(), 450, (384, 224)),
        (Data(), 300, (300, 224)),
        (Data(), 64, (64, 64)),
        (Data(crop_px=210), 450, (210, 210)),
        (Data(size_px=48), 450, (384, 48)),
        (Data(crop_px=64, size_px=64), 64, (64, 64)),
    ],
)
def test_crop_and_size_are_resolved_from_the_data(data: Data, smallest_px: int, expected: tuple[int, int]) -> None:
    resolved = Recipe(data=data).resolved([(smallest_px, smallest_px)])
    assert (resolved.data.crop_px, resolved.data.size_px) == expected
    assert resolved.resolved([(smallest_px, smallest_px)]) == resolved


def test_the_size_must_fit_the_default_crop() -> None:
    with pytest.raises(UserError, match=r"data.size_px: expected at most data.crop_px \(100\), got 224"):
        Recipe(data=Data(size_px=224)).resolved([(100, 100)])


def test_pretrained_weights_must_match_their_hash(tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.pth"
    recipe = Recipe(model=Model(pretrained=str(weights)))
    with pytest.raises(MissingFile, match=r"model.pretrained: no file at .*resnet18.pth; give the path"):
        recipe.resolved([(64, 64)])
    weights.write_bytes(b"first")
    resolved = recipe.resolved([(64, 64)])
    assert resolved.model.pretrained_sha256 == hashlib.sha256(b"first").hexdigest()
    assert resolved.resolved([(64, 64)]) == resolved
    resolved.check_pretrained()
    weights.write_bytes(b"second")
    with pytest.raises(UserError, match=r"but this recipe was run with .*; restore the original file"):
        resolved.check_pretrained()
    with pytest.raises(UserError, match=r"but this recipe was run with .*; restore the original file"):
        resolved.resolved([(64, 64)])
    assert resolved.with_settings({"model.pretrained": None}).model == Model()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=3", ("train.epochs", 3)),
        (" train.epochs = 3 ", ("train.epochs", 3)),
        ("optimizer.learning_rate=1e-3", ("optimizer.learning_rate", 0.001)),
        ("model.depth=152", ("model.depth", 152)),
        ("model.shortcut=concat", ("model.shortcut", "concat")),
        ("data.grayscale=True", ("data.grayscale", True)),
        ("data.grayscale=no", ("data.grayscale", False)),
        ("data.crop_px=null", ("data.crop_px", None)),
        ("optimizer.weight_decay=0.1", ("optimizer.weight_decay", 0.1)),
        ("model.pretrained=/a=b.pth", ("model.pretrained", "/a=b.pth")),
    ],
)
def test_a_setting_is_parsed_as_its_field_type(text: str, expected: tuple[str, Any]) -> None:
    key, value = parse_setting(text)
    assert (key, value) == expected
    assert type(value) is type(expected[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.epochs", "--set: expected FIELD=VALUE, got 'train.epochs'; for example"),
        ("train.epochs=many", "train.epochs: expected an integer, got 'many'"),
        ("train.epochs=1.5", "train.epochs: expected an integer, got '1.5'"),
        ("train.epochs=", "train.epochs: expected an integer, got ''"),
        ("augment.blur=often", "augment.blur: expected a number, got 'often'"),
        ("data.grayscale=maybe", "data.grayscale: expected one of true, false, got 'maybe'"),
        ("model.depth=19", "model.depth: expected one of 18, 34, 50, 101, 152, got '19'"),
        (
            "model.pretrained_sha256=ab",
            "--set: model.pretrained_sha256 is computed from the file; set model.pretrained",
        ),
    ],
)
def test_a_setting_that_cannot_be_parsed(text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        parse_setting(text)


def test_a_field_set_twice_is_rejected() -> None:
    assert parse_settings(["train.epochs=3", "train.seed=1"]) == {"train.epochs": 3, "train.seed": 1}
    with pytest.raises(UserError, match=r"^--set: train.epochs is set twice; give it once$"):
        parse_settings(["train.epochs=3", "train.epochs=3"])


def test_recipes_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().train.epochs = 3  # type: ignore[misc]
