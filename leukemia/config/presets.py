"""Recipes to start from, by name."""

from __future__ import annotations

from collections.abc import Callable

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data, Evaluate, Optimizer, Train


def seed() -> Recipe:
    """The recipe that this project grew from: ResNet-18 from scratch, Ranger21, the default augmentation."""
    return Recipe()


def strong() -> Recipe:
    """What a practitioner would start from: AdamW with one cosine cycle, balanced classes; add ImageNet weights
    with ``--set model.pretrained=PATH``."""
    return Recipe(
        optimizer=Optimizer(name="adamw", weight_decay=0.05),
        train=Train(class_weight="balanced"),
    )


def debug() -> Recipe:
    """A few minutes on a laptop: small images, few epochs. For trying the machinery, not for results."""
    return Recipe(
        data=Data(size_px=48),
        train=Train(epochs=8),
        evaluate=Evaluate(tta="flips"),
    )


PRESETS: dict[str, Callable[[], Recipe]] = {"seed": seed, "strong": strong, "debug": debug}
"""Preset recipes by name."""
