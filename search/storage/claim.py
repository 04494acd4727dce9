"""Where a search keeps its mirror: named or remembered, found to work, and the study in it claimed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import make_folder
from leukemia.study import layout
from leukemia.study.folder import Study, check_name
from search.planning.request import NO_STORAGE, Request
from search.planning.resumption import study_to_resume
from search.storage.address import read_address
from search.storage.checkpoints import CHECKPOINTS
from search.storage.filesystem import Storage, StorageFailed
from search.storage.leftovers import is_result
from search.storage.mirror import Mirror, NoMirror
from search.storage.probe import probe
from search.storage.retrieval import compare, fetch_study, known_studies


def storage_of(request: Request, *, resume: bool) -> Storage | None:
    """The storage that a command names or that its study remembers, found to work; None where there is none.

    Raises:
        UserError: it does not work, and why.
    """
    if request.storage == NO_STORAGE:
        return None
    if request.storage is not None:
        _refuse_overlap(request, resume=resume)
        return probe(request.storage)
    if not resume:
        return None
    study = study_to_resume(request)
    remembered = remembered_by(study)
    if remembered is None:
        return None
    _refuse_overlap(dataclasses.replace(request, storage=remembered), resume=True)
    try:
        return probe(remembered)
    except UserError as mistake:
        words = f"{mistake} (study {study.name} is mirrored there; --storage {NO_STORAGE} goes on without)"
        raise UserError(words) from None


def remembered_by(study: Study) -> str | None:
    """Address of the storage that a study was last mirrored in, if any."""
    return study.info.storage


@contextlib.contextmanager
def claimed(request: Request, storage: Storage | None) -> Iterator[Mirror | NoMirror]:
    """The mirror of the study to resume, which is fetched where ``--runs`` does not have it.

    Raises:
        UserError: it is run by another driver, is not there, or is another one than here.
    """
    if storage is None:
        yield NoMirror()
        return
    folder = _folder(request, storage)
    is_here = (folder / layout.STUDY).is_file()
    with _answered(storage):
        if not is_here and storage.folder(folder.name).read(layout.STUDY) is None:
            raise MissingFile(f"no study {folder.name} in {folder.parent} nor in {storage}; {known_studies(storage)}")
    with _held(storage, folder) as mirror:
        with _answered(storage):
            if is_here:
                make_folder(folder, "make it writable for you, or name another --runs")
                compare(mirror.storage, Study.open(folder))
            else:
                fetch_study(mirror.storage, folder)
        yield mirror


@contextlib.contextmanager
def claimed_new(storage: Storage | None, folder: Path) -> Iterator[Mirror | NoMirror]:
    """The mirror of the study that is about to be made at ``folder``.

    Raises:
        UserError: the storage has a study of that name.
    """
    if storage is None:
        yield NoMirror()
        return
    with _held(storage, folder) as mirror:
        with _answered(storage):
            if mirror.storage.read(layout.STUDY) is not None:
                raise UserError(
                    f"study {folder.name} exists in {storage}; go on with --resume, or choose another --study"
                )
            left = [name for name in mirror.storage.names(layout.TRIALS) if is_result(name)]
            if left or mirror.storage.modified(layout.JOURNAL) is not None:
                raise UserError(
                    f"{mirror.storage} holds the trials of a study whose {layout.STUDY} is missing; restore that file "
                    "from a backup, or choose another --study"
                )
            # What a start left that died before there was a study.
            for name in (layout.TRIALS, CHECKPOINTS):
                mirror.storage.remove_folder(name)
        yield mirror


def _refuse_overlap(request: Request, *, resume: bool) -> None:
    """Refuse a mirror that would lie in what it mirrors, or among the images; before anything is written there.

    Raises:
        UserError: which folders.
    """
    address = read_address(str(request.storage))
    if address.scheme:
        return
    storage, runs, name = Path(address.root), _resolved(request.runs), request.study
    if name is None and resume:
        with contextlib.suppress(UserError):
            name = study_to_resume(request).name
    if name is not None:
        check_name(name)
    mirror, folder = storage / (name or ""), runs / (name or "")
    if storage == runs or (name is not None and (mirror.is_relative_to(folder) or folder.is_relative_to(mirror))):
        raise UserError(
            f"--storage {request.storage}: expected another folder than that of --runs, which it mirrors, and neither "
            f"study within the other, got {mirror} for {folder}; name a folder beside them"
        )
    data = None if request.data is None else _resolved(Path(request.data))
    if data is None or not data.is_dir():
        return
    if mirror.is_relative_to(data) or (name is not None and data.is_relative_to(mirror)):
        raise UserError(
            f"--storage {request.storage}: expected a folder apart from the images in {data}, got {mirror}; name a "
            "folder beside them"
        )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: there is no such folder ({error}); correct --runs or --data") from None


def _folder(request: Request, storage: Storage) -> Path:
    if request.study is not None:
        check_name(request.study)
        return request.runs / request.study
    try:
        return study_to_resume(request).folder
    except UserError as mistake:
        with _answered(storage):
            raise UserError(f"{mistake}; or name a study of {storage} with --study: {known_studies(storage)}") from None


@contextlib.contextmanager
def _held(storage: Storage, folder: Path) -> Iterator[Mirror]:
    with _answered(storage):
        mirror = Mirror(storage, folder.name)
    try:
        yield mirror
    finally:
        mirror.release()


@contextlib.contextmanager
def _answered(storage: Storage) -> Iterator[None]:
    """Before a search has begun, a storage that fails ends the command."""
    try:
        yield
    except StorageFailed as failure:
        raise UserError(f"--storage {storage}: {failure}; look at the storage, then try again") from None
