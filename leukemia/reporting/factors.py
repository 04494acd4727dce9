"""The settings that trials are compared by: their values, and which pairs of trials differ in nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.plugins import SECTION
from leukemia.config.recipe import Recipe
from leukemia.config.sections import BOUNDS, Optimizer

SEED = "train.seed"
"""Trials are paired by seed, not by what their recipes say."""

WITH, WITHOUT = "augmentation", "no augmentation"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A setting, or several that belong together."""

    name: str
    belongs: str
    """Beginning of the dotted keys of its fields."""

    value: Callable[[Recipe], str | None]
    """Its value in a recipe, as people say it; None if a recipe has none."""

    values: tuple[str, ...] = ()
    """Values in the order in which they are compared, each with those before it; others follow in alphabetical
    order."""

    def ordered(self, found: Iterable[str]) -> list[str]:
        """Distinct values in the order in which they are compared."""
        distinct = set(found)
        return [value for value in self.values if value in distinct] + sorted(distinct.difference(self.values))

    def is_alone(self, one: Recipe, other: Recipe) -> bool:
        """Whether two recipes differ in this setting and, apart from their seeds, in nothing else.

        Optimizers may differ in settings that one of them lacks, and in the learning rate if each has its default; of
        plug-ins, the default is not known without their files.
        """
        first, second = one.flat(), other.flat()
        # The record of a plug-in that one of them has follows from the field that names it.
        records = {key for key in first.keys() ^ second.keys() if key.startswith(f"{SECTION}.")}
        keys = {**first, **second}.keys() - {SEED, *records}
        differing = [key for key in keys if first.get(key) != second.get(key)]
        return self.value(one) != self.value(other) and all(
            key.startswith(self.belongs) or self._follows(key, one, other) for key in differing
        )

    def _follows(self, key: str, one: Recipe, other: Recipe) -> bool:
        """Whether a field differs because the optimizers do."""
        if self.belongs != "optimizer.name" or not key.startswith("optimizer."):
            return False
        field = key.removeprefix("optimizer.")
        if not (one.optimizer.has(field) and other.optimizer.has(field)):
            return True
        return field == "learning_rate" and all(_has_default_rate(each.optimizer) for each in (one, other))


def _has_default_rate(optimizer: Optimizer) -> bool:
    """Whether the optimizer is built in, and has its default learning rate."""
    spec = OPTIMIZERS.get(optimizer.name)
    return spec is not None and optimizer.learning_rate == spec.settings["learning_rate"].default


def is_augmented(recipe: Recipe) -> bool:
    """Whether training images are augmented: any probability of ``augment`` is above 0.

    >>> is_augmented(Recipe())
    True
    """
    fields = {key: value for key, value in recipe.flat().items() if key.startswith("augment.")}
    # Other ranges are those of strengths, such as degrees, which do nothing at a probability of 0.
    probabilities = [value for key, value in fields.items() if BOUNDS.get(key, (0, 1)) == (0, 1)]
    return any(isinstance(value, int | float) and value > 0 for value in probabilities)


def _depth(recipe: Recipe) -> str | None:
    depth = recipe.flat()["model.depth"]
    return None if depth is None else f"ResNet-{depth}"


DEPTH = Factor(
    name="depth",
    belongs="model.depth",
    value=_depth,
    values=("ResNet-18", "ResNet-34", "ResNet-50", "ResNet-101", "ResNet-152"),
)
AUGMENTATION = Factor(
    name="augmentation",
    belongs="augment.",
    value=lambda recipe: WITH if is_augmented(recipe) else WITHOUT,
    values=(WITHOUT, WITH),
)
FACTORS = (
    DEPTH,
    AUGMENTATION,
    Factor(
        name="shortcut",
        belongs="model.shortcut",
        value=lambda recipe: recipe.model.shortcut,
        values=("add", "concat", "weighted"),
    ),
    Factor(
        name="color",
        belongs="data.grayscale",
        value=lambda recipe: "gray" if recipe.data.grayscale else "color",
        values=("color", "gray"),
    ),
    Factor(
        name="optimizer",
        belongs="optimizer.name",
        value=lambda recipe: recipe.optimizer.name,
        values=("adamw", "ranger21", "ranger21_cosine"),
    ),
)
"""Those of the course: depth, augmentation, shortcut, color, optimizer."""
