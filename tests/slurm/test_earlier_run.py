"""A requeued job waits for the lock that an earlier run may have left on a file server."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.base.locks import owned
from search.launch.arguments import parse
from search.slurm import earlier_run
from search.slurm.earlier_run import wait_for_lock

RESUME = "sbatch cluster.slurm --resume --study first"


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Arguments of a search whose study another process has locked before; time is not waited for."""
    (tmp_path / "first").mkdir()
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(earlier_run, "time", argparse.Namespace(sleep=sleep, monotonic=lambda: clock[0]))
    return parse(["--runs", str(tmp_path), "--study", "first"])


def test_a_study_that_is_free(parsed: argparse.Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    wait_for_lock(parsed, RESUME)
    (parsed.runs / "first" / "driver.lock").write_text("process 7 on n1\n")
    wait_for_lock(parsed, RESUME)
    assert capsys.readouterr().out == ""
    assert (parsed.runs / "first" / "driver.lock").read_text() == "process 7 on n1\n"


def test_a_lock_that_is_let_go(
    parsed: argparse.Namespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = owned(parsed.runs / "first" / "driver.lock", "the study is being run", "wait")
    lock.__enter__()
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            lock.__exit__(None, None, None)

    monkeypatch.setattr(earlier_run.time, "sleep", sleep)
    wait_for_lock(parsed, RESUME)
    assert len(naps) == 2
    printed = capsys.readouterr().out
    assert printed.startswith("study first is locked by process ")
    assert printed.endswith(": waiting up to 180 s\n")


def test_a_lock_that_stays(parsed: argparse.Namespace) -> None:
    started = time.monotonic()
    with (
        owned(parsed.runs / "first" / "driver.lock", "the study is being run", "wait"),
        pytest.raises(
            UserError, match=r"^study first is still locked by process \d+ on \S+, 180 s after .*, then `sbatch"
        ),
    ):
        wait_for_lock(parsed, RESUME)
    assert time.monotonic() - started < 60
