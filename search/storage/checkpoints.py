"""A fold's checkpoint: on the worker's disk and, with a storage, uploaded, so that any worker can resume the fold."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import socket
import time
from collections.abc import Collection
from pathlib import Path

from leukemia.config.recipe import Recipe
from leukemia.config.results import fold_name
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.training.checkpoint import epochs_in
from search.storage.filesystem import Storage, StorageFailed, open_storage

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
"""Folder in a mirrored study; never in the study itself."""

PAUSES = (1.0, 3.0)
"""Seconds between attempts to upload a checkpoint. While the storage is unreachable, there is one attempt
per checkpoint."""

_STORED = re.compile(rf"{CHECKPOINTS}/([0-9]{{4,}}-[0-9]+-[0-9a-f]{{8}})/(seed_\d+/fold_\d+\.pt)")


def folder_of(job: Job, recipe: Recipe) -> str:
    """Name of a job's folder in a storage. It includes a hash of the recipe: if the journal has lost the start of a
    trial, its number may be proposed again with another recipe."""
    digest = hashlib.sha256(recipe.with_settings({"train.seed": job.seed}).identity().encode()).hexdigest()
    return f"{job.number:04d}-{job.seed}-{digest[:8]}"


class Checkpoints:
    """The checkpoints of one fold of a job, of which the last is kept; other workers may train its other folds."""

    def __init__(self, local: Path, recipe: Recipe, *, job: Job, fold: int, study: str | None) -> None:
        """
        Args:
            local: folder on this worker's disk, of the whole job.
            recipe: resolved, as it is trained.
            study: address of the mirrored study; None without a storage.
        """
        self.local = local
        self._recipe, self._fold, self._address = recipe, fold, study
        self._name = f"{layout.seed(job.seed)}/fold_{fold}.pt"
        self.path = local / self._name
        self._storage: Storage | None = None
        """Folder of the mirrored study."""
        self._folder = f"{CHECKPOINTS}/{folder_of(job, recipe)}/"
        self._failing = False

    def fetch(self) -> None:
        """Download the checkpoint if another worker has trained the fold further than this one.

        One that this machine alone has, since its process crashed before the upload, is uploaded.
        """
        self._remove_foreign()
        if self._address is None:
            return
        self._storage = open_storage(self._address)
        self._storage.never_create()
        try:
            if self._storage.read(layout.STUDY) is None:
                # A local folder with the same path as the driver's, but not shared with it.
                self._storage = None
                self._warn(
                    f"does not contain the study when opened on {socket.gethostname()}; "
                    "checkpoints are kept on that machine only"
                )
                return
            is_stored = self._download()
        except StorageFailed as failure:
            self._failed(failure, "cannot be searched for checkpoints; the trial continues with those on its machine")
            return
        if not is_stored and self.path.is_file():
            self.store()

    def _download(self) -> bool:
        """Download the checkpoint if it has more epochs; returns whether the storage has what this machine has."""
        assert self._storage is not None
        fetched = self.path.with_name(f".{self.path.name}.fetched")
        try:
            if not self._storage.fetch(self._folder + self._name, fetched):
                return False
            stored, own = self._num_epochs(fetched), self._num_epochs(self.path)
            if stored == 0:
                self._warn(f"has a checkpoint {self._name} that is damaged or of another recipe; it is not used")
            elif stored > own:
                fetched.replace(self.path)
            return stored >= own
        finally:
            fetched.unlink(missing_ok=True)

    def store(self) -> None:
        """Upload the new checkpoint. If that fails, the trial continues with a warning.

        Called in the thread that writes checkpoints, since an upload may take as long as an epoch.
        """
        if self._storage is None:
            return
        for pause in (*(() if self._failing else PAUSES), None):
            try:
                self._storage.put(self.path, self._folder + self._name)
            except StorageFailed as failure:
                if pause is None:
                    self._failed(
                        failure,
                        f"did not accept the checkpoint of {fold_name(self._fold)}; if the machine crashes, the "
                        "fold is repeated",
                    )
                else:
                    time.sleep(pause)
            else:
                if self._failing:
                    self._failing = False
                    self._warn(f"accepts checkpoints again, starting with {fold_name(self._fold)}")
                return

    def clear(self) -> None:
        """Remove the checkpoint from this worker's disk; one in the storage is removed once the mirror has the fold."""
        self.path.unlink(missing_ok=True)

    def _num_epochs(self, path: Path) -> int:
        return epochs_in(path, self._recipe, self._fold)

    def _remove_foreign(self) -> None:
        """Remove a checkpoint of another recipe, to which a head that has crashed had assigned the trial's number."""
        if self.path.is_file() and self._num_epochs(self.path) == 0:
            log.warning("checkpoint %s is damaged or of another recipe; it is removed and not used", self.path)
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _failed(self, failure: StorageFailed, message: str) -> None:
        if not self._failing:
            self._failing = True
            self._warn(f"{message} ({failure})")

    def _warn(self, message: str) -> None:
        # Without the query, which may contain credentials.
        log.warning("storage %s %s", (self._address or "").partition("?")[0], message)


def remove_ended(storage: Storage, study: Study, stored: Collection[str], *, finished: bool) -> None:
    """Remove checkpoints from a mirrored study that no job will resume from.

    Args:
        stored: names of the study's files that the storage already has.
        finished: whether the search has run to its end, so that no job resumes.

    Raises:
        StorageFailed: some may remain.
    """
    resumable: dict[str, bool] = {}
    for name in storage.names(CHECKPOINTS):
        found = _STORED.fullmatch(name)
        if found is None:
            continue
        folder, file = found[1], found[2]
        # Checked after listing: the study contains a trial before its worker uploads anything.
        if folder not in resumable:
            resumable[folder] = not finished and _is_resumable(study, folder, stored)
        if not resumable[folder] or _trial(folder) + file.replace(".pt", ".json") in stored:
            storage.remove(name)


def _is_resumable(study: Study, folder: str, stored: Collection[str]) -> bool:
    """Whether the job with this checkpoint folder has not ended according to the storage."""
    number, seed, _ = folder.split("-")
    if int(number) not in study.trials():
        # What is not known to have ended is kept until the search has.
        return True
    recipe = study.recipe(int(number))
    if folder != folder_of(Job(int(number), int(seed)), recipe):
        return False
    is_repeat = int(seed) != recipe.train.seed
    return _trial(folder) + (f"{layout.seed(seed)}/{layout.FAILED}" if is_repeat else layout.STATE) not in stored


def _trial(folder: str) -> str:
    """Path within the study of the trial whose checkpoints are in ``folder``."""
    return f"{layout.TRIALS}/{folder.partition('-')[0]}/"
