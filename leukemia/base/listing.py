"""What folders contain; unlike ``Path.glob`` and ``Path.exists``, one that cannot be read is never empty."""

from __future__ import annotations

from pathlib import Path


def entries(folder: Path) -> list[Path]:
    """What a folder contains, sorted; nothing if it does not exist.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def entries_below(folder: Path) -> list[Path]:
    """What a folder and its subfolders contain, sorted by folder; links to folders are not followed.

    Raises:
        OSError: one of them cannot be listed.
    """
    found = []
    for path in entries(folder):
        found.append(path)
        if path.is_dir() and not path.is_symlink():
            found += entries_below(path)
    return found


def exists(path: Path) -> bool:
    """Whether a path exists.

    Raises:
        OSError: that cannot be determined.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
