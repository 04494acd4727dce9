"""How images are split into training and validation: by subject, or image by image."""

from __future__ import annotations

import typing
from typing import Literal

Protocol = Literal["grouped", "random-cell"]
"""``grouped``: no subject on both sides of a split. ``random-cell``: images are split, subjects are not looked at."""

PROTOCOLS: tuple[Protocol, ...] = typing.get_args(Protocol)

RANDOM_CELL_WARNING = (
    "random-cell protocol: images of one patient may lie on both sides of a split, "
    "so scores are too high for new patients"
)
"""Stands beside every number of a study that was split by images."""
