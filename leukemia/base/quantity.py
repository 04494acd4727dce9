"""A number with what it counts, as people write it, and rounded parts that add up to their rounded total."""

from __future__ import annotations

import math
from collections.abc import Sequence


def quantity(number: int, noun: str) -> str:
    """A number and its noun, whose plural ends in s.

    >>> quantity(1, "complete trial"), quantity(0, "image"), quantity(3, "seed")
    ('1 complete trial', '0 images', '3 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def parts_of(total: int, parts: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the parts that add up to ``total``, by the method of the largest remainder.

    Each differs from its exact share of the total by less than 1; of equal remainders the earliest is rounded up.

    Args:
        total: at least 0.
        parts: at least 0, with a sum above 0.

    >>> parts_of(14, [8.6, 5.6]), parts_of(100, [1, 1, 1])
    ([8, 6], [34, 33, 33])
    """
    shares = [total * part / math.fsum(parts) for part in parts]
    whole = [math.floor(share) for share in shares]
    order = sorted(range(len(parts)), key=lambda index: whole[index] - shares[index])
    for index in order[: total - sum(whole)]:
        whole[index] += 1
    return whole


def have(number: int) -> str:
    """The verb after so many, or after so many of more: ``1 of 9 images has``."""
    return "has" if number == 1 else "have"


def are(number: int) -> str:
    """As ``have``."""
    return "is" if number == 1 else "are"
