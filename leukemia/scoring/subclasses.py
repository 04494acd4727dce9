"""Accuracy per subclass: a finer class, such as a stage, of which several are one of the two classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukemia.scoring.bootstrap import THRESHOLD, Groups, Interval, Tally, group_codes, interval_of, resampled
from leukemia.scoring.metrics import checked


@dataclass(frozen=True, kw_only=True)
class SubclassScore:
    """The share of a subclass's images that are classified correctly."""

    name: str
    label: int
    """The class that it is one of: 0 normal, 1 leukemic."""

    n: int
    """Number of images."""

    accuracy: Interval
    """In 0..1, with a 95 % interval from a bootstrap over groups, as ``leukemia.scoring.metrics.scores``."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SubclassScore:
        """The inverse of ``to_dict``."""
        return cls(**{**values, "accuracy": Interval.from_dict(values["accuracy"])})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "label": self.label, "n": self.n, "accuracy": self.accuracy.to_dict()}


def subclass_scores(
    subclasses: Sequence[str | None],
    labels: ArrayLike,
    probabilities: ArrayLike,
    groups: Groups,
    *,
    threshold: float = THRESHOLD,
    seed: int = 0,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> tuple[SubclassScore, ...]:
    """The accuracy of each subclass, sorted by class and name; images without a subclass are left out.

    Args:
        subclasses: one per image, None for none.
        labels, probabilities, groups, threshold: as for ``leukemia.scoring.metrics.scores``.

    Raises:
        ValueError: as for ``scores``.
    """
    known, predicted = checked(labels, probabilities)
    codes = group_codes(groups, len(known))
    found = []
    for label, name in sorted({(int(label), name) for label, name in zip(known, subclasses, strict=True) if name}):
        rows = (known == label) & np.array([each == name for each in subclasses])
        tally = Tally(known[rows], predicted[rows], group_codes(codes[rows].tolist(), int(rows.sum())), threshold)
        samples = resampled([tally], ("accuracy",), seed, num_resamples)[0]["accuracy"]
        accuracy = interval_of(tally.point(("accuracy",))["accuracy"], samples, tally.num_groups, level)
        found.append(SubclassScore(name=str(name), label=label, n=tally.num_images, accuracy=accuracy))
    return tuple(found)
