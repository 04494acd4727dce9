"""The studies in a folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from leukemia.base.files import is_temporary
from leukemia.base.listing import entries, exists
from leukemia.study import layout


def study_folders(runs: Path) -> list[Path]:
    """The folders of all studies in ``--runs``, except for those of other users that may not be entered.

    Raises:
        OSError: ``runs`` or a folder there cannot be read.
    """
    found = []
    for folder in entries(runs):
        # Also the ``lost+found`` of a disk.
        with contextlib.suppress(PermissionError):
            if not is_temporary(folder) and exists(folder / layout.STUDY):
                found.append(folder)
    return found
