"""What one worker trains at a time."""

from __future__ import annotations

from dataclasses import dataclass

from leukemia.study.job import Job


@dataclass(frozen=True)
class Task:
    """One fold of a job."""

    job: Job
    fold: int
