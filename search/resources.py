"""What a trial occupies of a Ray cluster, and how many run at once."""

from __future__ import annotations

from dataclasses import dataclass

import ray
import torch

from leukemia.device import DEVICES
from leukemia.mistakes import Mistake


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial occupies, and how many may run at once."""

    device: str
    cpus: int
    gpus: float
    concurrent: int


def plan_resources(device: str, cpus: int | None, gpus: float | None, max_gpus: int | None) -> Resources:
    """Divide what Ray has among trials.

    ``auto`` takes GPUs where the cluster has some, else what the machine has. By default a trial gets a whole GPU and
    its share of the processors; without GPUs two trials run at once.

    Raises:
        Mistake: a device, or more of it, than the cluster has.
    """
    total = ray.cluster_resources()
    total_cpus, total_gpus = int(total.get("CPU", 0)), total.get("GPU", 0.0)
    assert device in DEVICES
    if device == "auto":
        device = "cuda" if total_gpus else ("mps" if torch.backends.mps.is_available() else "cpu")
    if device == "cuda" and not total_gpus:
        raise Mistake("--device cuda: Ray sees no GPU; use --device auto or cpu")
    if gpus is not None and device != "cuda":
        raise Mistake(f"--gpus-per-trial has no effect on {device}; leave it out")
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise Mistake(f"--gpus-per-trial: expected a fraction up to 1 or a whole number, got {gpus:g}")
    gpus_per_trial = (1.0 if gpus is None else gpus) if device == "cuda" else 0.0
    usable_gpus = min(total_gpus, float(max_gpus)) if max_gpus is not None else total_gpus
    by_gpu = int(usable_gpus / gpus_per_trial + 1e-6) if gpus_per_trial else (1 if device == "mps" else 2)
    cpus_per_trial = cpus or max(1, total_cpus // max(1, by_gpu))
    concurrent = min(by_gpu if device != "cpu" else total_cpus, total_cpus // cpus_per_trial)
    if concurrent < 1:
        raise Mistake(
            f"a trial asks for {cpus_per_trial} CPUs and {gpus_per_trial:g} GPUs, "
            f"the cluster has {total_cpus} and {usable_gpus:g}; lower --cpus-per-trial or --gpus-per-trial"
        )
    return Resources(device=device, cpus=cpus_per_trial, gpus=gpus_per_trial, concurrent=concurrent)


def describe(resources: Resources, own: bool) -> str:
    """Where trials run, in one line for the user."""
    gpus = f", {resources.gpus:g} GPU" if resources.gpus else ""
    place = "a Ray of its own" if own else f"the Ray cluster at {ray.get_runtime_context().gcs_address}"
    return (
        f"device: {resources.device}; up to {resources.concurrent} trials at once on {place}, "
        f"each with {resources.cpus} CPU{gpus}"
    )
