"""Splitting protocols: by subject, by image, or as the data are split."""

from __future__ import annotations

import typing
from typing import Literal

Protocol = Literal["grouped", "random-cell", "given"]
"""``grouped``: no subject is on both sides of a split. ``random-cell``: images are split regardless of subject.
``given``: the split that the data bring is kept; a note on the data says whether subjects are on both sides of it."""

PROTOCOLS: tuple[Protocol, ...] = typing.get_args(Protocol)

RANDOM_CELL_WARNING = (
    "random-cell protocol: images of one patient may be on both sides of a split, "
    "so scores are too optimistic for new patients"
)
"""Shown with every score of a study that was split by image."""

GIVEN_WARNING = (
    "given protocol: the split is that of the data; their notes say whether patients are on both sides of it, which "
    "makes scores too optimistic for new patients"
)
"""Shown with every score of a study that kept the split of its data."""

WARNINGS: dict[Protocol, str] = {"random-cell": RANDOM_CELL_WARNING, "given": GIVEN_WARNING}
"""What is shown with every score, by protocol."""
