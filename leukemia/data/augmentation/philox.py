"""Philox4x32-10, a counter-based random generator: random words are a function of a counter and a key."""

from __future__ import annotations

import numpy as np

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Random words: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011), with their constants.

    There is no state, so neither order nor batches nor processes matter. torch's CUDA generator is the same one.

    Args:
        counter: uint32 (..., 4).
        key: uint32 (..., 2), broadcast against the counter.

    Returns:
        uint32 (..., 4), each uniform and independent of those of any other counter or key.
    """
    c0, c1, c2, c3 = (counter[..., word].astype(np.uint64) for word in range(4))
    k0, k1 = (key[..., word].astype(np.uint64) for word in range(2))
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1 = (second >> HIGH) ^ c1 ^ k0, second & LOW
        c2, c3 = (first >> HIGH) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)
