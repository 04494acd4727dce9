"""The winner's score in ``best.json``, before and after correction for selection."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from leukemia.scoring.metrics import Interval
from leukemia.scoring.selection import Correction
from leukemia.study.field_types import Count, Share


@dataclass(frozen=True, kw_only=True)
class IntervalRecord:
    """An ``Interval`` for JSON, with None instead of NaN."""

    value: Share | None
    low: Share | None
    high: Share | None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low at most high")
        if self.value is None and not self.low is self.high is None:
            raise ValueError("no low and high without a value")

    @classmethod
    def of(cls, interval: Interval) -> IntervalRecord:
        """Convert an interval."""
        return cls(**interval.to_dict())

    @property
    def interval(self) -> Interval:
        """The interval, with NaN instead of None."""
        return Interval.from_dict(dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class BestScore:
    """The winner's score (the search objective), before and after correction for selection.

    The corrections exclude stopped trials. The mean of skewed resamples may be outside their percentiles, so ``value``
    need not be between ``low`` and ``high``.
    """

    raw: Share
    """Mean over all folds and seeds. If the corrections are scored on some folds only, compare them with ``scored``."""

    pooled: IntervalRecord
    """Over all out-of-fold images. Like ``raw``, it is not corrected."""

    bootstrap: IntervalRecord
    leave_fold_out: IntervalRecord
    """Both corrected for selecting the best of several trials, see ``leukemia.scoring.selection``."""

    headline: IntervalRecord
    """The lowest of both corrections and ``scored``."""

    scored: IntervalRecord | None = None
    """As ``pooled``, over the images of ``scored_folds``; None, which means ``pooled``, in files of older versions."""

    scored_folds: list[Count] | None = None
    """The folds on which the corrections are scored; None, which means all, in files of older versions."""

    @classmethod
    def of(cls, raw: float, correction: Correction, scored_folds: list[int]) -> BestScore:
        """Combine the mean over folds and seeds with its corrections, and the folds on which these are scored."""
        return cls(
            raw=raw,
            pooled=IntervalRecord.of(correction.raw),
            bootstrap=IntervalRecord.of(correction.bootstrap),
            leave_fold_out=IntervalRecord.of(correction.leave_fold_out),
            headline=IntervalRecord.of(correction.headline),
            scored=IntervalRecord.of(correction.scored),
            scored_folds=scored_folds,
        )

    @property
    def lowest(self) -> IntervalRecord:
        """The expected ``headline``."""
        raw, scored = self.pooled.interval, (self.scored or self.pooled).interval
        both = {"bootstrap": self.bootstrap.interval, "leave_fold_out": self.leave_fold_out.interval}
        return IntervalRecord.of(Correction(winner=0, raw=raw, scored=scored, **both).headline)
