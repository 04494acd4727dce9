"""Base class for observers of a running search: the terminal, Weights & Biases, the mirror of the study."""

from __future__ import annotations

from collections.abc import Sequence

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.job import Job
from leukemia.study.schema import FoldRecord, State


class Listener:
    """Ignores all events. Methods are called in the driver's thread, after the event is saved in the study folder.

    An exception raised by a listener ends the search.
    """

    def recall(self, job: Job, recipe: Recipe, state: State, scores: Sequence[float]) -> None:
        """A trial ended before this search was resumed; ``scores`` are those of its finished folds."""

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """A job starts, or resumes after folds with these ``scores``."""

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """An epoch has ended."""

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """A fold is committed."""

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """A job has ended. The journal is updated after all listeners were notified."""

    def recorded(self, job: Job) -> None:
        """The end of a job is in the journal, and ``best.json`` is up to date."""

    def note(self, message: str) -> None:
        """A message for the user about the whole search."""

    def is_stopped(self, job: Job) -> bool:
        """Whether the user has asked this listener to stop the job."""
        return False
