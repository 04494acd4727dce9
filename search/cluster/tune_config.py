"""A job as Ray Tune holds it: what is run, and where it may run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leukemia.study.job import Job
from search.trials.assignment import Assignment

_ASSIGNMENT, _PLACE = "assignment", "place"
"""Keys of Tune's configuration of a trial, which must be a dictionary; what is in it Tune only copies and pickles."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a job occupies, and which nodes it keeps away from."""

    cpus: int

    gpus: float
    """May be a fraction."""

    avoid: tuple[str, ...] = ()
    """Ray's ids of the nodes, ascending."""


def config_of(assignment: Assignment, place: Place) -> dict[str, Any]:
    """Tune's configuration of a job."""
    return {_ASSIGNMENT: assignment, _PLACE: place}


def assignment_of(config: dict[str, Any]) -> Assignment:
    """What a worker is to run."""
    assignment: Assignment = config[_ASSIGNMENT]
    return assignment


def place_of(config: dict[str, Any]) -> Place:
    """Where it may run."""
    place: Place = config[_PLACE]
    return place


def job_of(config: dict[str, Any]) -> Job:
    """Which job it is."""
    return assignment_of(config).job
