"""Base class for observers of a running search: the terminal, Weights & Biases, the mirror of the study."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.job import Job
from leukemia.study.ladder import Place
from leukemia.study.outlook import Outlook
from leukemia.study.schema import FoldRecord, State


class Request(enum.IntEnum):
    """What a user asks of the whole search, the strongest last."""

    RUN = 0
    PAUSE = enum.auto()
    """Start no new trials for now."""

    STOP = enum.auto()
    """Start no new trials; the search ends once those that run have ended."""

    CANCEL = enum.auto()
    """End at once, so that the search can be resumed."""


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

    def wait(self, job: Job, recipe: Recipe, scores: Sequence[float], where: str) -> None:
        """A trial waits after folds with these ``scores``: its job has left its worker, or waits since before a resume.

        Args:
            where: and its rank there, as text for the user.
        """

    def places(self, places: Mapping[int, Place]) -> None:
        """Where trials wait, by number: all of them, whenever that or a rank has changed."""

    def outlook(self, outlook: Outlook) -> None:
        """What is left until the search ends, whenever a fold has ended or a trial begins to wait."""

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """A job has ended. The journal is updated after all listeners were notified."""

    def recorded(self, job: Job) -> None:
        """The end of a job is in the journal, and ``best.json`` is up to date."""

    def note(self, message: str) -> None:
        """A message for the user about the whole search."""

    def is_stopped(self, job: Job) -> bool:
        """Whether the user has asked this listener to stop the job."""
        return False

    @property
    def request(self) -> Request:
        """What the user asks this listener of the search."""
        return Request.RUN
