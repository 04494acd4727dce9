"""The checkpoint of a fit: written atomically with checksums, and loaded only if it is intact."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from leukemia.base import checksums
from leukemia.base.errors import UserError, first_line
from leukemia.base.faults import is_machine_fault
from leukemia.base.files import atomic
from leukemia.config.recipe import Recipe

log = logging.getLogger(__name__)

_ARCHIVE_END, _ARCHIVE_END_BYTES = b"PK\x05\x06", 22
"""Signature and size of the last record of a ZIP archive without a comment (PKWARE's APPNOTE, 4.3.16)."""


class DamagedCheckpoint(Exception):
    """The file disagrees with its checksums or is not a checkpoint; the message names it."""


def save_checkpoint(path: Path, recipe: Recipe, fold: int, state: dict[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        state: tensors and plain values only; ``epochs`` is a list with one entry per epoch.

    Raises:
        OSError: the disk is full or fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        with temporary.open("wb") as stream:
            try:
                torch.save({"recipe": recipe.to_json(), "fold": fold, **state}, stream)
            except RuntimeError as error:
                # After a failed write torch ends its archive and raises an error about positions in it.
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None
        checksums.append_checksums(temporary)


def load_checkpoint(path: Path, recipe: Recipe, fold: int) -> dict[str, Any]:
    """Read a checkpoint. One of an earlier version, without checksums, is accepted with a note in the log.

    Raises:
        DamagedCheckpoint: see there.
        UserError: it belongs to another recipe or fold, or its recipe has fields or values that this version lacks.
        Exception: a fault of the machine, as ``is_machine_fault``: the file cannot be read, or memory is too small.
    """
    state = _read(path, mmap=False)
    _require_same(state, path, recipe, fold)
    return state


def epochs_in(path: Path, recipe: Recipe, fold: int) -> int:
    """Number of epochs of a resolved recipe and fold in a checkpoint; 0 if it is absent, damaged or of another."""
    if not path.is_file():
        return 0
    try:
        state = _read(path, mmap=True)
        _require_same(state, path, recipe, fold)
    except (DamagedCheckpoint, UserError):
        return 0
    return len(state["epochs"])


def _require_same(state: dict[str, Any], path: Path, recipe: Recipe, fold: int) -> None:
    try:
        # Of an earlier version, the text lacks fields.
        found = Recipe.from_json(state["recipe"])
    except UserError as error:
        raise unusable(path, error) from error
    if found != recipe or state["fold"] != fold:
        raise UserError(f"{path}: this checkpoint belongs to another recipe or fold; remove it to start over")


def unusable(path: Path, error: Exception) -> UserError:
    """The error for an intact checkpoint that this version cannot resume, such as one of a later version."""
    cause = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
    return UserError(
        f"{path}: this version cannot resume this checkpoint ({cause}); use the version that wrote it, or remove it to "
        "start over"
    )


def _ends_as_archive(path: Path) -> bool:
    """Whether nothing follows the archive, as in files of earlier versions; torch's archives have no comment."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _ARCHIVE_END_BYTES))
        end = stream.read()
    return len(end) == _ARCHIVE_END_BYTES and end.startswith(_ARCHIVE_END)


def _read(path: Path, *, mmap: bool) -> dict[str, Any]:
    verdict = checksums.check(path)
    if verdict == "damaged":
        raise DamagedCheckpoint(f"{path} is damaged (its checksums differ)")
    if verdict == "unchecked" and not _ends_as_archive(path):
        raise DamagedCheckpoint(f"{path} is damaged (its end is incomplete)")
    try:
        found = dict(torch.load(path, map_location="cpu", weights_only=True, mmap=mmap))
        if not (isinstance(found["recipe"], str) and isinstance(found["fold"], int)):
            raise TypeError("recipe, fold")
        len(found["epochs"])
    except Exception as error:
        if is_machine_fault(error):
            # Such as too little memory: the file is intact.
            raise
        # Parsers may raise anything on damaged files.
        raise DamagedCheckpoint(f"{path} is damaged ({type(error).__name__})") from None
    if verdict == "unchecked":
        log.warning("%s has no checksums (it is of an earlier version): it is used unchecked", path)
    return found
