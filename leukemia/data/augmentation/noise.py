"""Gaussian noise as a function of an image's key and the position in it: levels by table, chosen by a hash."""

from __future__ import annotations

import math

import numpy as np

from leukemia.data.augment import NOISE_STD

FIRST, SECOND = 0x7FEB352D, 0x846CA68B
SHIFTS = (16, 15, 16)
"""Constants of the 32-bit hash ``lowbias32`` (C. Wellons, "Prospecting for hash functions", 2018; public domain). The
second word of the key enters between its two multiplications, so that keys give 2**64 sequences."""


def _levels() -> np.ndarray:
    """For each 16-bit number a level of noise, int16 (65536,), such that uniform numbers give ``NOISE_STD``'s noise:
    Gaussian, truncated toward zero to whole grey levels, of variance 30. The largest level is 25: larger ones are
    rarer than 1 in 32,768."""
    levels = np.arange(-32, 33)
    # Truncation moves the interval of a level by one below zero.
    upper = np.where(levels < 0, levels, levels + 1)
    below = [0.5 * math.erfc(-bound / (NOISE_STD * math.sqrt(2))) for bound in upper]
    ends = np.rint(65536 * np.array(below)).astype(np.int64)
    return np.repeat(levels, np.diff(ends, prepend=0)).astype(np.int16)


LEVELS = _levels()


def noise(key: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Noise in grey levels, int16, independent per element.

    Args:
        key: uint32 (2,), uniform random words: keys that differ in few bits give related noise.
        shape: of the noise. Elements are numbered in C order; two neighbours share one hash, half of its bits each.
    """
    count = math.prod(shape)
    word = np.arange((count + 1) // 2, dtype=np.uint32)
    word ^= key[0]
    word ^= word >> SHIFTS[0]
    word *= np.uint32(FIRST)
    word ^= key[1]
    word ^= word >> SHIFTS[1]
    word *= np.uint32(SECOND)
    word ^= word >> SHIFTS[2]
    return LEVELS.take(word.astype("<u4", copy=False).view("<u2")[:count]).reshape(shape)
