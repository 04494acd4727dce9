"""The random words are those of the authors' library, and a function of counter and key alone."""

from __future__ import annotations

import numpy as np
import pytest

from leukemia.data.augmentation.philox import philox


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    words = [np.array([int(word, 16) for word in text.split()], np.uint32) for text in (counter, key, expected)]
    assert philox(words[0], words[1]).tolist() == words[2].tolist()


def test_counters_are_computed_one_by_one():
    counters = np.random.default_rng(0).integers(0, 2**32, (3, 5, 4), dtype=np.uint32)
    keys = np.array([[1, 2], [3, 4], [5, 6]], np.uint32)
    words = philox(counters, keys[:, None])
    assert words.shape == (3, 5, 4)
    assert words.dtype == np.uint32
    assert np.array_equal(words[1, 2], philox(counters[1, 2], keys[1]))
