"""The fault benchmarks refuse wrong arguments before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import kills
from leukemia.base.errors import UserError


@pytest.mark.parametrize("count", [-1, 0])
def test_less_than_one_kill_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--times: expected at least 1, got {count}"):
        kills.main(["--times", str(count), "--runs", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []
