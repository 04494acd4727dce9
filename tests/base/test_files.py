"""Atomic writes, locks, disk-space checks, the cache directory, and how commands exit."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from leukemia.base import files
from leukemia.base.errors import MissingFile, UserError, listed, run_command
from leukemia.base.files import atomic, cache_dir, locked, make_folder, read_json, require_space, write_json, write_text


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def write_half() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match=r"failed"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "Zellen é.txt"
    write_text(path, "a longer text")
    write_text(path, "kürzer")
    assert path.read_bytes() == "kürzer".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trips_and_rejects_nan(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"score": 0.1 + 0.2, "none": None})
    assert read_json(path) == {"score": 0.1 + 0.2, "none": None}
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text())["none"] is None


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_an_error_about_damaged_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"best.json: expected JSON \(.*\); restore the file"):
        read_json(path)


def test_lock_excludes_another_process(tmp_path: Path) -> None:
    path = tmp_path / "view.lock"
    attempt = f"import fcntl; fcntl.flock(open({str(path)!r}, 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with locked(path):
        held = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True)
    free = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True)
    assert "BlockingIOError" in held.stderr
    assert free.returncode == 0


def test_too_little_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(10**9, 9 * 10**8, 10**8))
    require_space(tmp_path, 10**8, "the decoded images")
    with pytest.raises(
        UserError, match=r"^not enough disk space for the images: 2,500 MB needed in .*, 100 free; free"
    ):
        require_space(tmp_path, 25 * 10**8, "the images")


def test_a_folder_that_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(UserError, match=r"cannot create the folder .*file/deep \(Not a directory\); name another"):
        make_folder(in_the_way / "deep", "name another")
    monkeypatch.setenv("LEUKEMIA_CACHE", str(in_the_way))
    with pytest.raises(
        UserError, match=r"cannot create the folder .*file \(File exists\); set LEUKEMIA_CACHE to a folder"
    ):
        cache_dir()
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"cannot write to the folder .*; choose another"):
        make_folder(tmp_path, "choose another")


def test_cache_dir_follows_the_environment_variable_and_has_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert cache_dir().is_dir()
    monkeypatch.delenv("LEUKEMIA_CACHE")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_dir() == tmp_path / ".cache" / "leukemia"


def test_long_lists_are_truncated_with_a_count() -> None:
    assert listed(["a", "b"]) == "  a\n  b"
    assert listed(map(str, range(25))).splitlines()[-2:] == ["  19", "  ... and 5 more"]


def failing(error: BaseException) -> Callable[[list[str] | None], int]:
    def main(argv: list[str] | None) -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (UserError("no folder at X; name another"), 2, "error: no folder at X; name another\n"),
        (MissingFile("no file at Y"), 2, "error: no file at Y\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted; run the same command again\n"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "error: the disk is full (No space left on device); free",
        ),
    ],
)
def test_a_user_error_prints_one_line_and_sets_the_exit_status(
    error: BaseException, status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        run_command(failing(error))
    assert exited.value.code == status
    assert capsys.readouterr().err.startswith(text)


def test_internal_errors_are_not_caught() -> None:
    with pytest.raises(PermissionError):
        run_command(failing(PermissionError(errno.EACCES, "denied")))


def test_a_closed_output_pipe_is_not_an_error() -> None:
    code = "from leukemia.base.errors import run_command; run_command(lambda argv: print('a line') or 0)"
    # Buffered, as in a user's shell: the line is written only when the command exits.
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 0
