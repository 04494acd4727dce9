"""The moment of a kill: what a search was doing, from the events that it has logged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.events import Event

Moment = Literal[
    "before the first epoch",
    "in an epoch",
    "in an epoch, while others wait",
    "at a rung",
    "going on after a wait",
    "folds side by side",
    "between two folds",
    "in a repeat",
    "as the last trial ends",
]
"""Of several that apply, the last trial's end comes first, then a repeat, a job that has just gone on, a rung, folds
side by side and the time between two folds."""

MOMENTS: tuple[Moment, ...] = get_args(Moment)

START = "0000"
"""The job of the starting recipe, which never waits."""


class Scene:
    """The jobs of a search after some of its events."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._open: dict[str, dict[int, int]] = {}
        """By job, the last epoch of each fold that has begun and has not ended."""

        self._resuming: set[str] = set()
        """Jobs that have gone on and have not reported since."""

        self._waiting: set[str] = set()
        self._ended: set[str] = set()
        """Trials, without repeats."""

        self._last: Event | None = None

    def add(self, event: Event) -> None:
        """Add the next event."""
        self._last = event
        folds = self._open.setdefault(event.job, {})
        self._resuming.discard(event.job)
        if event.kind in ("begins", "goes on"):
            self._waiting.discard(event.job)
            folds.clear()
            if event.kind == "goes on":
                self._resuming.add(event.job)
        elif event.kind == "epoch":
            folds[event.fold] = event.epoch
        elif event.kind == "fold":
            folds.pop(event.fold, None)
        else:
            del self._open[event.job]
            if event.kind == "waits":
                self._waiting.add(event.job)
            elif not event.is_repeat:
                self._ended.add(event.job)

    @property
    def moment(self) -> Moment:
        """What the search is doing now."""
        event = self._last
        if event is None or (event.kind == "begins" and len(self._open) == 1 and not self._ended):
            return "before the first epoch"
        if self._is_last_trial(event):
            return "as the last trial ends"
        if event.is_repeat:
            return "in a repeat"
        if self._resuming:
            return "going on after a wait"
        if self._is_at_rung(event):
            return "at a rung"
        if len(self._open.get(event.job, {})) > (event.kind == "epoch"):
            return "folds side by side"
        if event.kind in ("fold", "ends") or event.epoch == self._case.epochs:
            return "between two folds"
        return "in an epoch, while others wait" if self._waiting else "in an epoch"

    def _is_last_trial(self, event: Event) -> bool:
        """Whether no trial but that of the event is left, and its last fold is trained or it has ended."""
        if event.is_repeat or len(self._ended - {event.job}) < self._case.trials - 1:
            return False
        is_trained = event.kind == "fold" or event.epoch == self._case.epochs
        return event.kind == "ends" or (is_trained and event.fold == self._case.folds - 1)

    def _is_at_rung(self, event: Event) -> bool:
        """Whether a trial waits since now, or is about to."""
        if event.kind == "waits":
            return True
        if not self._case.pausing or event.job == START or event.is_repeat or event.fold > 0:
            return False
        return event.kind == "fold" or event.epoch in self._case.rungs


def moments_of(events: Iterable[Event], case: Case) -> list[Moment]:
    """The moment after each event."""
    scene, moments = Scene(case), list[Moment]()
    for event in events:
        scene.add(event)
        moments.append(scene.moment)
    return moments
