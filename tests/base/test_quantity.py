"""Parts that are rounded together."""

import numpy as np
import pytest

from leukemia.base.quantity import parts_of


@pytest.mark.parametrize("seed", range(20))
def test_rounded_parts_add_up_and_none_is_off_by_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    parts, total = random.exponential(size=random.integers(1, 6)), int(random.integers(0, 100))
    found = parts_of(total, parts.tolist())
    assert sum(found) == total
    assert np.all(np.abs(np.array(found) - total * parts / parts.sum()) < 1)


def test_of_equal_remainders_the_earliest_is_rounded_up() -> None:
    assert parts_of(2, [1.0, 0.0, 1.0, 1.0]) == [1, 0, 1, 0]
