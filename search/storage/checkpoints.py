"""A job's checkpoints on its worker's disk and, where there is a storage, there too, so that any worker goes on."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import shutil
import socket
import time
from collections.abc import Collection
from pathlib import Path

from leukemia.config.recipe import Recipe
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.training.train import epochs_in
from search.storage.filesystem import Storage, StorageFailed, open_storage

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
"""Folder of a mirrored study; it is never in the study itself."""

PAUSES = (1.0, 3.0)
"""Seconds between the attempts to store a checkpoint. While the storage stays away there is one attempt an epoch."""

_FILE = re.compile(r"seed_\d+/fold_(\d+)\.pt")


def folder_of(job: Job, recipe: Recipe) -> str:
    """Name of a job's folder in a storage. The recipe is part of it: a trial whose beginning no journal remembers may
    be proposed again with another one."""
    digest = hashlib.sha256(recipe.with_settings({"train.seed": job.seed}).to_json().encode()).hexdigest()
    return f"{job.number:04d}-{job.seed}-{digest[:8]}"


def fold_of(name: str) -> int | None:
    """The fold of a checkpoint's file, None for any other file.

    >>> fold_of("seed_0/fold_3.pt"), fold_of("seed_0/fold_3.csv")
    (3, None)
    """
    found = _FILE.fullmatch(name)
    return None if found is None else int(found[1])


class Checkpoints:
    """The checkpoints of one job."""

    def __init__(self, local: Path, recipe: Recipe, *, job: Job, study: str | None) -> None:
        """
        Args:
            local: folder on this worker's disk.
            recipe: resolved, as it is trained.
            study: address of the mirrored study; None where there is no storage.
        """
        self.local = local
        self._recipe, self._job, self._address = recipe, job, study
        self._storage: Storage | None = None
        self._failing = False
        self._stored: dict[Path, tuple[int, int]] = {}

    def fetch(self, skip: Collection[int]) -> None:
        """Bring what another worker has stored of folds that are not finished, where it came further than this one.

        Args:
            skip: folds that are finished.
        """
        self._drop_foreign()
        if self._address is None:
            return
        study = open_storage(self._address)
        self._storage = study.folder(f"{CHECKPOINTS}/{folder_of(self._job, self._recipe)}")
        try:
            if study.read(layout.STUDY) is None:
                # A folder of this machine alone, which has the same name.
                self._storage = None
                self._warn(f"does not hold the study as {socket.gethostname()} sees it; checkpoints stay there")
                return
            for name in self._storage.names():
                fold = fold_of(name)
                if fold is not None and fold not in skip:
                    self._take(name, fold)
        except StorageFailed as failure:
            self._failed(failure, "cannot be asked for checkpoints; the trial goes on with what its machine has")

    def _take(self, name: str, fold: int) -> None:
        assert self._storage is not None
        path = self.local / name
        fetched = path.with_name(f".{path.name}.fetched")
        try:
            if self._storage.fetch(name, fetched) and self._num_epochs(fetched, fold) > self._num_epochs(path, fold):
                fetched.replace(path)
                self._stored[path] = _stamp(path)
        finally:
            fetched.unlink(missing_ok=True)

    def store(self, fold: int) -> None:
        """Store a fold's checkpoint if it is not stored yet. A failing storage causes a warning, not a failed trial."""
        name = f"{layout.seed(self._job.seed)}/fold_{fold}.pt"
        path = self.local / name
        if self._storage is None or not path.is_file() or self._stored.get(path) == _stamp(path):
            return
        for pause in (*(() if self._failing else PAUSES), None):
            try:
                self._storage.put(path, name)
            except StorageFailed as failure:
                if pause is None:
                    self._failed(
                        failure, f"takes no checkpoint of fold {fold}; if its machine dies, the fold is repeated"
                    )
                else:
                    time.sleep(pause)
            else:
                self._stored[path] = _stamp(path)
                if self._failing:
                    self._failing = False
                    self._warn(f"takes checkpoints again, that of fold {fold} first")
                return

    def clear(self) -> None:
        """Remove them from this worker's disk; the storage's go when the mirror holds what they led to."""
        shutil.rmtree(self.local, ignore_errors=True)

    def _num_epochs(self, path: Path, fold: int) -> int:
        return epochs_in(path, self._recipe, fold)

    def _drop_foreign(self) -> None:
        """Remove checkpoints of another recipe: an earlier head, which is dead, gave the trial's number to that one."""
        for path in self.local.glob("seed_*/fold_*.pt"):
            fold = fold_of(str(path.relative_to(self.local)))
            if fold is not None and self._num_epochs(path, fold) == 0:
                log.warning("checkpoint %s is damaged or of another recipe; its fold starts from scratch", path)
                with contextlib.suppress(OSError):
                    path.unlink()

    def _failed(self, failure: StorageFailed, words: str) -> None:
        if not self._failing:
            self._failing = True
            self._warn(f"{words} ({failure})")

    def _warn(self, words: str) -> None:
        # Without the query, which may hold credentials.
        log.warning("storage %s %s", (self._address or "").partition("?")[0], words)


def remove_ended(storage: Storage, study: Study, stored: Collection[str]) -> None:
    """Remove from a mirrored study the checkpoints that nobody will go on from.

    Args:
        stored: names of those files of the study that the storage would give back.

    Raises:
        StorageFailed: some may be there still.
    """
    goes_on: dict[str, bool] = {}
    for name in storage.names(CHECKPOINTS):
        _, folder, file = name.split("/", 2)
        # A trial is known to the study before its worker stores anything: looked at after the listing.
        if folder not in goes_on:
            goes_on[folder] = _goes_on(study, folder, stored)
        if not goes_on[folder] or _trial(folder) + file.replace(".pt", ".json") in stored:
            storage.remove(name)


def _goes_on(study: Study, folder: str, stored: Collection[str]) -> bool:
    """Whether a job, by the name of its checkpoints' folder, has not ended as far as the storage knows."""
    number, seed, *_ = [*folder.split("-"), ""]
    if not (number.isdecimal() and seed.isdecimal() and int(number) in study.trials()):
        return False
    recipe = study.recipe(int(number))
    if folder != folder_of(Job(int(number), int(seed)), recipe):
        return False
    is_repeat = int(seed) != recipe.train.seed
    return _trial(folder) + (f"{layout.seed(seed)}/{layout.FAILED}" if is_repeat else layout.STATE) not in stored


def _trial(folder: str) -> str:
    """Where a study keeps the trial whose checkpoints lie in ``folder``."""
    return f"{layout.TRIALS}/{folder.partition('-')[0]}/"


def _stamp(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_ino
