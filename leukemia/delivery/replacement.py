"""Replace a folder atomically: the old content is kept until all new files are written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leukemia.base.locks import locked


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder that replaces ``folder`` at the end of the block, and is deleted on failure."""
    new, old = folder.with_name(f".{folder.name}-new"), folder.with_name(f".{folder.name}-old")
    with locked(folder.with_name(f".{folder.name}.lock")):
        if old.exists() and not folder.exists():
            # An earlier process was killed between the two renames below.
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        new.mkdir()
        try:
            yield new
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(new, ignore_errors=True)
