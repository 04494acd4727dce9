"""Who follows a search while it runs: the terminal, Weights & Biases, the storage that mirrors the study."""

from __future__ import annotations

from collections.abc import Sequence

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.job import Job
from leukemia.study.schema import FoldRecord, State


class Listener:
    """Is notified in the driver's thread, of each event after the study folder holds it; ignores all of them.

    An exception that a listener raises ends the search.
    """

    def recall(self, job: Job, recipe: Recipe, state: State, scores: Sequence[float]) -> None:
        """A trial had ended before this search was resumed; ``scores`` are of its finished folds."""

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """A job begins, or resumes after the folds of these ``scores``."""

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """An epoch has ended."""

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """A fold is committed."""

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """A job has ended. The journal holds this only after all listeners were notified."""

    def recorded(self, job: Job) -> None:
        """The end of a job is in the journal, too, and ``best.json`` is up to date."""

    def note(self, message: str) -> None:
        """Something a person should know about the search as a whole."""

    def is_stopped(self, job: Job) -> bool:
        """Whether a person has asked this listener to stop the job."""
        return False
