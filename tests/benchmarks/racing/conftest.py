"""The recorded table that several tests share."""

from __future__ import annotations

import pytest
from helpers.replay_tables import make_table

from benchmarks.racing.replaying.table import Table


@pytest.fixture(scope="session")
def recorded() -> Table:
    return make_table([0.55, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92])
