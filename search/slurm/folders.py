"""Where a job's search keeps its study and cache: in shared folders if these have locks, else on the node's disk."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import cache_dir, make_folder
from leukemia.base.locks import lock
from search.planning.request import NO_STORAGE


def has_locks(folder: Path) -> bool:
    """Whether files in this folder, which is created if absent, can be locked: some file systems cannot."""
    make_folder(folder, "choose another folder with --runs")
    with tempfile.TemporaryFile("w", dir=folder) as stream:
        try:
            lock(stream)
        except UserError:
            return False
    return True


def without_locks(parsed: argparse.Namespace, folder: Path) -> tuple[list[str], list[str]]:
    """Further arguments of the search, and notes about them, if its folders have no locks; both are empty otherwise.

    The study is then written on the node's own disk and mirrored where it was to be; a cache without locks is replaced
    as well, by ``LEUKEMIA_CACHE``.

    Args:
        parsed: the arguments of the search.
        folder: the job's own, on the node's disk.
    """
    arguments, notes = [], []
    if not has_locks(cache_dir()):
        notes.append(f"{cache_dir()} has no file locks: this job keeps its cache in {folder}/cache")
        os.environ["LEUKEMIA_CACHE"] = str(folder / "cache")
    if not has_locks(parsed.runs):
        arguments += ["--runs", str(folder / "runs")]
        if parsed.storage in (None, NO_STORAGE):
            arguments += ["--storage", str(parsed.runs.absolute())]
        notes.append(f"{parsed.runs} has no file locks: the study is written in {folder}/runs and mirrored")
    return arguments, notes
