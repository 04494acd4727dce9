"""Replace a folder as a whole: at any moment the old or the new content is there, and a later process cleans up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import require_writable
from leukemia.base.locks import locked
from leukemia.study import layout
from leukemia.study.models import is_model


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Be the only process that writes a model's folder; what a killed process left is completed or undone first.

    Raises:
        UserError: another process has it, or the study cannot be written: raised before training, not after.
    """
    require_writable(folder.parent)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder.with_name(f".{folder.name}.lock"), wait=False))
        except BlockingIOError:
            raise UserError(f"another process is writing {folder}; wait for it, or choose another --out") from None
        _settle(folder)
        yield


@contextmanager
def replacing(folder: Path, *, keep: bool) -> Iterator[Path]:
    """A new folder that replaces ``folder`` at the end of the block, and is deleted on failure.

    The caller has ``claimed`` the folder. The model's record is the last file that the block writes: the new folder is
    complete if and only if it is there.

    Args:
        keep: whether the new folder starts with the files of the old one, which it replaces; else the old one is moved
            to the first free ``NAME.1``, ``NAME.2``, ...
    """
    new = _hidden(folder, "new")
    new.mkdir()
    try:
        if keep:
            # Files are only ever replaced, so that a link is as good as a copy.
            shutil.copytree(folder, new, copy_function=_link, symlinks=True, dirs_exist_ok=True)
            (new / layout.MODEL).unlink(missing_ok=True)
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    old = _hidden(folder, "old") if keep else free_name(folder)
    if is_model(folder):
        folder.rename(old)
    new.rename(folder)
    if keep:
        shutil.rmtree(old, ignore_errors=True)


def free_name(folder: Path) -> Path:
    """The first of ``NAME.1``, ``NAME.2``, ... that does not exist."""
    number = 1
    while os.path.lexists(folder.with_name(f"{folder.name}.{number}")):
        number += 1
    return folder.with_name(f"{folder.name}.{number}")


def _settle(folder: Path) -> None:
    """Complete or undo what a process did that was killed in ``replacing``."""
    new, old = _hidden(folder, "new"), _hidden(folder, "old")
    if not os.path.lexists(folder):
        if (new / layout.MODEL).is_file():
            new.rename(folder)
        elif old.exists():
            old.rename(folder)
    for leftover in (new, old):
        _remove(leftover)


def _remove(leftover: Path) -> None:
    """Remove what a killed process left.

    Raises:
        UserError: it remains, for example since it belongs to another user.
    """
    with suppress(OSError):
        shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    if os.path.lexists(leftover):
        raise UserError(f"{leftover}: left by a process that was killed, and cannot be removed; remove it")


def _hidden(folder: Path, suffix: str) -> Path:
    return folder.with_name(f".{folder.name}-{suffix}")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Not every file system has hard links.
        shutil.copy2(source, target)
