"""Trials in the mirror that the journal does not list: stale uploads are cleared, lost records refused."""

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
"""Folder in a mirrored study for results that are not part of it; never in the study itself."""


def new_aside() -> str:
    """The folder for what is moved to ``ASIDE`` now."""
    return f"{ASIDE}/{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def trial_of(name: str) -> int | None:
    """The trial that a file belongs to, None for any other file.

    >>> trial_of("trials/0007/seed_0/fold_1.json"), trial_of("trials/notes.txt"), trial_of("study.json")
    (7, None, None)
    """
    parts = name.split("/")
    return layout.trial_of(parts[1]) if len(parts) > 2 and parts[0] == layout.TRIALS else None


def is_result(name: str) -> bool:
    """Whether a trial's file is a result of training, not an input of the trial.

    >>> [is_result(f"trials/0007/{file}") for file in ("recipe.json", "epochs.csv", "seed_0/fold_1.json", "state.json")]
    [False, True, True, True]

    A traceback explains a result but is not one.

    >>> is_result("trials/0007/traceback.txt")
    False
    """
    file = name.rpartition("/")[2]
    return file in (layout.STATE, layout.FAILED, layout.EPOCHS) or layout.is_fold_file(file)


def reused_trials(names: Iterable[str]) -> set[int]:
    """Trials reused from earlier studies: they are copied into the study before its journal records them."""
    return {number for name in names if (number := trial_of(name)) is not None and name.endswith(f"/{layout.ORIGIN}")}


def check_journal(storage: Storage, names: Iterable[str], known: set[int]) -> None:
    """Refuse a mirrored study whose journal has lost trials.

    Every upload stores the journal last. A trial that is not in the journal but newer was stored by a head that crashed
    during an upload; if it is older, the journal has lost it. Times are the storage's.

    Args:
        names: of the files in ``storage``.
        known: trials that the journal lists, or that are reused from earlier studies.

    Raises:
        UserError: trials are lost; says how many.
        StorageFailed: the storage cannot be read.
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
            f"{storage}/{layout.JOURNAL} {what}: no record of {len(lost)} stored trials with results, such as "
            f"{layout.trial(min(lost))}; restore it from a backup, or move those trials away to continue without them"
        )


def clear_leftovers(storage: Storage, folder: Path) -> None:
    """Clear the mirror of trials that the study at ``folder`` lacks: their numbers, from a crashed head, are reused.

    Their files are removed; if there are results, they are moved to ``ASIDE`` with a warning.

    Raises:
        StorageFailed: some may remain.
    """
    stray: dict[str, list[str]] = {}
    for name in storage.names(layout.TRIALS):
        if layout.is_study_file(name) and not (folder / name).is_file():
            stray.setdefault("/".join(name.split("/")[:2]), []).append(name)
    target, kept = new_aside(), 0
    for names in stray.values():
        keep = any(is_result(name) for name in names)
        kept += keep
        for name in names:
            if keep:
                storage.move(name, f"{target}/{name}")
            else:
                storage.remove(name)
    if kept:
        log.warning(
            "storage %s: results of %d trials that the local study lacks, uploaded by a head that crashed, were moved "
            "to %s/%s",
            *(storage, kept, storage, target),
        )
