"""A file that the user asks for, which never replaces another one."""

from __future__ import annotations

import os
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import require_writable


def require_new(path: Path, option: str) -> None:
    """Check that a file can be created, before the work that fills it.

    Args:
        option: the option that names it, for messages.

    Raises:
        UserError: it exists, or its folder is absent or not writable.
    """
    if os.path.lexists(path):
        raise UserError(f"{option} {path}: exists already; give another name, or remove it")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: no folder at {path.parent}; create it, or give another one")
    require_writable(path.parent)
