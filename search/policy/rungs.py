"""The rungs of fold 0: the epochs after which a trial waits, and how many of those that came so far go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from leukemia.base.errors import UserError
from leukemia.base.quantity import quantity
from leukemia.config.results import fold_name
from leukemia.study.ladder import rung_name
from leukemia.study.schema import SearchOptions

FIRST_EPOCH = 2
"""No trial waits earlier: after one epoch recipes differ mostly by how fast they start."""

LAST_SHARE = 0.6
"""No trial waits later, since little of fold 0 would be saved; the fold's end is a rung of its own."""

SHARES = tuple(SearchOptions().rungs)
KEEP = SearchOptions.keep

MAX_DENOMINATOR = 20
"""Of the share that goes on, as a fraction: 0.33 is a third, and every multiple of 0.05 is exact."""

LEAST_KEEP, MOST_KEEP = 0.05, 0.95


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """Where trials wait, and the share of them that goes on."""

    shares: tuple[float, ...] = SHARES
    """Of the epochs of fold 0, ascending. Empty: trials wait at the end of fold 0 only."""

    keep: float = KEEP
    """Share of the trials at a rung that goes on, rounded to a fraction with a denominator of at most 20."""

    def __post_init__(self) -> None:
        ascending = all(before < share for before, share in zip((0.0, *self.shares), self.shares, strict=False))
        if not ascending or any(share > LAST_SHARE for share in self.shares):
            found = ",".join(map(str, self.shares))
            raise UserError(
                f"--rungs: expected shares of the first fold, ascending, above 0 and at most {LAST_SHARE:g}, got "
                f"{found}"
            )
        if not LEAST_KEEP <= self.keep <= MOST_KEEP:
            raise UserError(f"--keep: expected a share from {LEAST_KEEP:g} to {MOST_KEEP:g}, got {self.keep}")

    def num_kept(self, reached: int) -> int:
        """How many of the trials that reached a rung go on from it.

        >>> [Rungs(keep=0.33).num_kept(reached) for reached in (2, 3, 5, 6, 300)]
        [0, 1, 1, 2, 100]
        """
        return math.floor(reached * Fraction(str(self.keep)).limit_denominator(MAX_DENOMINATOR))


def rungs_of(epochs: int, shares: tuple[float, ...] = SHARES) -> dict[float, int]:
    """The epochs of fold 0 after which a trial waits, by the share that names the rung; without the fold's end.

    A rung is named by its share, so that trials of different lengths meet at it. Where several fall on the same epoch,
    the last share names it, which is nearest to the part of the fold that was trained; the others do not exist for
    this trial, which neither waits there nor counts.

    Args:
        epochs: of the trial's training, at least 1.
        shares: ascending.

    >>> rungs_of(40), rungs_of(8), rungs_of(3)
    ({0.05: 2, 0.15: 6, 0.45: 18}, {0.15: 2, 0.45: 4}, {})
    """
    last = math.floor(_exact(LAST_SHARE) * epochs)
    rounded = {share: math.floor(_exact(share) * epochs + Fraction(1, 2)) for share in shares}
    share_at = {max(FIRST_EPOCH, epoch): share for share, epoch in rounded.items()}
    return {share: epoch for epoch, share in share_at.items() if epoch <= last}


def describe_rungs(epochs: int, shares: tuple[float, ...]) -> str:
    """Where a trial waits, in epochs, as the end of a sentence.

    Args:
        epochs, shares: as for ``rungs_of``.

    >>> describe_rungs(40, (0.05, 0.15)), describe_rungs(6, (0.05, 0.15, 0.45))
    ('after 2 (5 %) and 6 (15 %) of the 40 epochs of fold 1 and at its end', \
'after 2 (15 %) and 3 (45 %) of the 6 epochs of fold 1 and at its end (no rung at 5 %: too few epochs)')
    """
    found = rungs_of(epochs, shares)
    absent = ", ".join(rung_name(share) for share in shares if share not in found)
    note = f" (no rung at {absent}: too few epochs)" if absent else ""
    if not found:
        return f"at the end of {fold_name(0)}{note}"
    *others, last = (f"{epoch} ({rung_name(share)})" for share, epoch in found.items())
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"after {listed} of the {quantity(epochs, 'epoch')} of {fold_name(0)} and at its end{note}"


def _exact(share: float) -> Fraction:
    """The share as it is written, so that halves round as on paper."""
    return Fraction(str(share))
