"""A mirrored study brought back to a disk, or held against the one that lies there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import make_folder
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import StudyInfo
from search.planning.resumption import check_study
from search.sampling.journal import begun_trials
from search.storage.checkpoints import CHECKPOINTS
from search.storage.filesystem import NoRoomHere, Storage, StorageFailed
from search.storage.lease import LEASE
from search.storage.leftovers import ASIDE, check_known, taken_over, trial_of

NUM_AT_ONCE = 8
"""Files on their way at once."""

OWN = (layout.LOCK, LEASE)
"""Files that are no part of a study."""


def rank_of(name: str) -> int:
    """In which order a study's files are stored: what commits a fold after all else, what ends a trial after that.

    >>> [rank_of(name) for name in ("recipe.json", "seed_0/fold_1.csv", "seed_0/fold_1.json", "state.json")]
    [0, 0, 1, 2]
    """
    file = name.rpartition("/")[2]
    if file in (layout.STATE, layout.FAILED):
        return 2
    return 1 if layout.fold_of(file) is not None else 0


def known_studies(storage: Storage) -> str:
    """What studies a storage holds, in words.

    Raises:
        StorageFailed: there is no knowing.
    """
    paths = [name.split("/") for name in storage.names()]
    names = sorted(path[0] for path in paths if len(path) == 2 and path[1] == layout.STUDY)
    return f"it holds {', '.join(names)}" if names else "it holds no study"


def fetch_study(storage: Storage, folder: Path) -> None:
    """Bring what the journal of the study in ``storage`` knows to ``folder``, whole or not at all.

    Raises:
        MissingFile: there is no study.
        UserError: ``folder`` is taken or cannot be written, or what is stored is damaged.
        StorageFailed: it breaks off.
    """
    names = [name for name in storage.names() if not name.startswith((f"{CHECKPOINTS}/", f"{ASIDE}/", "."))]
    if layout.STUDY not in names:
        raise MissingFile(f"no study at {storage}; correct --storage or --study")
    _refuse_clashes(storage, names)
    with _made(folder.parent):
        temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            (temporary / layout.TRIALS).mkdir(parents=True)
            with _named(storage, temporary):
                _fetch_known(storage, names, temporary)
                check_study(Study.open(temporary))
            # An empty folder gives way.
            temporary.rename(folder)
        except NoRoomHere as failure:
            raise UserError(
                f"the study cannot be put to {folder} ({failure}); make room, or name another --runs"
            ) from None
        except (UserError, StorageFailed):
            raise
        except OSError as error:
            raise UserError(
                f"the study cannot be put to {folder} ({error.strerror}); move that away, or name another --runs"
            ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _fetch_known(storage: Storage, names: list[str], temporary: Path) -> None:
    # The journal first: what is stored later may hold more than it knows, but never less.
    begun = (
        begun_trials(temporary / layout.JOURNAL) if storage.fetch(layout.JOURNAL, temporary / layout.JOURNAL) else set()
    )
    known = begun | taken_over(names)
    check_known(storage, names, known)
    wanted = [name for name in names if name not in (layout.JOURNAL, *OWN) and _is_of(name, known)]
    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        found = list(pool.map(lambda name: storage.fetch(name, temporary / name), wanted))
    if not all(found):
        raise StorageFailed(f"{wanted[found.index(False)]} was removed meanwhile; try again")


def _is_of(name: str, known: set[int]) -> bool:
    """Whether a file belongs to one of the known trials, or to no trial."""
    return not name.startswith(f"{layout.TRIALS}/") or trial_of(name) in known


def _refuse_clashes(storage: Storage, names: list[str]) -> None:
    """In a bucket a name may be that of a file and of a folder at once; on a disk it cannot."""
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    for name in sorted((folders | {layout.TRIALS}) & set(names) | folders & {layout.JOURNAL, layout.SPLITS}):
        kind = "a file" if name in (layout.JOURNAL, layout.SPLITS) else "a folder"
        raise UserError(f"{storage}/{name}: expected {kind}, found something else of that name; move that away")


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder that can be written; when anything fails, it and its parents go again if they were made here."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        make_folder(folder, "name another folder with --runs")
        yield
    except BaseException:
        for each in made:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise


@contextlib.contextmanager
def _named(storage: Storage, temporary: Path) -> Iterator[None]:
    """A file that is wrong is named where it is stored, not where it lies for a moment."""
    try:
        yield
    except UserError as mistake:
        raise type(mistake)(str(mistake).replace(str(temporary), str(storage))) from None


def compare(storage: Storage, study: Study) -> None:
    """Refuse a study that is not the one in ``storage``, or lacks some of it.

    Raises:
        UserError: how they differ.
        StorageFailed: there is no knowing.
    """
    with tempfile.TemporaryDirectory() as name, _named(storage, Path(name)):
        theirs = Path(name) / layout.STUDY
        if not storage.fetch(layout.STUDY, theirs):
            return
        uid = StudyInfo.read(theirs).study_uid
    if uid != study.info.study_uid:
        raise UserError(
            f"{storage} holds another study of this name (study_uid {uid}, here {study.info.study_uid}); give "
            "another --storage, or rename the folder of one of them"
        )
    ahead = [name for name in storage.names(layout.TRIALS) if rank_of(name) > 0 and not (study.folder / name).is_file()]
    if ahead:
        raise UserError(
            f"{storage} holds {len(ahead)} results that {study.folder} lacks, such as {ahead[0]}: the study went on "
            f"elsewhere; move {study.folder} away, and --resume --study {study.name} fetches it"
        )
    here, there = study.folder / layout.JOURNAL, storage.read(layout.JOURNAL) or b""
    # It only grows, and what is stored of it was here before.
    if len(there) > (here.stat().st_size if here.is_file() else 0):
        raise UserError(
            f"{storage}/{layout.JOURNAL} holds more than {here}: the one here lost lines, or the study went on "
            f"elsewhere; move {study.folder} away, and --resume --study {study.name} fetches it"
        )
