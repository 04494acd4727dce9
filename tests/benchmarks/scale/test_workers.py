"""The scale benchmarks, in small: their searches complete, and wrong arguments are refused."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from helpers.needs import skip_for
from PIL import Image

from benchmarks.scale.autoscaling import why_not
from benchmarks.scale.measuring.calls import Call, Calls, series, spread
from benchmarks.scale.measuring.figure import CALLS, draw_scale
from benchmarks.scale.measuring.sleeping_search import idle_share, read_slept
from benchmarks.scale.workers import main
from leukemia.base.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "benchmarks.scale.workers"]
SMALL = ["--workers", "1", "3", "--trials", "9", "--rounds", "4", "--nodes", "2", "--seconds", "0.5", "--finished", "3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "4", "1"], "--workers: expected ascending numbers from 1 on, got 4 1"),
        (["--workers", "0"], "--workers: expected ascending numbers from 1 on, got 0"),
        (["--trials", "100"], "--trials: expected at least two for each of 64 workers, got 100"),
        (["--rounds", "1"], "--rounds: expected at least 2, got 1"),
        (["--nodes", "0"], "--nodes: expected at least 1, got 0"),
        (["--finished", "-1"], "--finished: expected at least 0, got -1"),
        (["--seconds", "nan"], "--seconds: expected more than 0 and at most 3600, got nan"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        main(arguments)


def test_workers_are_idle_while_they_do_not_sleep(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("0,4\n5,9\n")
    (tmp_path / "2.csv").write_text("2,6\n")
    slept = read_slept(tmp_path)
    assert [times.tolist() for times in slept] == [[[0, 4], [5, 9]], [[2, 6]]]
    assert idle_share(slept, 2, 6, 2) == pytest.approx(1 - (2 + 1 + 4) / 8)
    assert idle_share(slept, 0, 10, 2) == pytest.approx(1 - 12 / 20)
    assert math.isnan(idle_share(slept, 6, 6, 2)), "nothing was measured"


def test_calls_are_timed_and_named_by_what_they_return(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, cpu = iter([10.0, 12.0, 20.0, 25.0]), iter([1.0, 1.5, 2.0, 2.25])
    clock = SimpleNamespace(monotonic=lambda: next(wall), thread_time=lambda: next(cpu))
    monkeypatch.setattr("benchmarks.scale.measuring.calls.time", clock)
    calls = Calls(num_finished=7)
    assert calls.time(max, 0, 2, kind=lambda found: f"of {found}") == 2
    calls.num_finished += 1
    calls.time(min, 0, 2, kind=lambda found: f"of {found}")
    assert calls.by_kind == {"of 2": [Call(10.0, 2.0, 0.5, 7)], "of 0": [Call(20.0, 5.0, 0.25, 8)]}


def test_calls_are_summed_up_in_milliseconds() -> None:
    calls = [Call(0.0, number / 1000, number / 2000, number) for number in range(1, 101)]
    found = spread(calls)
    assert (found["count"], found["median"], found["max"], found["cpu_median"]) == (100, 50.5, 100, 25.25)
    assert found["p95"] == pytest.approx(95.05)
    assert [row[0] for row in series(calls, 50)] == [25.5, 75.5]
    assert series(calls, 100)[0] == pytest.approx([50.5, 50.5, 95.05, 25.25])


def made_up_run(workers: int) -> dict[str, Any]:
    calls = {kind: {"median": 3.0 * place + workers / 10, "p95": 40.0} for place, kind in enumerate(CALLS, 1)}
    asks = [[50.0 * part, 20.0 + part, 40.0 + part, 15.0 + part] for part in range(1, 40)]
    return {"workers": workers, "idle": workers / 500, "calls": calls, "ask_series": asks}


def test_the_figure_shows_every_number_of_workers(tmp_path: Path) -> None:
    for counts, name in (((1, 4, 16, 64), "four.png"), ((1, 4), "two.png")):
        draw_scale([made_up_run(count) for count in counts], tmp_path / name)
    pictures = [np.asarray(Image.open(tmp_path / name).convert("L")) for name in ("four.png", "two.png")]
    assert all(picture.std() > 10 for picture in pictures)
    assert not np.array_equal(*pictures)


@pytest.mark.long
def test_searches_on_simulated_nodes_complete(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*COMMAND, *SMALL, "--results", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        timeout=3600,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert [(run["workers"], run["trials"], run["nodes"]) for run in found["runs"]] == [(1, 4, 2), (3, 9, 2)]
    for run in found["runs"]:
        assert run["slept_seconds"] >= run["trials"] * 4 * 0.5
        counts = {kind: run["calls"][kind]["count"] for kind in ("begin", "epoch", "foldresult")}
        assert set(counts.values()) == {2 * run["trials"]}, "each trial has two folds of one epoch"
        assert run["calls"]["ask"]["max"] < run["calls"]["begin"]["max"]
        assert 0 < run["idle_whole"] < 1
    text = (tmp_path / "scale.md").read_text()
    assert "All 13 trials are complete" in text
    assert (tmp_path / "scale.png").is_file()


@pytest.mark.long
def test_nodes_start_and_stop_with_a_search() -> None:
    skip_for(why_not())
    command = [sys.executable, "-m", "benchmarks.scale.autoscaling"]
    ran = subprocess.run(
        [*command, "--trials", "4", "--nodes", "2", "--seconds", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=3600,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert 0 < found["first_up_seconds"] < found["seconds"]
    assert 1 <= found["nodes"] <= 2


@pytest.mark.slow
def test_an_interrupt_leaves_no_ray_behind() -> None:
    running = subprocess.Popen(
        [*COMMAND, *SMALL],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=ROOT,
        # Under pytest-xdist tests ignore interrupts, and their child processes would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    started = wait_for_raylets(running.pid, 3)
    assert started, "Ray did not start"
    os.killpg(running.pid, signal.SIGINT)
    output = running.communicate(timeout=1200)
    assert running.returncode == 130, output
    # Ray's agents notice the end of their node within a minute or two.
    _, alive = psutil.wait_procs(started, timeout=1200)
    assert not alive


def wait_for_raylets(pid: int, count: int, seconds: float = 1200) -> list[psutil.Process]:
    """All descendants of a process, once ``count`` of them are raylets."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and psutil.pid_exists(pid):
        below = psutil.Process(pid).children(recursive=True)
        if sum(process.name() == "raylet" for process in below) >= count:
            return below
        time.sleep(0.5)
    return []
