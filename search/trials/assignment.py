"""What the driver gives to a worker, and what a worker reports."""

from __future__ import annotations

from dataclasses import dataclass

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.study.job import Job
from search.policy.health import Rescheduled


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A job as its worker needs it."""

    job: Job

    recipe: Recipe
    """Resolved, with the job's seed."""

    skip: tuple[int, ...] = ()
    """Folds that are finished, ascending."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A report: the recipe cannot be trained."""

    message: str
    """One line for the user."""

    traceback: str | None = None
    """As Python prints it, code lines without the values of variables; None if no exception was raised."""


Report = Epoch | FoldResult | Failure | Rescheduled
"""What a worker reports, one at a time; after a ``Failure`` or a ``Rescheduled`` it ends."""
