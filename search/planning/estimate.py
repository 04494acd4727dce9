"""The space of a search and its estimated device hours, for ``--dry-run``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.base.quantity import quantity
from leukemia.config.earlier import with_present_names
from leukemia.config.plugins import RESNET
from leukemia.training.device import best_device, choose_device, describe_device, use_threads
from search.planning import comparison
from search.planning.plan import Plan
from search.planning.timing import LONG_HOURS, duration_text, hours_text, num_devices, seconds_per_image
from search.policy.dimensions import Choice, Dimension, mean_of, values_text
from search.policy.patience import STARTED_PER_COMPLETE
from search.policy.space import Space, searched_names
from search.trials.display import print_line

Network: TypeAlias = int | str
"""A network as its depth, if it is a ResNet, or by the name of a plug-in's."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How fast this machine trains the starting recipe, with each depth and network of the space."""

    seconds: Mapping[Network, float | None]
    """Per training image, that of the starting recipe first; None if the device's memory is too small."""

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
        device = best_device()
    use_threads(plan.info.cpu_threads)
    timed = f"the starting recipe with {_names(networks_of(plan))}"
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
        return [*comparison.describe_cost(plan, comparison.recipe_times(plan, device))]
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


def networks_of(plan: Plan) -> list[Network]:
    """The networks of the space, that of the starting recipe first."""
    start = plan.space.start.model
    names, depths = (searched_names(plan.space.dimensions, key) or () for key in ("model.network", "model.depth"))
    if RESNET in names and not depths:
        depths = (plan.space.recipe({"model.network": RESNET}).model.depth,)
    first = start.depth if start.is_resnet else start.network
    return list(dict.fromkeys([first, *depths, *(name for name in names if name != RESNET)]))


def _names(networks: list[Network]) -> str:
    depths = ", ".join(str(each) for each in networks if isinstance(each, int))
    names = [each for each in networks if isinstance(each, str)]
    return " and ".join([*([f"depth {depths}"] if depths else []), *names])


def _network_name(network: Network) -> str:
    return f"ResNet-{network}" if isinstance(network, int) else network


def _settings_of(network: Network) -> dict[str, Any]:
    """As recipe fields."""
    return {"model.network": RESNET, "model.depth": network} if isinstance(network, int) else {"model.network": network}


def describe_cost(plan: Plan, timing: Timing) -> str:
    """Estimated device and wall time by network, and what would shorten it."""
    info, lengths = plan.info, _searched(plan, "train.epochs")
    epochs = plan.space.start.train.epochs if lengths is None else mean_of(lengths)
    num_images = len(plan.catalog.table) * (info.folds - 1)
    trained = info.trials * num_images * epochs
    hours = {each: None if seconds is None else trained * seconds / 3600 for each, seconds in timing.seconds.items()}
    known = [each for each in hours.values() if each is not None]
    lines = [f"cost: {info.trials} trials x {info.folds} folds x {_epochs(lengths, epochs)}, on {timing.device}"]
    lines += [f"  {_by_network(network, each, info.trials)}" for network, each in hours.items()]
    if known:
        mean = sum(known) / len(known)
        lines += [
            _overall(plan, _kinds(hours), mean, timing),
            *_earlier(plan, mean),
            *_shorter(plan, hours, mean, timing),
        ]
        slowest = max(each for each in timing.seconds.values() if each is not None)
        epoch_seconds = math.ceil(num_images / info.folds * slowest)
        of_which = "" if len(known) == 1 else f" of the slowest {_kinds(hours)}"
        lines.append(f"an epoch of a fold: {epoch_seconds} device second{'' if epoch_seconds == 1 else 's'}{of_which}")
    return "\n".join(lines)


def _searched(plan: Plan, key: str) -> Dimension | None:
    return next((dimension for dimension in plan.space.dimensions if dimension.key == key), None)


def _epochs(lengths: Dimension | None, mean: float) -> str:
    return f"{mean:g} epochs" if lengths is None else f"{values_text(lengths)} epochs (on average {mean:.0f})"


def _kinds(hours: Mapping[Network, float | None]) -> str:
    """What differs among the networks; empty if a single one could be timed."""
    if sum(each is not None for each in hours.values()) == 1:
        return ""
    return "depth" if all(isinstance(each, int) for each in hours) else "network"


def _by_network(network: Network, hours: float | None, num_trials: int) -> str:
    name, kind = _network_name(network), "depth" if isinstance(network, int) else "network"
    if hours is None:
        return f"{name}: out of memory with the starting recipe's batch size; such trials would fail"
    one = hours_text(hours / num_trials)
    return f"{name}: {hours_text(hours)} if all trials have this {kind}, {one} a trial"


def _overall(plan: Plan, kind: str, hours: float, timing: Timing) -> str:
    """What all trials take together. ``search/preflight/job_time.py`` reads this line."""
    notes = [f"with equally many of each {kind}"] if kind else []
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


def _shorter(plan: Plan, hours: Mapping[Network, float | None], mean: float, timing: Timing) -> list[str]:
    """What would bring a long search down to a day on this machine; empty if it takes no longer."""
    available = LONG_HOURS * timing.num_devices
    if min(mean, plan.info.budget_hours) <= available:
        return []
    ways = [f"--budget-hours {available:g} (no trial starts later)"]
    if (trials := int(plan.info.trials * available / mean)) >= 1:
        ways.append(f"--trials {trials}")
    shortest, fastest = min((each, str(network)) for network, each in hours.items() if each is not None)
    if len(hours) > 1:
        field = "model.depth" if fastest.isdecimal() else "model.network"
        ways.append(f"--set {field}={fastest} (then {duration_text(shortest / timing.num_devices)})")
    if (epochs := int(plan.space.start.train.epochs * available / mean)) >= 1:
        ways.append(f"--set train.epochs={epochs}")
    return [f"to take about a day on this machine: {', or '.join(ways)}"]


def _timing(plan: Plan, device: torch.device) -> Timing:
    start = plan.space.start
    return Timing(
        seconds={
            network: seconds_per_image(plan, start.with_settings(_settings_of(network)), device)
            for network in networks_of(plan)
        },
        device=describe_device(device),
        num_devices=num_devices(device),
    )
