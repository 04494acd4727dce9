"""Preset recipes, by name."""

from __future__ import annotations

from collections.abc import Callable

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data, Evaluate, Optimizer, Train


def seed() -> Recipe:
    """The original recipe of this project: ResNet-18 from scratch, Ranger21, default augmentation."""
    return Recipe()


def strong() -> Recipe:
    """A strong baseline: AdamW with one cosine cycle and balanced classes; add ImageNet weights with
    ``--set model.pretrained=PATH``."""
    return Recipe(
        optimizer=Optimizer(name="adamw", weight_decay=0.05),
        train=Train(class_weight="balanced"),
    )


def debug() -> Recipe:
    """A few minutes on a laptop: small images, few epochs. For testing the pipeline; scores are meaningless."""
    return Recipe(
        data=Data(size_px=48),
        train=Train(epochs=8),
        evaluate=Evaluate(tta="flips"),
    )


PRESETS: dict[str, Callable[[], Recipe]] = {"seed": seed, "strong": strong, "debug": debug}
"""Preset recipes by name."""
