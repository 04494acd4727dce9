"""Find the storage that a search is mirrored in, probe it, and claim the study there."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import make_folder, require_creatable, resolved
from leukemia.data.location import SAMPLE
from leukemia.study import layout
from leukemia.study.folder import Study
from search.planning.request import NO_STORAGE, Request
from search.planning.resumption import study_to_resume
from search.planning.vacancy import require_vacant
from search.storage.address import parse_address
from search.storage.filesystem import Storage, StorageFailed
from search.storage.lease import Lease
from search.storage.mirror import Mirror, NoMirror
from search.storage.probe import probe
from search.storage.retrieval import compare, describe_studies, fetch_study, require_unused


def storage_of(request: Request, *, resume: bool) -> Storage | None:
    """The storage that a command names or that its study remembers, after a probe; None without one.

    Raises:
        UserError: why it does not work.
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
        storage = probe(remembered)
    except UserError as error:
        message = f"{error} (study {study.name} is mirrored there; --storage {NO_STORAGE} runs without a mirror)"
        raise UserError(message) from None
    with _failures_as_user_errors(storage):
        if storage.folder(study.name).read(layout.STUDY) is None:
            raise UserError(
                f"--storage {storage}: expected the mirror of study {study.name}, which the study remembers, found "
                f"none; mount its disk, or name a storage to mirror it there from now on, such as "
                f"--storage {shlex.quote(remembered)}"
            )
    return storage


def remembered_by(study: Study) -> str | None:
    """Address of the storage that a study was last mirrored in, None if never."""
    return study.info.storage


@contextlib.contextmanager
def claimed(request: Request, storage: Storage | None) -> Iterator[Mirror | NoMirror]:
    """The mirror of the study to resume; the study is downloaded if ``--runs`` does not have it.

    Raises:
        UserError: another driver runs it, it does not exist, or it differs from the local study.
    """
    if storage is None:
        yield NoMirror()
        return
    folder = _folder(request, storage)
    is_here = (folder / layout.STUDY).is_file()
    with _failures_as_user_errors(storage):
        _require_resumable(storage, folder, is_here=is_here)
    with _open_mirror(storage, folder) as mirror:
        with _failures_as_user_errors(storage):
            if is_here:
                make_folder(folder, "make it writable, or choose another --runs")
                compare(mirror.storage, Study.open(folder))
            else:
                fetch_study(mirror.storage, folder)
        yield mirror


def _require_resumable(storage: Storage, folder: Path, *, is_here: bool) -> None:
    """Check that there is a study to resume, and room for its download or its mirror, before anything is written.

    Args:
        is_here: whether ``folder`` contains the study; then the storage may have nothing of that name.
    """
    stored = storage.folder(folder.name)
    is_stored = stored.read(layout.STUDY) is not None
    if not is_here and not is_stored:
        raise MissingFile(f"no study {folder.name} in {folder.parent} or {storage}; {describe_studies(storage)}")
    if not is_here:
        require_creatable(folder.parent, "choose another folder with --runs")
        require_vacant(folder)
    if not is_stored:
        require_unused(stored, instead="--storage")


@contextlib.contextmanager
def viewed(request: Request, storage: Storage | None) -> Iterator[Request]:
    """A request for the study to resume that a dry run can read; checks the same as ``claimed``, and claims nothing.

    If ``--runs`` lacks the study, it is downloaded to a temporary folder, which the request then names.

    Raises:
        UserError: as in ``claimed``.
    """
    if storage is None:
        yield request
        return
    folder = _folder(request, storage)
    is_here = (folder / layout.STUDY).is_file()
    with tempfile.TemporaryDirectory() as runs, _failures_as_user_errors(storage):
        _require_resumable(storage, folder, is_here=is_here)
        stored = storage.folder(folder.name)
        Lease(stored).check()
        if is_here:
            compare(stored, Study.open(folder))
        else:
            fetch_study(stored, Path(runs) / folder.name)
            request = dataclasses.replace(request, runs=Path(runs), study=folder.name)
        yield request


@contextlib.contextmanager
def claimed_new(storage: Storage | None, folder: Path) -> Iterator[Mirror | NoMirror]:
    """The mirror of the study that is about to be created at ``folder``.

    Raises:
        UserError: as in ``require_claimable``.
    """
    require_claimable(storage, folder)
    if storage is None:
        yield NoMirror()
        return
    with _open_mirror(storage, folder) as mirror:
        # Another driver may have created it before the lease was ours.
        _require_unused(mirror.storage)
        yield mirror


def require_claimable(storage: Storage | None, folder: Path) -> None:
    """Check that the study that is about to be created at ``folder`` can be mirrored; claims nothing.

    Raises:
        UserError: the storage already has a study of that name or files that are not a study, or another driver is
            creating it.
    """
    if storage is None:
        return
    stored = storage.folder(folder.name)
    _require_unused(stored)
    with _failures_as_user_errors(storage):
        Lease(stored).check()


def _require_unused(stored: Storage) -> None:
    with _failures_as_user_errors(stored):
        require_unused(stored, instead="--study or --storage")


def _refuse_overlap(request: Request, *, resume: bool) -> None:
    """Refuse a mirror inside the study that it mirrors or among the images, before anything is written there.

    Raises:
        UserError: the folders overlap; the message names them.
    """
    address = parse_address(str(request.storage))
    if address.scheme:
        return
    storage, runs, name, uri = Path(address.root), _resolved(request.runs), request.study, request.data
    if resume and (name is None or uri is None):
        with contextlib.suppress(UserError):
            study = study_to_resume(request)
            name = study.name
            if uri is None and study.info.data.uri != SAMPLE:
                uri = study.info.data.uri
    if name is not None:
        layout.check_name(name)
    # Either may be a link, for example to a larger disk.
    mirror, folder = (_resolved(parent / (name or "")) for parent in (storage, runs))
    if _is_same(storage, runs) or (name is not None and _overlap(mirror, folder)):
        raise UserError(
            f"--storage {request.storage}: expected a folder other than --runs, with neither study inside the other, "
            f"got {mirror} as the mirror of {folder}; choose a separate folder"
        )
    data = None if uri is None else _resolved(Path(uri))
    if data is None or not data.is_dir():
        return
    if mirror.is_relative_to(data) or (name is not None and data.is_relative_to(mirror)):
        raise UserError(
            f"--storage {request.storage}: expected a folder that does not overlap the images in {data}, got {mirror}; "
            "choose a separate folder"
        )


def _overlap(first: Path, second: Path) -> bool:
    return first.is_relative_to(second) or second.is_relative_to(first) or _is_same(first, second)


def _is_same(first: Path, second: Path) -> bool:
    # A folder may be mounted at two places.
    return first == second or (first.is_dir() and second.is_dir() and first.samefile(second))


def _resolved(path: Path) -> Path:
    return resolved(path, "correct --runs, --storage or --data")


def _folder(request: Request, storage: Storage) -> Path:
    if request.study is not None:
        layout.check_name(request.study)
        return request.runs / request.study
    try:
        return study_to_resume(request).folder
    except UserError as error:
        with _failures_as_user_errors(storage):
            raise UserError(
                f"{error}; or name a study of {storage} with --study: {describe_studies(storage)}"
            ) from None


@contextlib.contextmanager
def _open_mirror(storage: Storage, folder: Path) -> Iterator[Mirror]:
    with _failures_as_user_errors(storage):
        mirror = Mirror(storage, folder.name)
    try:
        yield mirror
    finally:
        mirror.release()


@contextlib.contextmanager
def _failures_as_user_errors(storage: Storage) -> Iterator[None]:
    """Before the search starts, a failure of the storage ends the command."""
    try:
        yield
    except StorageFailed as failure:
        raise UserError(f"--storage {storage}: {failure}; check the storage, then try again") from None
