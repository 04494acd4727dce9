"""Shared folders without file locks."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import IO

import pytest

from search.launch.arguments import parse
from search.slurm.folders import has_locks, without_locks


@pytest.fixture
def lockless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which files cannot be locked, as on Lustre without ``flock``."""
    folder, flock = tmp_path / "lustre", fcntl.flock
    folder.mkdir()

    def refuse(stream: IO[str], operation: int) -> None:
        if Path(f"/proc/self/fd/{stream.fileno()}").readlink().is_relative_to(folder):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        flock(stream, operation)

    monkeypatch.setattr(fcntl, "flock", refuse)
    return folder


def test_locks_are_tried(lockless: Path, tmp_path: Path) -> None:
    assert has_locks(tmp_path / "new")
    assert not has_locks(lockless)
    assert [*(tmp_path / "new").iterdir(), *lockless.iterdir()] == []


def test_folders_with_locks_are_used(lockless: Path, tmp_path: Path) -> None:
    assert without_locks(parse(["--runs", str(tmp_path / "runs")]), tmp_path / "job") == ([], [])


def test_a_study_is_mirrored_to_a_folder_without_locks(
    lockless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(lockless / "cache"))
    arguments, notes = without_locks(parse(["--runs", str(lockless / "runs")]), tmp_path / "job")
    assert arguments == ["--runs", f"{tmp_path}/job/runs", "--storage", f"{lockless}/runs"]
    assert os.environ["LEUKEMIA_CACHE"] == f"{tmp_path}/job/cache"
    assert [note.split(" has no file locks: ")[1] for note in notes] == [
        f"this job keeps its cache in {tmp_path}/job/cache",
        f"the study is written in {tmp_path}/job/runs and mirrored",
    ]


def test_a_storage_of_the_users_stays(lockless: Path, tmp_path: Path) -> None:
    parsed = parse(["--runs", str(lockless / "runs"), "--storage", "s3://bucket/folder"])
    assert without_locks(parsed, tmp_path / "job")[0] == ["--runs", f"{tmp_path}/job/runs"]
