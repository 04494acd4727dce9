"""The folder on each machine where a study's trials keep their checkpoints, locked by the driver's search."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import cache_dir, make_folder
from leukemia.base.locks import locked
from leukemia.study import layout
from leukemia.study.schema import StudyInfo


def checkpoints_of(info: StudyInfo) -> Path:
    """Folder on each worker's own disk where a study's trials keep their checkpoints."""
    return cache_dir() / "checkpoints" / info.study_uid


@contextlib.contextmanager
def locked_checkpoints(info: StudyInfo) -> Iterator[Path]:
    """The folder of checkpoints on this machine, for one search; removed at the end if it has none.

    The lock of a study's folder does not suffice: a copy of the folder is the same study, with the same checkpoints.

    Raises:
        UserError: another search uses the folder.
    """
    folder = checkpoints_of(info)
    make_folder(folder, "set LEUKEMIA_CACHE to a folder that you can write")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / layout.LOCK, wait=False))
        except BlockingIOError:
            raise UserError(
                f"another search of this study (study_uid {info.study_uid}), in a copy of its folder, keeps its "
                f"checkpoints in {folder}; wait for it, stop it, or set LEUKEMIA_CACHE to another folder"
            ) from None
        try:
            yield folder
        finally:
            if folder.is_dir() and [path.name for path in folder.iterdir()] == [layout.LOCK]:
                shutil.rmtree(folder, ignore_errors=True)
