"""The unit of work of a search: a trial, or its repeat with another seed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Job:
    """Cross-validation of one recipe with one seed. Jobs are compared by number and seed.

    >>> Job(7, 0).label, Job(7, 1, is_repeat=True).label
    ('0007', '0007 seed 1')
    """

    number: int
    """Number of the trial."""

    seed: int

    is_repeat: bool = field(default=False, compare=False)
    """Whether the seed is not the trial's own; Optuna does not see repeats."""

    @property
    def label(self) -> str:
        """Text shown to users."""
        return f"{self.number:04d} seed {self.seed}" if self.is_repeat else f"{self.number:04d}"
