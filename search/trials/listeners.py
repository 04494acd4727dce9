"""Several listeners as one: each event reaches all of them, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.job import Job
from leukemia.study.ladder import Place
from leukemia.study.listener import Listener, Request
from leukemia.study.outlook import Outlook
from leukemia.study.schema import FoldRecord, State


class Listeners(Listener):
    """Passes on all events; the strongest request counts."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def recall(self, job: Job, recipe: Recipe, state: State, scores: Sequence[float]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.recall(job, recipe, state, scores)

    def begin(self, job: Job, recipe: Recipe, scores: Sequence[float]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.begin(job, recipe, scores)

    def epoch(self, job: Job, epoch: Epoch) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.epoch(job, epoch)

    def fold(self, job: Job, fold: FoldRecord) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.fold(job, fold)

    def wait(self, job: Job, recipe: Recipe, scores: Sequence[float], where: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.wait(job, recipe, scores, where)

    def places(self, places: Mapping[int, Place]) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.places(places)

    def outlook(self, outlook: Outlook) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.outlook(outlook)

    def end(self, job: Job, state: State, reason: str, score: float | None) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.end(job, state, reason, score)

    def recorded(self, job: Job) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.recorded(job)

    def note(self, message: str) -> None:
        """Pass it on."""
        for listener in self._listeners:
            listener.note(message)

    def is_stopped(self, job: Job) -> bool:
        """Whether the user has asked any of them to stop the job."""
        return any(listener.is_stopped(job) for listener in self._listeners)

    @property
    def request(self) -> Request:
        """The strongest request of the user."""
        return max((listener.request for listener in self._listeners), default=Request.RUN)
