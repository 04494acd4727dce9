"""Locks exclude other processes, and a file system without them is named."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leukemia.base.errors import UserError
from leukemia.base.locks import locked


def test_lock_excludes_another_process(tmp_path: Path) -> None:
    path = tmp_path / "view.lock"
    attempt = f"import fcntl; fcntl.flock(open({str(path)!r}, 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with locked(path):
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
        held = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True)
    free = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True)
    assert "BlockingIOError" in held.stderr
    assert free.returncode == 0


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(stream: Any, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    message = rf"view.lock: its file system does not support locks \({os.strerror(number)}\), .*; set LEUKEMIA_CACHE or"
    with pytest.raises(UserError, match=message), locked(tmp_path / "view.lock"):
        pass


def test_the_lock_file_of_another_user_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cache shared by a group, another umask leaves files that only their owner can write."""
    path = tmp_path / "view.lock"
    path.touch()
    opened, refused = Path.open, set("aw")

    def refuse(self: Path, mode: str = "r", **given: Any) -> Any:
        if mode in refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, mode, **given)

    monkeypatch.setattr(Path, "open", refuse)
    with locked(path), pytest.raises(BlockingIOError), locked(path, wait=False):
        pass
    refused.add("r")
    with (
        pytest.raises(UserError, match=r"^cannot open the lock file .*view.lock \(Permission denied"),
        locked(path),
    ):
        pass


def test_a_name_that_is_too_long_is_to_be_shortened(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"\(File name too long\); give a shorter path$"),
        locked(tmp_path / ("a" * 300)),
    ):
        pass
