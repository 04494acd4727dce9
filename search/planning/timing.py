"""How fast a machine trains a recipe, and device and wall time as text."""

from __future__ import annotations

import math

import numpy as np
import torch

from leukemia.base.quantity import quantity
from leukemia.config.recipe import Recipe
from leukemia.training.device import is_out_of_memory
from leukemia.training.train import Split, fit
from search.planning.plan import Plan

LONG_HOURS = 24.0
"""From this wall time on, ways to a shorter search are proposed."""

TIMED_BATCHES = 4


def num_devices(device: torch.device) -> int:
    """How many devices of this kind the machine has, each with a trial: its GPUs, or 1 for the CPU."""
    return torch.cuda.device_count() if device.type == "cuda" else 1


def seconds_per_image(plan: Plan, recipe: Recipe, device: torch.device) -> float | None:
    """Time one epoch of a recipe on a few batches of noise, but not more images than a fold has.

    Returns:
        None if the device's memory is too small.
    """
    recipe = recipe.with_settings({"train.epochs": 2})
    num_images = min(TIMED_BATCHES * recipe.train.batch_size, *(len(fold.training) for fold in plan.splits.folds))
    noise = np.random.default_rng(0).integers(
        0, 256, (num_images, plan.view.size_px, plan.view.size_px, 3), dtype=np.uint8
    )
    split = Split(
        images=noise,
        labels=np.arange(num_images) % 2,
        training=np.arange(num_images),
        validation=np.arange(0),
    )
    try:
        # The first epoch is a warm-up; the second is timed.
        return 1.0 / list(fit(recipe, split, fold=0, device=device))[-1].images_per_second
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def hours_text(hours: float) -> str:
    """Device time, as ``search/preflight/job_time.py`` reads it."""
    return f"{hours:.1f} device hours" if hours >= 1 else quantity(math.ceil(hours * 60), "device minute")


def duration_text(hours: float) -> str:
    """Wall time.

    >>> duration_text(0.2), duration_text(30), duration_text(100)
    ('12 minutes', '30.0 hours', '4.2 days')
    """
    if hours < 1:
        return quantity(math.ceil(hours * 60), "minute")
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
