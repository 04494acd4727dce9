"""Atomic writes, disk-space checks, the cache directory, and how commands exit."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pwd
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from leukemia.base import files
from leukemia.base.errors import MissingFile, UserError, listed, run_command
from leukemia.base.files import (
    atomic,
    cache_dir,
    make_folder,
    read_json,
    require_space,
    require_writable,
    write_json,
    write_text,
)
from leukemia.base.record import read_record
from leukemia.config.recipe import Recipe


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


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_rename_is_synced_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    synced: list[Path] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_text(tmp_path / "study.json", "{}")
    assert synced[-1] == tmp_path
    with files.atomic_folder(tmp_path / "study") as folder:
        (folder / "a.txt").touch()
    assert synced[-1] == tmp_path

    def fail(descriptor: int) -> None:
        note(descriptor)
        if synced[-1] == tmp_path:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    expected = contextlib.nullcontext() if number == errno.EINVAL else pytest.raises(OSError, match="Input/output")
    with expected:
        write_text(tmp_path / "study.json", "{}")


def test_json_round_trips_and_rejects_nan(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"score": 0.1 + 0.2, "none": None})
    assert read_json(path) == {"score": 0.1 + 0.2, "none": None}
    with pytest.raises(ValueError, match=r"not JSON compliant"):
        write_json(path, float("nan"))
    assert json.loads(path.read_text())["none"] is None


@dataclass(frozen=True)
class Record:
    """Any record."""


@pytest.mark.parametrize("read", [read_json, functools.partial(read_record, Record), Recipe.load])
def test_pipes_and_devices_are_not_read(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    for kind in ("pipe", "device"):
        with pytest.raises(UserError, match=rf"{kind}.json: cannot be read \(a {kind}, not a file\); restore"):
            read(tmp_path / f"{kind}.json")


def test_pretrained_weights_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "resnet18.pth")
    recipe = Recipe().with_settings({"model.pretrained": str(tmp_path / "resnet18.pth")})
    with pytest.raises(MissingFile, match=r"^model.pretrained: no file at .*resnet18.pth; give the path"):
        recipe.resolved([(64, 64)])


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_an_error_about_damaged_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"best.json: expected JSON \(.*\); restore the file"):
        read_json(path)


def test_too_little_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(10**9, 9 * 10**8, 10**8))
    require_space(tmp_path, 10**8, "the decoded images")
    with pytest.raises(
        UserError, match=r"^not enough disk space for the images: 2,500 MB needed in .*, 100 MB free; free"
    ):
        require_space(tmp_path, 25 * 10**8, "the images")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 0))
    with pytest.raises(UserError, match=r"0.025 MB needed in .*, 0 MB free; free"):
        require_space(tmp_path, 24_800, "the images")


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
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "leukemia"


def test_cache_dir_is_absolute_and_tilde_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEUKEMIA_CACHE", "cache")
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("LEUKEMIA_CACHE", "~/cache")
    assert cache_dir() == tmp_path / "home" / "cache"
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("named", ["", "~/cache"])
def test_cache_dir_without_a_home_directory(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setenv("LEUKEMIA_CACHE", named)
    with pytest.raises(UserError, match=r"^cannot use the folder ~/.*cache.* \(.*home.*\); set LEUKEMIA_CACHE"):
        cache_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"^cannot write to .* \(Read-only file system\); make it writable, or copy it"):
        require_writable(tmp_path)


def test_too_few_free_inodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = namedtuple("status", "f_files f_favail")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(10**9, 0, 10**9))
    monkeypatch.setattr(files.os, "statvfs", lambda folder: status(10**6, 99))
    with pytest.raises(UserError, match=r"^not enough free inodes for the images: the disk of .* can hold 99 more"):
        require_space(tmp_path, 1, "the images")
    # As btrfs reports it.
    monkeypatch.setattr(files.os, "statvfs", lambda folder: status(0, 0))
    require_space(tmp_path, 1, "the images")


def test_long_lists_are_shortened_and_are_whole_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    assert listed(["a", "b"]) == "  a\n  b"
    assert len(listed(map(str, range(10))).splitlines()) == 10
    assert not (tmp_path / "cache").exists()
    items = [*map(str, range(24)), "x\ny"]
    lines = listed(items).splitlines()
    assert lines[-2] == "  9"
    start, _, path = lines[-1].rpartition(" ")
    assert start == "  ... and 15 more; all 25 are in"
    assert Path(path).read_text() == "\n".join([*items[:-1], r"x\ny"]) + "\n"


def test_few_whole_lists_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    for number in range(13):
        text = listed(map(str, range(number, number + 20)))
        assert listed(map(str, range(number, number + 20))) == text
    kept = list((tmp_path / "cache" / "lists").iterdir())
    assert len(kept) == 10
    assert Path(text.rpartition(" ")[2]) in kept


def test_without_a_cache_long_lists_are_only_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "file"))
    assert listed(map(str, range(25))).splitlines()[-1] == "  ... and 15 more of 25"


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
            "error: No space left on device; free some space or files, or set LEUKEMIA_CACHE or --runs to",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "cache/x.npy"),
            2,
            "error: cache/x.npy: Permission denied; make it accessible, or choose another path\n",
        ),
        (OSError(errno.EFBIG, "File too large"), 2, "error: File too large; raise the limit of a file's size"),
        (MemoryError(), 2, "error: out of memory; free some memory"),
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
    with pytest.raises(ChildProcessError):
        run_command(failing(ChildProcessError(errno.ECHILD, "No child processes")))


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
