"""Trials in a storage that no journal knows: what a head left that died, told from what a damaged journal lost."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.study import layout
from search.storage.filesystem import Storage

log = logging.getLogger(__name__)

ASIDE = "aside"
"""Folder of a mirrored study for results that are no part of it; it is never in the study itself."""


def trial_of(name: str) -> int | None:
    """The trial that a file belongs to, None for any other file.

    >>> trial_of("trials/0007/seed_0/fold_1.json"), trial_of("trials/notes.txt"), trial_of("study.json")
    (7, None, None)
    """
    parts = name.split("/")
    return int(parts[1]) if len(parts) > 2 and parts[0] == layout.TRIALS and parts[1].isdecimal() else None


def is_result(name: str) -> bool:
    """Whether a trial's file holds what was trained for, rather than what a trial begins with.

    >>> [is_result(f"trials/0007/{file}") for file in ("recipe.json", "epochs.csv", "seed_0/fold_1.json", "state.json")]
    [False, True, True, True]

    A traceback explains a result, and is none without it.

    >>> is_result("trials/0007/traceback.txt")
    False
    """
    file = name.rpartition("/")[2]
    return file in (layout.STATE, layout.FAILED, layout.EPOCHS) or layout.is_fold_file(file)


def taken_over(names: Iterable[str]) -> set[int]:
    """Trials of earlier studies: they lie in the study before its journal takes them."""
    return {number for name in names if (number := trial_of(name)) is not None and name.endswith(f"/{layout.ORIGIN}")}


def check_known(storage: Storage, names: Iterable[str], known: set[int]) -> None:
    """Refuse a mirrored study whose journal has lost trials.

    A round of the mirror stores the journal last. So trials that it does not know were stored after it, when a head
    died in the middle of a round; those that are older were lost by the journal. Times are the storage's.

    Args:
        names: of the files in ``storage``.
        known: trials that the journal has begun, or will take over.

    Raises:
        UserError: how many.
        StorageFailed: there is no knowing.
    """
    unknown = {name: number for name in names if (number := trial_of(name)) is not None and number not in known}
    written = storage.modified(layout.JOURNAL)
    lost = {
        number
        for name, number in unknown.items()
        if is_result(name) and (written is None or ((stored := storage.modified(name)) and stored < written))
    }
    if lost:
        what = "is missing" if written is None else "has lost lines"
        raise UserError(
            f"{storage}/{layout.JOURNAL} {what}: {len(lost)} trials with results are stored there that it does "
            f"not know, such as {layout.trial(min(lost))}; restore it from a backup, or move those trials away to go "
            "on without them"
        )


def clear_leftovers(storage: Storage, folder: Path) -> None:
    """Make room for the study at ``folder``: its trials get numbers that a dead head may have given, too.

    What the storage holds of trials and the study lacks is removed; results are put aside, and a line says so.

    Raises:
        StorageFailed: some may be there still.
    """
    stray: dict[str, list[str]] = {}
    for name in storage.names(layout.TRIALS):
        if not (folder / name).is_file():
            stray.setdefault("/".join(name.split("/")[:2]), []).append(name)
    place = f"{ASIDE}/{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    kept = 0
    for names in stray.values():
        keep = any(is_result(name) for name in names)
        kept += keep
        for name in names:
            if keep:
                storage.move(name, f"{place}/{name}")
            else:
                storage.remove(name)
    if kept:
        log.warning(
            "storage %s: results of %d trials that the study here does not know, stored by a head that died, lie in "
            "%s/%s now",
            *(storage, kept, storage, place),
        )
