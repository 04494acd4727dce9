"""A mirrored study brought back to a disk, or held against the one that lies there."""

from __future__ import annotations

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leukemia.files import read_record, write_text
from leukemia.mistakes import MissingFile, Mistake
from leukemia.study import Study
from search.checkpoints import CHECKPOINTS
from search.lease import LEASE
from search.plan import JOURNAL
from search.searcher import begun_trials
from search.storage import Storage, StorageFailed

NUM_AT_ONCE = 8
"""Files on their way at once."""

OWN = ("driver.lock", LEASE)
"""Files that are no part of a study."""


def rank_of(name: str) -> int:
    """In which order a study's files are stored: what commits a fold after all else, what ends a trial after that.

    >>> [rank_of(name) for name in ("recipe.json", "seed_0/fold_1.csv", "seed_0/fold_1.json", "state.json")]
    [0, 0, 1, 2]
    """
    file = name.rpartition("/")[2]
    if file in ("state.json", "failed.json"):
        return 2
    return 1 if file.startswith("fold_") and file.endswith(".json") else 0


def known_studies(storage: Storage) -> str:
    """What studies a storage holds, in words.

    Raises:
        StorageFailed: there is no knowing.
    """
    paths = [name.split("/") for name in storage.names()]
    names = sorted(path[0] for path in paths if len(path) == 2 and path[1] == "study.json")
    return f"it holds {', '.join(names)}" if names else "it holds no study"


def fetch_study(storage: Storage, folder: Path) -> None:
    """Bring what the journal of the study in ``storage`` knows to ``folder``, whole or not at all.

    Raises:
        MissingFile: there is no study.
        Mistake: ``folder`` is taken.
        StorageFailed: it breaks off.
    """
    names = [name for name in storage.names() if not name.startswith((f"{CHECKPOINTS}/", "."))]
    if "study.json" not in names:
        raise MissingFile(f"no study at {storage}; correct --storage or --study")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        (temporary / "trials").mkdir(parents=True)
        # The journal first: what is stored later may hold more than it knows, but never less.
        begun = begun_trials(temporary / JOURNAL) if storage.fetch(JOURNAL, temporary / JOURNAL) else set()
        wanted = [name for name in names if name not in (JOURNAL, *OWN) and _is_of(name, begun)]
        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            found = list(pool.map(lambda name: storage.fetch(name, temporary / name), wanted))
        if not all(found):
            raise StorageFailed(f"{wanted[found.index(False)]} was removed meanwhile; try again")
        try:
            # An empty folder gives way.
            temporary.rename(folder)
        except OSError as error:
            raise Mistake(
                f"the study cannot be put to {folder} ({error.strerror}); move that away, or name another --runs"
            ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_of(name: str, begun: set[int]) -> bool:
    """Whether a file belongs to one of the begun trials, or to no trial."""
    parts = name.split("/")
    return parts[0] != "trials" or (parts[1].isdecimal() and int(parts[1]) in begun)


def compare(storage: Storage, study: Study) -> None:
    """Refuse a study that is not the one in ``storage``, or lacks some of it.

    Raises:
        Mistake: how they differ.
        StorageFailed: there is no knowing.
    """
    content = storage.read("study.json")
    if content is None:
        return
    theirs = study.folder / f".study.json.{uuid.uuid4().hex[:8]}.tmp"
    try:
        write_text(theirs, content.decode(errors="replace"))
        uid = read_record(theirs, {"study_uid": str})["study_uid"]
    finally:
        theirs.unlink(missing_ok=True)
    if uid != study.info["study_uid"]:
        raise Mistake(
            f"{storage} holds another study of this name (study_uid {uid}, here {study.info['study_uid']}); give "
            "another --storage, or rename the folder of one of them"
        )
    ahead = [name for name in storage.names("trials") if rank_of(name) > 0 and not (study.folder / name).is_file()]
    if ahead:
        raise Mistake(
            f"{storage} holds {len(ahead)} results that {study.folder} lacks, such as {ahead[0]}: the study went on "
            f"elsewhere; move {study.folder} away, and --resume --study {study.name} fetches it"
        )
