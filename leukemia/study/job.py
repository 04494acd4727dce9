"""What a search runs at one time: a trial, or a repeat of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """One recipe under one seed, cross-validated. Two jobs are equal if number and seed are.

    >>> Job(7, 0).label, Job(7, 1, is_repeat=True).label
    ('0007', '0007 seed 1')
    """

    number: int
    """Of the trial."""

    seed: int

    is_repeat: bool = field(default=False, compare=False)
    """Whether this is the trial with another seed than its own, which is no trial of Optuna's."""

    @property
    def label(self) -> str:
        """How the job is shown to a person."""
        return f"{self.number:04d} seed {self.seed}" if self.is_repeat else f"{self.number:04d}"
