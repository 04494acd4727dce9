"""The balance of a split: how many images and subjects each fold has, and which share of the images is leukemic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
from pydantic import ConfigDict, Field

from leukemia import ALL
from leukemia.config.protocol import Protocol
from leukemia.config.results import fold_range
from leukemia.data.classes import CLASSES

MIN_FOLDS = 2

MAX_DIFFERENCE = 0.15
"""Shares of leukemic images that differ by more between folds are a warning."""


@dataclass(frozen=True, kw_only=True)
class FoldBalance:
    """The validation images of one fold."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    images: Annotated[int, Field(ge=0)]
    subjects: Annotated[int, Field(ge=0)] | None
    """None if subjects are unknown."""

    leukemic: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    """Share of the images."""


def balance_of(validation: Sequence[pd.DataFrame]) -> tuple[FoldBalance, ...]:
    """The balance of each fold.

    Args:
        validation: per fold, its validation images with the columns ``label`` (0 or 1) and ``subject`` (None or empty
            if unknown).
    """
    return tuple(
        FoldBalance(
            images=len(table),
            subjects=int(table["subject"].nunique()) if table["subject"].replace("", None).notna().all() else None,
            leukemic=float((table["label"] == ALL).mean()),
        )
        for table in validation
    )


def difference(balance: Sequence[FoldBalance]) -> float:
    """The largest difference between the folds' shares of leukemic images, 0..1."""
    shares = [fold.leukemic for fold in balance]
    return max(shares) - min(shares)


def describe_balance(validation: Sequence[pd.DataFrame], protocol: Protocol) -> list[str]:
    """The balance in one line, and a warning if the shares differ by more than ``MAX_DIFFERENCE``.

    Args:
        validation: as for ``balance_of``, with the column ``group``.
        protocol: how the images were split.
    """
    balance = balance_of(validation)
    parts = [f"{', '.join(str(fold.images) for fold in balance)} images"]
    if all(fold.subjects is not None for fold in balance):
        parts.append(f"{', '.join(str(fold.subjects) for fold in balance)} subjects")
    parts.append(f"{', '.join(f'{fold.leukemic:.3f}' for fold in balance)} leukemic")
    lines = [f"{fold_range(0, len(balance) - 1)}: {'; '.join(parts)}"]
    if difference(balance) > MAX_DIFFERENCE:
        lines.append(f"warning: {_imbalance(balance, validation, protocol)}")
    return lines


def fewer_folds(num_folds: int, otherwise: str) -> str:
    """Advice for a split that is not possible or not even; two folds cannot be fewer.

    >>> fewer_folds(5, "more data"), fewer_folds(2, "more data")
    ('use fewer folds (search.run --folds) or more data', 'use more data')
    """
    return f"use {'fewer folds (search.run --folds) or ' if num_folds > MIN_FOLDS else ''}{otherwise}"


def _imbalance(balance: Sequence[FoldBalance], validation: Sequence[pd.DataFrame], protocol: Protocol) -> str:
    shares = [fold.leukemic for fold in balance]
    text = (
        f"the share of leukemic images differs by {difference(balance):.2f} between folds ({min(shares):.2f} to "
        f"{max(shares):.2f}), so their scores are hard to compare"
    )
    if protocol == "given":
        return f"{text}: the split is that of the data"
    images = pd.concat(validation)
    if protocol == "random-cell":
        return f"{text}: {len(images)} images are few for {len(balance)} folds"
    per_fold = [int((images["label"] == label).sum()) / len(balance) for label in range(len(CLASSES))]
    sizes = Counter(zip(images["label"].tolist(), images["group"].tolist(), strict=True))
    # The largest, compared with what an even fold has of its class.
    label, name = max(sizes, key=lambda each: sizes[each] / per_fold[each[0]])
    cause = f"{images['group'].nunique()} subjects are few for {len(balance)} folds"
    if sizes[label, name] > per_fold[label]:
        cause = (
            f"subject {name} is too large, with {sizes[label, name]} {CLASSES[label]} images, where an even fold "
            f"has {per_fold[label]:.0f}"
        )
    return f"{text}: {cause}; {fewer_folds(len(balance), 'more subjects')}"
