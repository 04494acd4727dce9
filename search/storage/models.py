"""Delivered models in the mirror: each stored folder has the files of one model, and none is lost."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord, delivered_models, is_model
from search.storage.filesystem import Storage
from search.storage.leftovers import new_aside

log = logging.getLogger(__name__)

MARKERS = (layout.METRICS, layout.MODEL)
"""A folder with one of them is a model (earlier versions wrote no record): removed first and uploaded last, in this
order, so that a record without metrics or metrics without a record are those of an upload that was interrupted."""


def make_way(storage: Storage, study: Study, name: str) -> list[str]:
    """Prepare the stored folder of a model for the upload of the local one, if another model or another test is there.

    A model that the study lacks, which another machine has stored, is moved to ``ASIDE`` with a warning. Otherwise the
    files that the local folder lacks are removed, ``MARKERS`` first: until the upload ends, the folder is no model.

    Args:
        storage: folder of the mirrored study.
        name: of the model's folder.

    Returns:
        Names of the files that are no longer stored.

    Raises:
        StorageFailed: some of them may be.
    """
    stored = [each for each in storage.names(name) if layout.is_study_file(each)]
    folder = study.folder / name
    # While ``leukemia.final`` replaces it, there is none.
    if not stored or not is_model(folder) or _is_same(storage, folder):
        return []
    markers = [each for each in (f"{name}/{marker}" for marker in MARKERS) if each in stored]
    if markers and not _is_known(storage, study, name):
        target = new_aside()
        for each in stored:
            storage.move(each, f"{target}/{each}")
        log.warning(
            "storage %s: the model %s, which the local study lacks, was uploaded from elsewhere; it was moved to "
            "%s/%s/%s",
            *(storage, name, storage, target, name),
        )
        return stored
    removed = [*markers, *(each for each in stored if each not in markers and not (study.folder / each).is_file())]
    for each in removed:
        storage.remove(each)
    return removed


def _is_same(storage: Storage, folder: Path) -> bool:
    """Whether the stored record, or with earlier versions the metrics, are those of the local folder."""
    contents = [_read(folder / marker) for marker in MARKERS]
    stored = [storage.read(f"{folder.name}/{marker}") for marker in MARKERS]
    return contents == stored


def _is_known(storage: Storage, study: Study, name: str) -> bool:
    """Whether the study has the stored model, in any folder, with the results on the stored test set."""
    with tempfile.TemporaryDirectory() as temporary:
        theirs = Path(temporary)
        for each in (*MARKERS, layout.EPOCHS):
            storage.fetch(f"{name}/{each}", theirs / each)
        return any(_includes(study.folder / each, theirs) for each in delivered_models(study))


def _includes(ours: Path, theirs: Path) -> bool:
    # Its seconds identify a training, and are written by every version.
    if _read(ours / layout.EPOCHS) != _read(theirs / layout.EPOCHS):
        return False
    with contextlib.suppress(UserError):
        record, other = ModelRecord.read(ours), ModelRecord.read(theirs)
        if other is None:
            return _read(ours / layout.METRICS) == _read(theirs / layout.METRICS)
        if record is not None:
            return other.evaluation is None or record.has_results(ours, other.evaluation.fingerprint)
    return False


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
