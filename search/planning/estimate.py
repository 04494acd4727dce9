"""The space of a search and its estimated device hours and disk space, for ``--dry-run``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.base.quantity import quantity
from leukemia.config.earlier import with_present_names
from leukemia.training.device import choose_device, describe_device, use_threads
from search.planning import comparison
from search.planning.plan import Plan
from search.planning.timing import LONG_HOURS, duration_text, hours_text, num_devices, seconds_per_image
from search.policy.dimensions import Choice, Dimension, mean_of, values_text
from search.policy.patience import STARTED_PER_COMPLETE
from search.policy.space import Space
from search.trials.display import print_line


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How fast this machine trains the starting recipe, with each depth of the space."""

    seconds: Mapping[int, float | None]
    """Per training image by depth, that of the starting recipe first; None if the device's memory is too small."""

    device: str
    """Name of the device."""

    num_devices: int
    """Of this machine, each with a trial: its GPUs, or 1 for the CPU."""


def print_estimate(console: Console, plan: Plan, device_name: str) -> None:
    """Print every field of the space and the estimated cost on this machine; nothing is written.

    Args:
        device_name: of the trials; if only other machines have it, the recipe is timed on this one's best.
    """
    if not plan.recipes:
        print_space(console, plan.space)
    try:
        device = choose_device(device_name)
    except UserError:
        device = choose_device("auto")
    use_threads(plan.info.cpu_threads)
    timed = f"the starting recipe with depth {', '.join(map(str, depths_of(plan)))}"
    if plan.recipes:
        timed = f"{quantity(comparison.num_timed(plan), 'recipe')} that may differ in speed"
    print_line(
        console,
        f"timing {timed} on this machine ({describe_device(device)}), which should be "
        "idle: otherwise it takes minutes, and the estimated time is several times too long",
    )
    for line in _describe_cost(plan, device):
        print_line(console, line)


def _describe_cost(plan: Plan, device: torch.device) -> list[str]:
    if plan.recipes:
        return [*comparison.describe_cost(plan, comparison.recipe_times(plan, device)), _disk(plan)]
    return describe_cost(plan, _timing(plan, device)).splitlines()


def print_space(console: Console, space: Space) -> None:
    """Print every searched field with its reason, and the fixed ones."""
    for dimension in space.dimensions:
        names = _with_field(dimension, space)
        only = f" (only {', '.join(names)})" if names else ""
        print_line(console, f"{dimension.key}: {values_text(dimension)}{only}; {dimension.reason}")
    for key, value in space.settings.items():
        print_line(console, f"{key}: {value} (fixed)")


def _with_field(dimension: Dimension, space: Space) -> list[str]:
    """The optimizers of the space that have this field; empty if all do."""
    names: list[str] = [space.start.optimizer.name]
    for each in space.dimensions:
        if isinstance(each, Choice) and each.key == "optimizer.name":
            names = [*each.choices]
    present = [with_present_names({"optimizer.name": name}, space.renamed)["optimizer.name"] for name in names]
    found = [name for name, now in zip(names, present, strict=True) if now in dimension.optimizers]
    return found if dimension.optimizers and found != names else []


def depths_of(plan: Plan) -> list[int]:
    """The depths of the space, that of the starting recipe first."""
    start = plan.space.start.model.depth
    found = [each for each in plan.space.dimensions if isinstance(each, Choice) and each.key == "model.depth"]
    return list(dict.fromkeys([start, *(int(depth) for each in found for depth in each.choices)]))


def describe_cost(plan: Plan, timing: Timing) -> str:
    """Estimated device and wall time by depth, what would shorten it, and disk space."""
    info, lengths = plan.info, _searched(plan, "train.epochs")
    epochs = plan.space.start.train.epochs if lengths is None else mean_of(lengths)
    num_images = len(plan.catalog.table) * (info.folds - 1)
    trained = info.trials * num_images * epochs
    hours = {depth: None if seconds is None else trained * seconds / 3600 for depth, seconds in timing.seconds.items()}
    known = [each for each in hours.values() if each is not None]
    lines = [f"cost: {info.trials} trials x {info.folds} folds x {_epochs(lengths, epochs)}, on {timing.device}"]
    lines += [f"  {_by_depth(depth, each, info.trials)}" for depth, each in hours.items()]
    if known:
        mean = sum(known) / len(known)
        lines += [_overall(plan, len(known), mean, timing), *_earlier(plan, mean), *_shorter(plan, hours, mean, timing)]
        slowest = max(each for each in timing.seconds.values() if each is not None)
        epoch_seconds = math.ceil(num_images / info.folds * slowest)
        of_which = "" if len(known) == 1 else " of the slowest depth"
        lines.append(f"an epoch of a fold: {epoch_seconds} device second{'' if epoch_seconds == 1 else 's'}{of_which}")
    return "\n".join([*lines, _disk(plan)])


def _disk(plan: Plan) -> str:
    holders = "parallel or waiting trial, of the latter at most --paused-gb" if plan.rules.pausing else "parallel trial"
    gigabytes = (plan.image_bytes() + plan.checkpoint_bytes()) / 1e9
    return (
        f"disk: {gigabytes:.1f} GB ({plan.image_bytes() / 1e9:.2f} for decoded images, "
        f"{plan.checkpoint_bytes() / 1e9:.2f} for a checkpoint of the largest network, per {holders})"
    )


def _searched(plan: Plan, key: str) -> Dimension | None:
    return next((dimension for dimension in plan.space.dimensions if dimension.key == key), None)


def _epochs(lengths: Dimension | None, mean: float) -> str:
    return f"{mean:g} epochs" if lengths is None else f"{values_text(lengths)} epochs (on average {mean:.0f})"


def _by_depth(depth: int, hours: float | None, num_trials: int) -> str:
    if hours is None:
        return f"ResNet-{depth}: out of memory with the starting recipe's batch size; such trials would fail"
    one = hours_text(hours / num_trials)
    return f"ResNet-{depth}: {hours_text(hours)} if all trials have this depth, {one} a trial"


def _overall(plan: Plan, num_depths: int, hours: float, timing: Timing) -> str:
    """What all trials take together. ``search/preflight/job_time.py`` reads this line."""
    notes = ["with equally many of each depth"] if num_depths > 1 else []
    if _searched(plan, "train.batch_size") is not None:
        notes.append(f"timed with batches of {plan.space.start.train.batch_size}")
    devices = (
        "on this machine's CPU"
        if timing.device.startswith("cpu")
        else (f"on this machine's {timing.num_devices} {'device' if timing.num_devices == 1 else 'devices'}")
    )
    noted = f" ({', '.join(notes)})" if notes else ""
    return (
        f"all trials: {hours_text(hours)}{noted}; wall time {devices}: "
        f"{duration_text(hours / timing.num_devices)}, without stopped trials"
    )


def _earlier(plan: Plan, hours: float) -> list[str]:
    """A line on the limits that may end the search before all trials have ended; empty if none can."""
    info = plan.info
    worth = info.patience / (STARTED_PER_COMPLETE if plan.rules.pausing else 1)
    limits = {"(--budget-hours)": info.budget_hours, "without an improvement (--patience)": worth * hours / info.trials}
    parts = [f"{hours_text(limit)} {name}" for name, limit in limits.items() if limit < hours]
    return [f"it ends earlier after {', or after '.join(parts)}"] if parts else []


def _shorter(plan: Plan, hours: Mapping[int, float | None], mean: float, timing: Timing) -> list[str]:
    """What would bring a long search down to a day on this machine; empty if it takes no longer."""
    available = LONG_HOURS * timing.num_devices
    if min(mean, plan.info.budget_hours) <= available:
        return []
    ways = [f"--budget-hours {available:g} (no trial starts later)"]
    if (trials := int(plan.info.trials * available / mean)) >= 1:
        ways.append(f"--trials {trials}")
    fastest = min((each, depth) for depth, each in hours.items() if each is not None)
    if len(hours) > 1:
        ways.append(f"--set model.depth={fastest[1]} (then {duration_text(fastest[0] / timing.num_devices)})")
    if (epochs := int(plan.space.start.train.epochs * available / mean)) >= 1:
        ways.append(f"--set train.epochs={epochs}")
    return [f"to take about a day on this machine: {', or '.join(ways)}"]


def _timing(plan: Plan, device: torch.device) -> Timing:
    start = plan.space.start
    return Timing(
        seconds={
            depth: seconds_per_image(plan, start.with_settings({"model.depth": depth}), device)
            for depth in depths_of(plan)
        },
        device=describe_device(device),
        num_devices=num_devices(device),
    )
