"""A step of this project's Ranger21: how many kernels it launches on a GPU."""

from __future__ import annotations

import torch

from benchmarks.training.measuring.case import Case
from benchmarks.training.measuring.launches import Launches
from leukemia.training.model import build_model
from leukemia.training.optim import build_optimizer

STEPS = 5
"""The first step allocates state, the fifth synchronizes lookahead: both do more than the others."""


def launches_of_a_step(depth: int) -> int:
    """The most launches of a step, for a ResNet of this depth; of shapes only, so nothing is computed.

    Raises:
        RuntimeError: a step waits for the device.
    """
    case = Case(depth=depth, size_px=96, optimizer="ranger21", num_batches=100)
    with torch.device("meta"):
        model = build_model(case.recipe).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(model, case.recipe, case.num_batches)
    most = 0
    for _ in range(STEPS):
        for parameter in model.parameters():
            parameter.grad = torch.empty_like(parameter)
        with Launches() as found:
            optimizer.step()
        if found.synchronizations:
            raise RuntimeError(f"a step of Ranger21 waits for the device {found.synchronizations} times")
        most = max(most, found.count)
    return most
