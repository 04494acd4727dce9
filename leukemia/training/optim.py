"""Optimizers with their schedules: Ranger21 with warm-up and warm-down; AdamW or Ranger21 with warm restarts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR

from leukemia.config.optimizers import OPTIMIZERS, OptimizerName
from leukemia.config.recipe import Recipe
from leukemia.training.plugged import plugged_optimizer
from leukemia.training.ranger21 import Ranger21
from leukemia.training.ranger21_package import HIDDEN_COUNTERS, PackageSchedule, package_ranger21

MIN_RATE_SHARE = 0.01
"""Cosine cycles end at this share of the peak learning rate, so that the last steps still have an effect."""

BETA2_WARMUP_STEPS = 2000
"""Steps of Ranger21's warm-up: 2 / (1 - beta2) (Ma & Yarats, arXiv:1910.04209)."""

LONGEST_WARMUP, SHORT_WARMUP = 0.45, 0.22
"""Share of all steps that this warm-up may take, and the share that it takes if it would take more."""

WARMDOWN_START, WARMDOWN_RATE = 0.72, 3e-5
"""Share of all steps before Ranger21's linear warm-down, and the learning rate at its end."""


class Schedule(Protocol):
    """The interface of a learning-rate schedule; torch's schedulers implement it."""

    def step(self) -> None:
        """Advance by one batch."""

    def get_last_lr(self) -> Sequence[float | Tensor]:
        """The learning rate of the next step, per parameter group."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values that restore the schedule."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""


class ScheduledOptimizer:
    """An optimizer with its schedule: one ``step`` per batch, one state."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Schedule, hidden: tuple[str, ...]) -> None:
        """``hidden``: attributes of ``optimizer`` that belong to its state but are missing from its ``state_dict``."""
        self._optimizer = optimizer
        self._schedule = schedule
        self._hidden = hidden

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next ``step``."""
        return float(self._schedule.get_last_lr()[0])

    def zero_grad(self) -> None:
        """Reset all gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the weights from their gradients, then advance the schedule by one batch.

        Raises:
            FloatingPointError: the package's Ranger21 found gradients that are not finite, or all zero from the start.
                Ours records such a step (``failed_step``). AdamW does not check: its weights become NaN, and so does
                the next loss.
        """
        try:
            self._optimizer.step()
        except (RuntimeError, ZeroDivisionError) as error:
            if isinstance(error, RuntimeError) and "hit nan" not in str(error):
                raise
            raise FloatingPointError(
                "expected finite gradients, not all zero; lower optimizer.learning_rate"
            ) from error
        self._schedule.step()

    def failed_step(self) -> int:
        """The first step, counted from 1, whose gradients were not usable, if recorded; else 0.

        Synchronizes with the device.
        """
        return self._optimizer.failed_step() if isinstance(self._optimizer, Ranger21) else 0

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to resume bit for bit.

        Contains only tensors and plain values, so that ``torch.load(weights_only=True)`` can read it. As in torch, the
        tensors are not copies: save them before the next step.
        """
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "hidden": {name: getattr(self._optimizer, name) for name in self._hidden},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of ``state_dict``, for an optimizer with the same model, recipe and batches per epoch.

        Raises:
            ValueError: the parameters differ (torch's message).
        """
        assert set(state["hidden"]) == set(self._hidden), "the state belongs to another optimizer"
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        for name in self._hidden:
            setattr(self._optimizer, name, state["hidden"][name])


def build_optimizer(model: nn.Module, recipe: Recipe, batches_per_epoch: int) -> ScheduledOptimizer:
    """The recipe's optimizer with its schedule, for a model that is already on its device.

    - ``ranger21``: Ranger21 (Wright & Demeure, arXiv:2106.13731) with its own warm-up over 2,000 steps (22 % of runs
      under 4,445 steps) and linear warm-down from 72 % of ``train.epochs`` to 3e-5. In version 0.1.0 its weight decay
      (1e-4) and norm loss affect only the last parameter; they are not changed here.
    - ``ranger21_package`` and ``ranger21_package_cosine``: the package itself, which loops over parameters.
    - ``ranger21_cosine``: the same without warm-up and warm-down, with cosine annealing and warm restarts.
    - ``adamw``: AdamW (Loshchilov & Hutter, arXiv:1711.05101) with the same restarts. As usual, biases, BatchNorm and
      other one-dimensional parameters are not decayed.
    - the optimizer of a plug-in, with the same restarts.

    Cosine annealing (Loshchilov & Hutter, arXiv:1608.03983) is updated per batch, from ``learning_rate`` to a hundredth
    of it within ``restart_epochs`` epochs, then restarts; each cycle is ``restart_factor`` times as long as the last.
    With ``warmup_epochs`` the rate first rises linearly, by the same amount per batch (Goyal et al., arXiv:1706.02677),
    to ``learning_rate`` at the last batch of the warm-up. The warm-up is part of the cycles: restarts stay where they
    are, and the annealing of the cycle in which it ends, usually the first, takes what is left of that cycle.

    Args:
        model: all parameters are trained.
        recipe: resolved, so that ``optimizer.restart_epochs`` is set if the optimizer has it.
        batches_per_epoch: optimizer steps in one epoch, at least 1.
    """
    assert batches_per_epoch >= 1
    name = recipe.optimizer.name
    optimizer_of, schedule_of, hidden = BUILDERS[name] if name in OPTIMIZERS else PLUGGED
    optimizer = optimizer_of(model, recipe, batches_per_epoch)
    return ScheduledOptimizer(optimizer, schedule_of(optimizer, recipe, batches_per_epoch), hidden)


def _adamw(model: nn.Module, recipe: Recipe, batches_per_epoch: int) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    assert recipe.optimizer.weight_decay is not None
    groups = [
        {"params": matrices, "weight_decay": recipe.optimizer.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.optimizer.learning_rate, fused=True)


def _ranger21(model: nn.Module, recipe: Recipe, batches_per_epoch: int) -> Ranger21:
    return Ranger21(model.parameters(), lr=recipe.optimizer.learning_rate)


def _plugged(model: nn.Module, recipe: Recipe, batches_per_epoch: int) -> torch.optim.Optimizer:
    return plugged_optimizer(recipe, list(model.parameters()), recipe.train.epochs * batches_per_epoch)


def _warm_restarts(optimizer: torch.optim.Optimizer, recipe: Recipe, batches_per_epoch: int) -> Schedule:
    settings = recipe.optimizer
    assert settings.restart_epochs is not None, "the recipe is not resolved"
    assert settings.restart_factor is not None
    first_cycle, factor = settings.restart_epochs * batches_per_epoch, settings.restart_factor
    if settings.warmup_epochs:
        steps_up = settings.warmup_epochs * batches_per_epoch
        return LambdaLR(optimizer, lambda step: _warmed_up_share(step, steps_up, first_cycle, factor))
    # The closed form above without a warm-up, but for rounding: checkpoints and numbers of earlier versions are its.
    return CosineAnnealingWarmRestarts(
        optimizer, T_0=first_cycle, T_mult=factor, eta_min=settings.learning_rate * MIN_RATE_SHARE
    )


def _warmed_up_share(step: int, steps_up: int, first_cycle: int, factor: int) -> float:
    """The learning rate of a step, counted from 0, as a share of its peak; all lengths are in steps."""
    if step < steps_up:
        return (step + 1) / steps_up
    start, length = 0, first_cycle
    while start + length <= step:
        start, length = start + length, length * factor
    peak = max(start, steps_up)
    annealed = (1 + math.cos(math.pi * (step - peak) / (start + length - peak))) / 2
    return MIN_RATE_SHARE + (1 - MIN_RATE_SHARE) * annealed


def _warm_up_and_down(optimizer: torch.optim.Optimizer, recipe: Recipe, batches_per_epoch: int) -> Schedule:
    """Ranger21's schedule, by step from 0: linear up, flat, and linear down to ``WARMDOWN_RATE``."""
    peak, total = recipe.optimizer.learning_rate, recipe.train.epochs * batches_per_epoch
    is_short = BETA2_WARMUP_STEPS / total > LONGEST_WARMUP
    steps_up = max(1, int(SHORT_WARMUP * total) if is_short else BETA2_WARMUP_STEPS)
    start_down = int(WARMDOWN_START * total)

    def share(steps_done: int) -> float:
        step = steps_done + 1
        if step < start_down:
            return min(1.0, step / steps_up)
        down = min(1.0, (step + 1 - start_down) / (total - start_down + 1))
        return max(WARMDOWN_RATE, peak - down * (peak - WARMDOWN_RATE)) / peak

    return LambdaLR(optimizer, share)


class Builders(NamedTuple):
    """Builders of an optimizer and its schedule; the last argument of both is the number of batches per epoch."""

    optimizer: Callable[[nn.Module, Recipe, int], Any]
    schedule: Callable[[Any, Recipe, int], Schedule]
    hidden: tuple[str, ...] = ()
    """Attributes of the optimizer that are missing from its ``state_dict``."""


BUILDERS: dict[OptimizerName, Builders] = {
    "ranger21": Builders(_ranger21, _warm_up_and_down),
    "adamw": Builders(_adamw, _warm_restarts),
    "ranger21_cosine": Builders(_ranger21, _warm_restarts),
    "ranger21_package": Builders(
        functools.partial(package_ranger21, own_schedule=True), PackageSchedule, HIDDEN_COUNTERS
    ),
    "ranger21_package_cosine": Builders(
        functools.partial(package_ranger21, own_schedule=False), _warm_restarts, HIDDEN_COUNTERS
    ),
}
"""Builders of the optimizers in ``leukemia.config.optimizers.OPTIMIZERS``."""

PLUGGED = Builders(_plugged, _warm_restarts)
"""Builders of the optimizers of plug-ins."""
