"""A path as it is written in a CSV, perhaps on another machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath


@dataclass(frozen=True, kw_only=True)
class WrittenPath:
    """A path of a CSV, below the base folder unless it is absolute."""

    real: Path
    """Absolute, with symbolic links resolved; they may lead out of the base folder."""

    path: Path
    """As it is written, below the base folder, so that its names are those that the data use for an image, not those of
    a link's target; ``real`` if it is written otherwise."""

    is_there: bool
    folders: tuple[str, ...]
    """The folders of the path, outermost first, without the root."""

    name: str

    @classmethod
    def of(cls, text: str, root: Path) -> WrittenPath | None:
        """Parse a path of Linux, macOS or Windows.

        Args:
            root: base folder of relative paths, without symbolic links.

        Returns:
            None if it is no path, or relative and leads out of the base folder, whether or not it exists there.
        """
        if not text or "\0" in text:
            return None
        # Not a path's own method, which raises errors for a name that is too long.
        if "\\" in text and not os.path.exists(root / text):  # noqa: PTH110
            text = PureWindowsPath(text).as_posix()
        path = Path(os.path.normpath(root / text))
        is_absolute = PurePosixPath(text).is_absolute()
        # Checked before the disk is read.
        if not is_absolute and not path.is_relative_to(root):
            return None
        parts = path.parts[1:] if is_absolute else path.relative_to(root).parts
        if not parts:
            return None
        real = Path(os.path.realpath(root / text))
        is_there = os.path.exists(real)  # noqa: PTH110
        # Behind a link to a folder, ``..`` leads elsewhere.
        is_same = path.is_relative_to(root) and Path(os.path.realpath(path)) == real
        return cls(real=real, path=path if is_same else real, is_there=is_there, folders=parts[:-1], name=parts[-1])
