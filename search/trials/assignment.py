"""Messages between driver and workers: assignments and reports."""

from __future__ import annotations

from dataclasses import dataclass

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from search.policy.health import Rescheduled
from search.policy.task import Task


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A task for a worker."""

    task: Task

    recipe: Recipe
    """Resolved, with the job's seed."""

    stops: tuple[int, ...] = ()
    """Epochs after which the task may wait: the report of one may end it, so its checkpoint is written before."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A report: the recipe cannot be trained."""

    message: str
    """One line for the user."""

    traceback: str | None = None
    """As printed by Python, without the values of variables; None if no exception was raised."""


Report = Epoch | FoldResult | Failure | Rescheduled
"""A report of a worker; ``Failure`` and ``Rescheduled`` are final."""
