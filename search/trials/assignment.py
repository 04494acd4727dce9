"""Messages between driver and workers: assignments and reports."""

from __future__ import annotations

from dataclasses import dataclass

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.study.job import Job
from search.policy.health import Rescheduled


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A job for a worker."""

    job: Job

    recipe: Recipe
    """Resolved, with the job's seed."""

    skip: tuple[int, ...] = ()
    """Finished folds, ascending."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A report: the recipe cannot be trained."""

    message: str
    """One line for the user."""

    traceback: str | None = None
    """As printed by Python, without the values of variables; None if no exception was raised."""


Report = Epoch | FoldResult | Failure | Rescheduled
"""A report of a worker; ``Failure`` and ``Rescheduled`` are final."""
