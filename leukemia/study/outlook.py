"""The outlook of a running search: how much is left until one of its limits ends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What was trained since the search was started or resumed, and what is left by each limit.

    Training is counted in complete trials' worth: an epoch is 1 / (folds x epochs of its trial).
    """

    seconds: float
    """Device seconds since the start."""

    used: float
    """Device seconds of the whole study."""

    trained: float
    """Complete trials' worth since the start."""

    budget: float
    """Device seconds left of ``--budget-hours``; infinite without."""

    patience: float
    """Complete trials' worth left of ``--patience``, if no score improves."""

    trials: float
    """Complete trials' worth left until ``--trials`` have ended, estimated by those that have."""

    last: str = "--trials"
    """What ends the search after these trials, as the user knows it."""

    def time_to_go(self, elapsed: float) -> tuple[str, float] | None:
        """The limit that comes first if the search goes on as fast as so far, and the seconds until then.

        Args:
            elapsed: seconds since the start.

        Returns:
            None if nothing has been trained.

        >>> Outlook(seconds=100.0, used=100.0, trained=0.5, budget=50.0, patience=8.0, trials=1.0).time_to_go(60.0)
        ('--budget-hours', 30.0)
        >>> Outlook(seconds=0.0, used=0.0, trained=0.0, budget=50.0, patience=8.0, trials=1.0).time_to_go(60.0)
        """
        if not (self.seconds and self.trained):
            return None
        parts = {
            "--budget-hours": self.budget / self.seconds,
            "--patience": self.patience / self.trained,
            self.last: self.trials / self.trained,
        }
        limit = min(parts, key=parts.__getitem__)
        return limit, elapsed * parts[limit]
