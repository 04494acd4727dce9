"""The space of a search and its estimated device hours and disk space, for ``--dry-run``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.training.device import choose_device, describe_device, use_threads
from leukemia.training.train import Split, fit
from search.planning.plan import Plan
from search.policy.dimensions import Choice, Dimension, mean_of, values_text
from search.policy.patience import STARTED_PER_COMPLETE
from search.policy.space import Space
from search.trials.display import print_line


def print_estimate(console: Console, plan: Plan, device_name: str) -> None:
    """Print every field of the space and the estimated cost on this machine; nothing is written.

    Args:
        device_name: of the trials; if only other machines have it, the recipe is timed on this one's best.
    """
    print_space(console, plan.space)
    try:
        device = choose_device(device_name)
    except UserError:
        device = choose_device("auto")
    use_threads(plan.info.cpu_threads)
    print_line(
        console,
        f"timing the starting recipe on this machine ({describe_device(device)}), which should be idle: otherwise it "
        "takes minutes, and the estimated time is several times too long",
    )
    for line in describe_cost(plan, _seconds_per_image(plan, device), describe_device(device)).splitlines():
        print_line(console, line)


def print_space(console: Console, space: Space) -> None:
    """Print every searched field with its reason, and the fixed ones."""
    for dimension in space.dimensions:
        only = f" (only {', '.join(dimension.optimizers)})" if dimension.optimizers else ""
        print_line(console, f"{dimension.key}: {values_text(dimension)}{only}; {dimension.reason}")
    for key, value in space.settings.items():
        print_line(console, f"{key}: {value} (fixed)")


def describe_cost(plan: Plan, seconds_per_image: float, device: str) -> str:
    """Estimated device time and disk space, from a timing of the starting recipe on this machine."""
    start, info = plan.space.start, plan.info
    num_images = len(plan.catalog.table) * (info.folds - 1)
    searched = {dimension.key: dimension for dimension in plan.space.dimensions}
    lengths = searched.get("train.epochs")
    epochs = start.train.epochs if lengths is None else mean_of(lengths)
    hours = info.trials * num_images * epochs * seconds_per_image / 3600
    holders = "parallel or waiting trial, of the latter at most --paused-gb" if plan.rules.pausing else "parallel trial"
    epoch_seconds = math.ceil(num_images / info.folds * seconds_per_image)
    gigabytes = (plan.image_bytes() + plan.checkpoint_bytes()) / 1e9
    return (
        f"cost: {info.trials} trials x {info.folds} folds x {_epochs(lengths, epochs)}; if all take as long as "
        f"the starting recipe on one {device}: {_hours(hours)}{_not_counted(searched, start)}\n"
        f"{_earlier(plan, hours)}"
        f"an epoch of a fold: {epoch_seconds} device second{'' if epoch_seconds == 1 else 's'}\n"
        f"disk: {gigabytes:.1f} GB ({plan.image_bytes() / 1e9:.2f} for decoded images, "
        f"{plan.checkpoint_bytes() / 1e9:.2f} for a checkpoint of the largest network, per {holders})"
    )


def _epochs(lengths: Dimension | None, mean: float) -> str:
    return f"{mean:g} epochs" if lengths is None else f"{values_text(lengths)} epochs (on average {mean:.0f})"


def _not_counted(searched: Mapping[str, Dimension], start: Recipe) -> str:
    """What the estimate does not take into account, since only the starting recipe is timed."""
    notes = []
    depths = searched.get("model.depth")
    if isinstance(depths, Choice) and max(depths.choices) > start.model.depth:
        notes.append("deeper networks take several times as long")
    if isinstance(depths, Choice) and min(depths.choices) < start.model.depth:
        notes.append("smaller networks take a part of it")
    if "train.batch_size" in searched:
        notes.append(f"timed with batches of {start.train.batch_size}")
    return f" ({'; '.join(notes)})" if notes else ""


def _earlier(plan: Plan, hours: float) -> str:
    """A line on the limits that may end the search before all trials have ended; empty if none can."""
    info = plan.info
    worth = info.patience / (STARTED_PER_COMPLETE if plan.rules.pausing else 1)
    limits = {"(--budget-hours)": info.budget_hours, "without an improvement (--patience)": worth * hours / info.trials}
    parts = [f"{_hours(limit)} {name}" for name, limit in limits.items() if limit < hours]
    return f"it ends earlier after {', or after '.join(parts)}\n" if parts else ""


def _seconds_per_image(plan: Plan, device: torch.device) -> float:
    """Time one epoch of the starting recipe on four batches of noise, but not more images than a fold has."""
    recipe = plan.space.start.with_settings({"train.epochs": 2})
    num_images = min(4 * recipe.train.batch_size, *(len(fold.training) for fold in plan.splits.folds))
    noise = np.random.default_rng(0).integers(
        0, 256, (num_images, plan.view.size_px, plan.view.size_px, 3), dtype=np.uint8
    )
    split = Split(
        images=noise,
        labels=np.arange(num_images) % 2,
        training=np.arange(num_images),
        validation=np.arange(0),
    )
    # The first epoch is a warm-up; the second is timed.
    return 1.0 / list(fit(recipe, split, fold=0, device=device))[-1].images_per_second


def _hours(hours: float) -> str:
    return f"{hours:.1f} device hours" if hours >= 1 else f"{math.ceil(hours * 60)} device minutes"
