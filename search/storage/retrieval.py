"""Download a mirrored study, or compare it with the local copy."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import atomic_folder, make_folder, read_file, removing_empty
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import StudyInfo
from search.planning.resumption import check_study
from search.planning.vacancy import occupied
from search.sampling.journal import begun_trials
from search.storage.filesystem import LocalWriteFailed, Storage, StorageFailed
from search.storage.lease import is_lease_file
from search.storage.leftovers import check_journal, reused_trials, trial_of
from search.storage.parallel import for_each


def rank_of(name: str) -> int:
    """Upload order of a study's files: files that commit a fold come after all others, those that end a trial last.

    >>> [rank_of(name) for name in ("recipe.json", "seed_0/fold_1.csv", "seed_0/fold_1.json", "state.json")]
    [0, 0, 1, 2]
    """
    file = name.rpartition("/")[2]
    if file in (layout.STATE, layout.FAILED):
        return 2
    return 1 if layout.fold_of(file) is not None else 0


def describe_studies(storage: Storage) -> str:
    """The studies in a storage, as text for a message.

    Raises:
        StorageFailed: the storage cannot be listed.
    """
    paths = [name.split("/") for name in storage.names()]
    names = sorted(path[0] for path in paths if len(path) == 2 and path[1] == layout.STUDY)
    return f"it contains {', '.join(names)}" if names else "it contains no study"


def require_unused(storage: Storage, *, instead: str) -> None:
    """Refuse a folder to mirror a study to if it contains anything but a lease.

    Args:
        instead: the arguments that name another folder.

    Raises:
        UserError: what was found there.
        StorageFailed: the folder cannot be listed.
    """
    names = [name for name in storage.names() if not is_lease_file(storage, name)]
    if names:
        raise occupied(str(storage), names, instead=instead)


def fetch_study(storage: Storage, folder: Path) -> None:
    """Download the trials that the journal of the study in ``storage`` lists to ``folder``, all or nothing.

    Raises:
        MissingFile: there is no study.
        UserError: ``folder`` is not empty or cannot be written, or the stored study is damaged.
        StorageFailed: the download failed.
    """
    found = storage.names()
    names = [name for name in found if layout.is_study_file(name)]
    if layout.STUDY not in names:
        raise MissingFile(f"no study at {storage}; correct --storage or --study")
    _refuse_clashes(storage, names, found)
    with removing_empty(folder.parent):
        make_folder(folder.parent, "choose another folder with --runs")
        try:
            with atomic_folder(folder) as temporary:
                (temporary / layout.TRIALS).mkdir()
                with _naming_storage(storage, temporary):
                    _fetch_known(storage, names, temporary)
                    check_study(Study.open(temporary))
        except LocalWriteFailed as failure:
            raise UserError(
                f"the study cannot be written to {folder} ({failure}); free disk space, or choose another --runs"
            ) from None
        except (UserError, StorageFailed):
            raise
        except OSError as error:
            raise UserError(
                f"the study cannot be written to {folder} ({error.strerror}); move it away, or choose another --runs"
            ) from None


def _fetch_known(storage: Storage, names: list[str], temporary: Path) -> None:
    # The journal first: files read after it may contain more than it lists, but never less.
    begun = (
        begun_trials(temporary / layout.JOURNAL) if storage.fetch(layout.JOURNAL, temporary / layout.JOURNAL) else set()
    )
    known = begun | reused_trials(names)
    check_journal(storage, names, known)
    wanted = [name for name in names if name != layout.JOURNAL and _is_of(name, known)]

    def fetch(name: str) -> None:
        if not storage.fetch(name, temporary / name):
            raise StorageFailed(f"{name} was removed during the download; try again")

    for_each(wanted, fetch)


def _is_of(name: str, known: set[int]) -> bool:
    """Whether a file belongs to one of the known trials, or to no trial."""
    return not name.startswith(f"{layout.TRIALS}/") or trial_of(name) in known


def _refuse_clashes(storage: Storage, names: list[str], found: list[str]) -> None:
    """Refuse a name that is both a file and a folder, which a bucket allows and a disk does not.

    Args:
        names: of the study's files.
        found: names of all files.
    """
    folders, others = _folders_of(names) | {layout.TRIALS}, _folders_of(found)
    for name in sorted(folders & set(found) | others & set(names)):
        kind = "a file" if name in names else "a folder"
        raise UserError(f"{storage}/{name}: expected {kind}, found something else with that name; move it away")


def _folders_of(names: list[str]) -> set[str]:
    return {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}


@contextlib.contextmanager
def _naming_storage(storage: Storage, temporary: Path) -> Iterator[None]:
    """In messages, replace the temporary path of a damaged file by its path in the storage."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace(str(temporary), str(storage))) from None


def compare(storage: Storage, study: Study) -> None:
    """Refuse a local study that is not the one in ``storage``, or lacks parts of it.

    Raises:
        UserError: how they differ.
        StorageFailed: the storage cannot be read.
    """
    with tempfile.TemporaryDirectory() as name, _naming_storage(storage, Path(name)):
        theirs = Path(name) / layout.STUDY
        if not storage.fetch(layout.STUDY, theirs):
            return
        uid = StudyInfo.read(theirs).study_uid
    if uid != study.info.study_uid:
        raise UserError(
            f"{storage} contains another study of this name (study_uid {uid}, local {study.info.study_uid}); choose "
            "another --storage, or rename the folder of one of them"
        )
    results = [name for name in storage.names(layout.TRIALS) if layout.is_study_file(name) and rank_of(name) > 0]
    ahead = [name for name in results if not (study.folder / name).is_file()]
    if ahead:
        raise UserError(
            f"{storage} contains {len(ahead)} results that {study.folder} lacks, such as {ahead[0]}: the study was "
            f"continued elsewhere; move {study.folder} away, then --resume --study {study.name} downloads it"
        )
    local, stored = study.folder / layout.JOURNAL, storage.read(layout.JOURNAL) or b""
    records = read_file(local) if local.is_file() else b""
    # It only grows, and the stored part was local before.
    if not records.startswith(stored[: len(records)]):
        raise UserError(
            f"{storage}/{layout.JOURNAL} and {local} record different trials: the study was continued in two places; "
            f"move {study.folder} away, then --resume --study {study.name} downloads the stored one, or choose another "
            "--storage to continue the local one"
        )
    if len(stored) > len(records):
        raise UserError(
            f"{storage}/{layout.JOURNAL} is longer than {local}: the local one has lost lines, or the study was "
            f"continued elsewhere; move {study.folder} away, then --resume --study {study.name} downloads it"
        )
