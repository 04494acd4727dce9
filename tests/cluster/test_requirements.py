"""Ray's requirements: each failure names its cause before Ray is started, or right after it has failed."""

from __future__ import annotations

import os
import pwd
import resource
from pathlib import Path

import pytest
import ray

from leukemia.base.errors import UserError
from search.cluster import requirements
from search.cluster.requirements import check_machine, likely_cause
from search.cluster.session import RayNotStarted, ray_session


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(requirements, "SHARED_MEMORY", tmp_path)


def test_this_machine_has_what_ray_needs() -> None:
    check_machine()
    assert likely_cause() is None


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_too_long_for_sockets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As Ray's session: 41 characters and the number of the process, less one digit.
    longest = 107 - len("/ray/session_2026-11-28_17-47-10_840709_/sockets/plasma_store") - len(str(os.getpid()))
    monkeypatch.setenv(name, "/tmp/" + (longest - 5) * "d")
    check_machine()
    monkeypatch.setenv(name, "/tmp/" + (longest - 4) * "d")
    with pytest.raises(UserError, match=r"^Ray's temporary folder /tmp/d+/ray is 1 bytes too long .*; set RAY_TMPDIR"):
        check_machine()


def test_the_search_refuses_before_ray_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda **given: pytest.fail("Ray is started"))
    monkeypatch.setenv("TMPDIR", "/tmp/" + 99 * "d")
    with pytest.raises(UserError, match=r"^Ray's temporary folder"), ray_session("local"):
        pass


def test_a_temporary_folder_that_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(requirements, "LONGEST_SOCKET", 1000)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"^Ray cannot write to .*/file/ray; set RAY_TMPDIR to a folder"):
        check_machine()


def test_a_home_directory_that_is_missing_or_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"^cannot write to the home directory .*/file, where Ray keeps its token"):
        check_machine()
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(UserError, match=r"^there is no home directory, where Ray keeps its token; set HOME"):
        check_machine()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123")
    check_machine()


def test_missing_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "SHARED_MEMORY", tmp_path / "shm")
    with pytest.raises(UserError, match=r"/shm is missing, where Ray shares memory .*; mount a tmpfs there"):
        check_machine()


@pytest.mark.parametrize(
    ("number", "soft", "message"),
    [
        (
            resource.RLIMIT_AS,
            4 * 10**9,
            "the limit of the address space is 4 GB, and .* 20 GB; .*`ulimit -v`",
        ),
        (resource.RLIMIT_FSIZE, 10**7, "the limit of the size of a file is 0.01 GB, and .* 10 GB; .*`ulimit -f`"),
        (resource.RLIMIT_NOFILE, 64, "the limit of open files is 64, and Ray needs about 1024; .*`ulimit -n`"),
        (resource.RLIMIT_NPROC, 40, "the limit of processes is 40, and Ray needs about 1000; .*`ulimit -u`"),
    ],
)
def test_a_limit_is_named_once_ray_has_failed(
    number: int, soft: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {number: (soft, soft)}
    infinity = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda each: limits.get(each, infinity))

    def fail(**given: object) -> None:
        raise RuntimeError("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(RayNotStarted, match=rf"^Ray did not start \(The current node timed out .*\); {message}"):
        ray_session("local").__enter__()
