"""Each test begins in a process that has loaded no plug-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.plugins import unknown


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    with unknown():
        yield
