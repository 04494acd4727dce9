"""Files in the cache with all items of the lists that messages shorten; only the newest are kept."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import cache_dir, write_text
from leukemia.base.printable import escaped

MOST_KEPT = 10
"""Older files are removed."""


def stored(items: Sequence[str]) -> Path | None:
    """Write the items to a file, one per line, with escapes as on the terminal; None if the cache is not writable.

    The same list is one file, however often it is printed.
    """
    text = "".join(f"{escaped(item)}\n" for item in items)
    try:
        folder = cache_dir() / "lists"
        folder.mkdir(exist_ok=True)
        path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.txt"
        write_text(path, text)
    except (OSError, UserError):
        return None
    # Another process may be removing the same ones.
    with contextlib.suppress(OSError):
        for old in sorted(folder.glob("*.txt"), key=lambda each: each.stat().st_mtime_ns)[:-MOST_KEPT]:
            old.unlink()
    return path
