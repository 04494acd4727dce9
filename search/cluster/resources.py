"""The resources of a trial on a Ray cluster, and how many trials run at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import ray
import torch

from leukemia.base.cli import AUTO, DEVICES
from leukemia.base.errors import UserError
from leukemia.training.device import describe_excess
from search.cluster.nodes import Node, Nodes


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one trial, and how many trials may run at once."""

    device: str
    cpus: int
    gpus: float
    concurrent: int
    """Maximum number of trials at once when the cluster has grown to its maximum."""

    cpu_threads: int | None = None
    """Torch threads of a trial on a CPU, which may be more than ``cpus``; None on other devices."""

    max_gpus: int | None = None
    packed: bool = False
    """Whether trials share ``gpus`` and ``cpus`` if their networks need less."""

    def on(self, node: Node) -> int:
        """How many trials run on a node at once."""
        by_cpu = node.cpus // self.cpus
        return min(by_cpu, int(node.gpus / self.gpus + 1e-6)) if self.gpus else by_cpu

    def capacity(self, nodes: Nodes) -> int:
        """How many trials a cluster can run at once when it has grown to its maximum."""
        # The best of the nodes that may be started: the autoscaler chooses by the resources requested.
        more = sorted((self.on(node) for node in nodes.more), reverse=True)[: nodes.max_more]
        total = sum(self.on(node) for node in nodes.now) + sum(more)
        if self.device == "mps":
            return min(total, 1)
        if self.max_gpus is None or not self.gpus:
            return total
        # A limit above the number of GPUs, however large, allows all.
        return min(total, int(min(self.max_gpus, total * self.gpus) / self.gpus + 1e-6))


def plan_resources(
    device: str,
    cpus: int | None,
    gpus: float | str | None,
    max_gpus: int | None,
    nodes: Nodes,
    *,
    cpu_threads: int | None = None,
) -> Resources:
    """Divide the resources that a cluster has, or may grow to, among trials.

    Device ``auto`` uses GPUs if a node has any, else the device of this machine. By default a trial gets a whole GPU
    and an equal share of the CPUs of the smallest node with a GPU; without GPUs two trials run on each node at once.

    Args:
        cpus: per trial.
        gpus: per trial, or ``AUTO``.
        cpu_threads: per trial on a CPU, if a study has fixed their number; a node with fewer CPUs is used as well.

    Raises:
        UserError: no node has that device or as much of it; such a trial would wait forever.
    """
    every = (*nodes.now, *nodes.more)
    if not any(node.cpus for node in every):
        raise UserError(
            "no node of the cluster has CPUs for trials; wait until workers have joined (`ray status` lists them)"
        )
    total_gpus = sum(node.gpus for node in every)
    assert device in DEVICES
    if device == "auto":
        device = "cuda" if total_gpus else ("mps" if torch.backends.mps.is_available() else "cpu")
    if device == "cuda" and not total_gpus:
        raise UserError("--device cuda: Ray sees no GPU; use --device auto or cpu")
    if device == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: not available on this machine; use --device auto or cpu")
    if gpus is not None and device != "cuda":
        raise UserError(f"--gpus-per-trial has no effect on {device}; leave it out")
    packed = gpus == AUTO
    number = 1.0 if gpus is None or isinstance(gpus, str) else gpus
    if number > 1 and number != int(number):
        raise UserError(f"--gpus-per-trial: expected a fraction up to 1 or an integer, got {number:g}")
    gpus_per_trial = number if device == "cuda" else 0.0
    shares = [_share(node, device, gpus_per_trial, max_gpus) for node in every if node.gpus >= gpus_per_trial]
    # With nodes of different sizes the smallest one counts: a trial's results depend on its number of CPUs.
    cpus_per_trial = cpus or min((share for share in shares if share), default=max(node.cpus for node in every))
    if device == "cpu" and cpu_threads is not None:
        cpus_per_trial = min(cpu_threads, max(node.cpus for node in every))
    resources = Resources(
        device=device,
        cpus=cpus_per_trial,
        cpu_threads=(cpu_threads or cpus_per_trial) if device == "cpu" else None,
        gpus=gpus_per_trial,
        concurrent=0,
        max_gpus=max_gpus if device == "cuda" else None,
        packed=packed,
    )
    concurrent = resources.capacity(nodes)
    if concurrent < 1:
        raise UserError(
            f"a trial needs {cpus_per_trial} CPUs and {gpus_per_trial:g} GPUs, {_sizes(every, max_gpus)}; "
            "lower --cpus-per-trial or --gpus-per-trial"
        )
    return dataclasses.replace(resources, concurrent=concurrent)


def _share(node: Node, device: str, gpus: float, max_gpus: int | None) -> int:
    """CPUs per trial on a node, 0 if it has none."""
    usable = node.gpus if max_gpus is None else min(node.gpus, max_gpus)
    trials = int(usable / gpus + 1e-6) if gpus else (1 if device == "mps" else 2)
    return max(1, node.cpus // max(1, trials)) if node.cpus else 0


def _sizes(nodes: tuple[Node, ...], max_gpus: int | None) -> str:
    """The sizes of a cluster's nodes, as text."""
    limit = float("inf") if max_gpus is None else max_gpus
    kinds = sorted({(node.cpus, min(node.gpus, limit)) for node in nodes}, reverse=True)
    if len(nodes) == 1:
        return f"the cluster has {kinds[0][0]} and {kinds[0][1]:g}"
    return "no node of the cluster has both: " + ", ".join(f"{cpus} and {gpus:g}" for cpus, gpus in kinds)


def describe(resources: Resources, nodes: Nodes, own: bool) -> str:
    """A line for the user about where trials run."""
    part = " or less if its network needs less" if resources.packed else ""
    gpus = f", {resources.gpus:g} GPU{part}" if resources.gpus else ""
    cluster = "a local Ray" if own else f"the Ray cluster at {ray.get_runtime_context().gcs_address}"
    text = (
        f"device: {resources.device}; up to {resources.concurrent} trials at once on {cluster}, "
        f"each with {resources.cpus} CPU{gpus}{describe_excess(resources.cpu_threads or 0, resources.cpus)}"
    )
    return text + (f"; {_growth(resources, nodes)}" if nodes.max_more else "")


def _growth(resources: Resources, nodes: Nodes) -> str:
    what = "GPUs" if resources.gpus else "CPUs"
    sizes = [(node.gpus if resources.gpus else node.cpus) for node in nodes.now]
    more = sorted(((node.gpus if resources.gpus else node.cpus) for node in nodes.more), reverse=True)
    now = sum(sizes)
    return f"the cluster has {now:g} {what} now and may grow to {now + sum(more[: nodes.max_more]):g}"
