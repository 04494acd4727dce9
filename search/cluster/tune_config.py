"""A task in Ray Tune's configuration of a trial: its assignment and its placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.policy.task import Task
from search.trials.assignment import Assignment

_ASSIGNMENT, _PLACEMENT = "assignment", "placement"
"""Keys of Tune's configuration of a trial, which must be a dictionary; Tune only copies and pickles the values."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The resources of a task, the nodes that it must not run on, and the one where it would best run."""

    cpus: int

    gpus: float
    """May be a fraction."""

    avoid: tuple[str, ...] = ()
    """Ray's node IDs, ascending."""

    prefer: str = ""
    """ID of the node that has its checkpoint; empty for any. It runs elsewhere if that one is full or lost."""


def config_of(assignment: Assignment, placement: Placement) -> dict[str, Any]:
    """Tune's configuration of a task."""
    return {_ASSIGNMENT: assignment, _PLACEMENT: placement}


def assignment_of(config: dict[str, Any]) -> Assignment:
    """The assignment for the worker."""
    assignment: Assignment = config[_ASSIGNMENT]
    return assignment


def placement_of(config: dict[str, Any]) -> Placement:
    """Where the task may run."""
    placement: Placement = config[_PLACEMENT]
    return placement


def task_of(config: dict[str, Any]) -> Task:
    """The task."""
    return assignment_of(config).task
