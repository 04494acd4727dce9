"""Splitting protocols: by subject, or by image."""

from __future__ import annotations

import typing
from typing import Literal

Protocol = Literal["grouped", "random-cell"]
"""``grouped``: no subject is on both sides of a split. ``random-cell``: images are split regardless of subject."""

PROTOCOLS: tuple[Protocol, ...] = typing.get_args(Protocol)

RANDOM_CELL_WARNING = (
    "random-cell protocol: images of one patient may be on both sides of a split, "
    "so scores are too optimistic for new patients"
)
"""Shown with every score of a study that was split by image."""
