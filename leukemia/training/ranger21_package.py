"""Ranger21 of the package ranger21 0.1.0, to compare with and to continue studies of earlier versions."""

from __future__ import annotations

from typing import Any

from torch import nn

from leukemia.config.recipe import Recipe

HIDDEN_COUNTERS = ("lookahead_step", "current_iter", "epoch_count", "warmup_complete", "param_size")
"""Attributes of Ranger21 missing from its ``state_dict``; without the first, a resumed run would differ."""


def package_ranger21(model: nn.Module, recipe: Recipe, batches_per_epoch: int, *, own_schedule: bool) -> Any:
    """The package's optimizer, silenced, with or without its own warm-up and warm-down."""
    # Imports matplotlib.pyplot, so import it only when needed. No display is opened.
    from ranger21 import ranger21 as library

    # It reports settings and milestones with `print`. Shadowing the name in its module silences only the library;
    # redirecting stdout would also silence other threads.
    library.print = _discard
    return library.Ranger21(
        model.parameters(),
        lr=recipe.optimizer.learning_rate,
        num_epochs=recipe.train.epochs,
        num_batches_per_epoch=batches_per_epoch,
        use_warmup=own_schedule,
        warmdown_active=own_schedule,
        logging_active=False,
    )


def _discard(*args: object) -> None:
    """A no-op replacement for ``print``."""


class PackageSchedule:
    """Ranger21's internal schedule, recomputed to report its learning rate; the optimizer's ``step`` applies it."""

    def __init__(self, optimizer: Any, recipe: Recipe, batches_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._steps_done = 0

    def step(self) -> None:
        """Advance by one batch."""
        self._steps_done += 1

    def get_last_lr(self) -> list[float]:
        """The learning rate of the next step."""
        optimizer, step = self._optimizer, self._steps_done + 1
        if step >= optimizer.start_warm_down:
            steps_down = step + 1 - optimizer.start_warm_down
            share = min(1.0, steps_down / (optimizer.warmdown_total_iterations + 1))
            return [max(optimizer.min_lr, optimizer.starting_lr - share * optimizer.warmdown_lr_delta)]
        return [optimizer.starting_lr * min(1.0, step / max(1, optimizer.num_warmup_iters))]

    def state_dict(self) -> dict[str, Any]:
        """Plain values that restore the schedule."""
        return {"steps_done": self._steps_done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self._steps_done = state_dict["steps_done"]
