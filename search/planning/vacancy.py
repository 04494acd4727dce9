"""Whether a folder is free for a new study: nothing that we did not create is ever overwritten or removed."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import resolved
from leukemia.study import layout

MAX_NAMED = 3
"""How many of the files found are named."""


def require_vacant(folder: Path) -> None:
    """Refuse a folder on this machine for a new study unless it is absent or empty.

    Raises:
        UserError: what was found there.
    """
    if not os.path.lexists(folder):
        return
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise UserError(
            f"{folder}: expected an empty folder or nothing ({error.strerror}); choose another --study or --runs"
        ) from None
    if names:
        raise occupied(str(folder), names, instead="--study or --runs")


def require_apart(folder: Path, images: Path, option: str) -> None:
    """Refuse to write to a folder among the images, which are only read: a picture there would become one of them.

    Args:
        folder: about to be written.
        images: given by the user; a file, such as a CSV, has no place that is searched for images.
        option: what names the folder.

    Raises:
        UserError: it is the folder of the images or inside it.
    """
    folder, images = (resolved(path, f"correct --data or {option}") for path in (folder, images))
    if images.is_dir() and folder.is_relative_to(images):
        raise UserError(
            f"{option}: expected a folder outside the images in {images}, which are only read, got {folder}; choose "
            f"another {option}"
        )


def occupied(folder: str, names: Collection[str], *, instead: str) -> UserError:
    """The error for a folder that is not free.

    Args:
        folder: its path or address.
        names: of what it contains, relative to it; not empty.
        instead: the arguments that name another folder.
    """
    parent, _, study = folder.rpartition("/")
    if layout.STUDY in names:
        return UserError(
            f"study {study} already exists in {parent}; resume it with --resume, or choose another --study"
        )
    found = sorted(names)
    if layout.JOURNAL in found or any(name.startswith(layout.TRIALS) and layout.is_study_file(name) for name in found):
        return UserError(
            f"{folder} contains the trials of a study whose {layout.STUDY} is missing; restore that file from a "
            f"backup, or choose another {instead}"
        )
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return UserError(
        f"{folder} is not empty and not a study: it contains {', '.join(found[:MAX_NAMED])}{more}; move that away, or "
        f"choose another {instead}"
    )
