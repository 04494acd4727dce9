"""Who hears of a search while it runs: what the driver says, and to whom."""

from __future__ import annotations

from typing import Any, Protocol

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.study.folder import State


class Tracker(Protocol):
    """Who else wants to know: Weights & Biases, or nobody."""

    def begin(self, number: int, recipe: Recipe) -> None: ...

    def epoch(self, number: int, epoch: Epoch) -> None: ...

    def fold(self, number: int, fold: dict[str, Any]) -> None: ...

    def end(self, number: int, state: State, reason: str, score: float | None) -> None: ...

    def is_stopped(self, number: int) -> bool: ...


class Display(Protocol):
    """What a person sees while the search runs. ``label`` is ``0007``, or ``0007 seed 1`` for a repeat."""

    def recall(self, label: str, recipe: Recipe, state: State, scores: list[float]) -> None: ...

    def begin(self, label: str, recipe: Recipe, scores: list[float]) -> None: ...

    def epoch(self, label: str, epoch: Epoch) -> None: ...

    def fold(self, label: str, fold: int, score: float) -> None: ...

    def end(self, label: str, state: State, reason: str, score: float | None) -> None: ...

    def note(self, words: str) -> None: ...
