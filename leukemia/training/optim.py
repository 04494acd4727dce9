"""How weights are updated: Ranger21 with its own schedule; AdamW or Ranger21 under cosine warm restarts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from leukemia.config.optimizers import OptimizerName
from leukemia.config.recipe import Recipe

FLOOR = 0.01
"""Cosine cycles end at this share of the peak learning rate, so that the last steps before a restart still move."""

HIDDEN_COUNTERS = ("lookahead_step", "current_iter", "epoch_count", "warmup_complete", "param_size")
"""Attributes of Ranger21 that its own ``state_dict`` leaves out; without the first a resumed run differs."""


class Schedule(Protocol):
    """What ``ScheduledOptimizer`` needs of a learning-rate schedule; torch's schedulers have it."""

    def step(self) -> None:
        """Go on by one batch."""

    def get_last_lr(self) -> Sequence[float | Tensor]:
        """The learning rate of the next step, per parameter group."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values that restore the schedule."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""


class ScheduledOptimizer:
    """An optimizer and its schedule as one: one ``step`` per batch, one state."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Schedule, hidden: tuple[str, ...]) -> None:
        """``hidden`` names attributes of ``optimizer`` that belong to its state and are not in its ``state_dict``."""
        self._optimizer = optimizer
        self._schedule = schedule
        self._hidden = hidden

    @property
    def learning_rate(self) -> float:
        """The rate that the next ``step`` uses."""
        return float(self._schedule.get_last_lr()[0])

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the weights from their gradients, then move the schedule on by one batch.

        Raises:
            FloatingPointError: Ranger21 met gradients that are not finite, or all zero from the start. AdamW does not
                look: its weights become NaN, and the next loss shows it.
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

    def state_dict(self) -> dict[str, Any]:
        """Everything that a later run needs to continue bit for bit: tensors and plain values only, so that
        ``torch.load(weights_only=True)`` reads it. As in torch, the tensors are the live ones: save them at once."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "hidden": {name: getattr(self._optimizer, name) for name in self._hidden},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of ``state_dict``, into an optimizer built for an equal model, recipe and batches per epoch.

        Raises:
            ValueError: the parameters differ (torch's message).
        """
        assert set(state["hidden"]) == set(self._hidden), "the state is of another optimizer"
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        for name in self._hidden:
            setattr(self._optimizer, name, state["hidden"][name])


def build_optimizer(model: nn.Module, recipe: Recipe, batches_per_epoch: int) -> ScheduledOptimizer:
    """The recipe's optimizer for a model that is already on its device, with its schedule.

    - ``ranger21``: Ranger21 (Wright & Demeure, arXiv:2106.13731) with its own warm-up over 2,000 steps (22 % of runs
      under 4,445 steps) and linear warm-down from 72 % of ``train.epochs`` to 3e-5. Its weight decay (1e-4) and norm
      loss reach the last parameter alone in version 0.1.0, and are left as they are.
    - ``ranger21_cosine``: the same with warm-up and warm-down off, under cosine annealing with warm restarts.
    - ``adamw``: AdamW (Loshchilov & Hutter, arXiv:1711.05101) under the same restarts. Biases, BatchNorm and the other
      one-dimensional parameters are not decayed, as is usual.

    Cosine annealing (Loshchilov & Hutter, arXiv:1608.03983) moves per batch, from ``learning_rate`` to a hundredth of
    it within ``restart_epochs`` epochs, and again, each cycle ``restart_factor`` times as long as the one before.

    Args:
        model: all its parameters are trained.
        recipe: resolved: ``optimizer.restart_epochs`` is set where the optimizer has it.
        batches_per_epoch: optimizer steps in one epoch, at least 1.
    """
    assert batches_per_epoch >= 1
    engine_of, schedule_of, hidden = PARTS[recipe.optimizer.name]
    engine = engine_of(model, recipe, batches_per_epoch)
    return ScheduledOptimizer(engine, schedule_of(engine, recipe, batches_per_epoch), hidden)


def _adamw(model: nn.Module, recipe: Recipe, batches_per_epoch: int) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    assert recipe.optimizer.weight_decay is not None
    groups = [
        {"params": matrices, "weight_decay": recipe.optimizer.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.optimizer.learning_rate, fused=True)


def _ranger21(model: nn.Module, recipe: Recipe, batches_per_epoch: int, *, own_schedule: bool) -> Any:
    # Brings matplotlib.pyplot along, which opens no display before something is drawn: imported only by its users.
    from ranger21 import ranger21 as library

    # It reports its settings and milestones with `print`. A name in its own module hides that from it alone:
    # redirecting standard output would swallow what other threads say.
    library.print = _say_nothing
    return library.Ranger21(
        model.parameters(),
        lr=recipe.optimizer.learning_rate,
        num_epochs=recipe.train.epochs,
        num_batches_per_epoch=batches_per_epoch,
        use_warmup=own_schedule,
        warmdown_active=own_schedule,
        logging_active=False,
    )


def _say_nothing(*args: object) -> None:
    """Stands in for ``print``."""


def _warm_restarts(optimizer: torch.optim.Optimizer, recipe: Recipe, batches_per_epoch: int) -> Schedule:
    settings = recipe.optimizer
    assert settings.restart_epochs is not None, "the recipe is not resolved"
    assert settings.restart_factor is not None
    return CosineAnnealingWarmRestarts(
        optimizer,
        T_0=settings.restart_epochs * batches_per_epoch,
        T_mult=settings.restart_factor,
        eta_min=settings.learning_rate * FLOOR,
    )


class _OwnSchedule:
    """Ranger21's schedule seen from outside: it moves by itself in the engine's ``step``; here it is only told."""

    def __init__(self, engine: Any, recipe: Recipe, batches_per_epoch: int) -> None:
        self._engine = engine
        self._steps_done = 0

    def step(self) -> None:
        self._steps_done += 1

    def get_last_lr(self) -> list[float]:
        engine, step = self._engine, self._steps_done + 1
        if step >= engine.start_warm_down:
            steps_down = step + 1 - engine.start_warm_down
            share = min(1.0, steps_down / (engine.warmdown_total_iterations + 1))
            return [max(engine.min_lr, engine.starting_lr - share * engine.warmdown_lr_delta)]
        return [engine.starting_lr * min(1.0, step / max(1, engine.num_warmup_iters))]

    def state_dict(self) -> dict[str, Any]:
        return {"steps_done": self._steps_done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps_done = state_dict["steps_done"]


class Parts(NamedTuple):
    """What an optimizer is built from; both builders take the batches in an epoch last."""

    engine: Callable[[nn.Module, Recipe, int], Any]
    schedule: Callable[[Any, Recipe, int], Schedule]
    hidden: tuple[str, ...] = ()
    """Attributes of the engine that its ``state_dict`` leaves out."""


PARTS: dict[OptimizerName, Parts] = {
    "ranger21": Parts(functools.partial(_ranger21, own_schedule=True), _OwnSchedule, HIDDEN_COUNTERS),
    "adamw": Parts(_adamw, _warm_restarts),
    "ranger21_cosine": Parts(functools.partial(_ranger21, own_schedule=False), _warm_restarts, HIDDEN_COUNTERS),
}
"""The optimizers of ``leukemia.config.optimizers.OPTIMIZERS``."""
