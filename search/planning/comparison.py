"""A comparison before its first trial: what it runs, and what that is estimated to cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from leukemia.base.errors import listed
from leukemia.base.quantity import quantity
from leukemia.config.recipe import Recipe
from leukemia.study.given_recipes import names_of, with_name
from leukemia.training.device import describe_device
from search.planning.plan import Plan
from search.planning.timing import LONG_HOURS, duration_text, hours_text, num_devices, seconds_per_image

MOST_LISTED = 50
"""Recipes that are printed; a longer list is whole in a file."""


@dataclass(frozen=True, kw_only=True)
class RecipeTimes:
    """How fast this machine trains each recipe."""

    seconds: Sequence[float | None]
    """Per training image, in the order of the recipes; None if the device's memory is too small."""

    device: str
    """Name of the device."""

    num_devices: int
    """Of this machine, each with a trial."""


def describe_comparison(plan: Plan) -> list[str]:
    """What a comparison runs, as lines of text."""
    return [
        f"comparison: {_trainings(plan)}; no trial is stopped early, and each recipe is compared with the first one",
        *listed(
            (f"trial {number:04d}: {label}" for number, label in enumerate(labels_of(plan))), limit=MOST_LISTED
        ).splitlines(),
        *(f"{key}: {value} (fixed)" for key, value in plan.space.settings.items()),
    ]


def _trainings(plan: Plan) -> str:
    info, number, seeds = plan.info, len(plan.recipes), 1 + plan.info.repeats
    parts = f"{quantity(number, 'recipe')} x {quantity(info.folds, 'fold')} x {quantity(seeds, 'seed')}"
    return f"{parts} (--repeats {info.repeats}) = {number * info.folds * seeds} trainings"


def labels_of(plan: Plan) -> list[str]:
    """Each recipe by its name, if it has one, and the fields in which the recipes differ."""
    keys, names = [dimension.key for dimension in plan.space.dimensions], names_of(plan.info)
    return [with_name(names.get(number), each.describe_fields(keys)) for number, each in enumerate(plan.recipes)]


def recipe_times(plan: Plan, device: torch.device) -> RecipeTimes:
    """Time the recipes of a comparison; those that differ in nothing that changes their speed much, once."""
    found: dict[tuple[Any, ...], float | None] = {}
    for recipe in plan.recipes:
        if _speed_of(recipe) not in found:
            found[_speed_of(recipe)] = seconds_per_image(plan, recipe, device)
    return RecipeTimes(
        seconds=[found[_speed_of(recipe)] for recipe in plan.recipes],
        device=describe_device(device),
        num_devices=num_devices(device),
    )


def num_timed(plan: Plan) -> int:
    """How many recipes ``recipe_times`` times."""
    return len({_speed_of(recipe) for recipe in plan.recipes})


def _speed_of(recipe: Recipe) -> tuple[Any, ...]:
    model, plugged = recipe.model, tuple(name for name, probability in recipe.augmentations if probability > 0)
    return model.network, model.depth, model.shortcut, recipe.optimizer.name, recipe.train.batch_size, plugged


def describe_cost(plan: Plan, times: RecipeTimes) -> Iterator[str]:
    """Estimated device and wall time by recipe, and what would shorten it, as lines of text."""
    info, num_images = plan.info, len(plan.catalog.table) * (plan.info.folds - 1)
    seeds, names = 1 + info.repeats, labels_of(plan)
    yield f"cost: {_trainings(plan)}, on {times.device}"
    hours = [
        None if seconds is None else seeds * num_images * recipe.train.epochs * seconds / 3600
        for recipe, seconds in zip(plan.recipes, times.seconds, strict=True)
    ]
    lines = (f"{name}: {_hours(each)}" for name, each in zip(names, hours, strict=True))
    yield from listed(lines, limit=MOST_LISTED).splitlines()
    known = [each for each in hours if each is not None]
    if not known:
        return
    total = sum(known)
    devices = "CPU" if times.device.startswith("cpu") else quantity(times.num_devices, "device")
    yield (
        f"all trials: {hours_text(total)} with all seeds; wall time on this machine's {devices}: "
        f"{duration_text(total / times.num_devices)}"
    )
    if info.budget_hours < total:
        yield (
            f"it ends earlier, before all recipes have run, after {hours_text(info.budget_hours)} (--budget-hours); "
            "--resume with a larger one goes on"
        )
    if min(total, info.budget_hours) > LONG_HOURS * times.num_devices and info.repeats:
        alone = duration_text(total / seeds / times.num_devices)
        yield f"with one seed each (--repeats 0) it takes {alone}, but what the seed changes is assumed, not measured"
    slowest = max(each for each in times.seconds if each is not None)
    seconds = math.ceil(num_images / info.folds * slowest)
    of_which = "" if len(set(times.seconds)) == 1 else " of the slowest recipe"
    yield f"an epoch of a fold: {quantity(seconds, 'device second')}{of_which}"


def _hours(hours: float | None) -> str:
    return "out of memory with its batch size; it would fail" if hours is None else hours_text(hours)
