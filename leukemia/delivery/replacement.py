"""A folder replaced as a whole: the old content stays until all of the new is written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leukemia.base.files import locked


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder that replaces ``folder`` when the block ends, and is removed when it raises."""
    fresh, old = folder.with_name(f".{folder.name}-new"), folder.with_name(f".{folder.name}-old")
    with locked(folder.with_name(f".{folder.name}.lock")):
        if old.exists() and not folder.exists():
            # Killed between the two renames below.
            old.rename(folder)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir()
        try:
            yield fresh
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
