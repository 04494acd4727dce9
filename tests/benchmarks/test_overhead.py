"""The benchmark of what a search costs beside its training: both sides run, and only whole runs count."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tracked import folders, make_study, run_trial
from idle import num_whole

from leukemia.tracking.tracker import WandbTracker

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, str(ROOT / "benchmarks" / "overhead.py")]


def test_too_few_trials_are_refused() -> None:
    ran = subprocess.run([*COMMAND, "--trials", "1"], capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stderr == "error: --trials: expected at least 2, got 1\n"


@pytest.mark.usefixtures("fresh_wandb")
def test_a_run_without_its_rows_or_its_end_does_not_count(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    tracker = WandbTracker(study, mode="offline")
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    (run,) = folders(study)
    (log,) = run.glob("*.wandb")
    assert num_whole([run, run], 7) == 1, "six reports and the predictions, once"
    assert num_whole([run], 8) == 0
    content = log.read_bytes()
    for size in (len(content) - 5, len(content) // 2, 7):
        log.write_bytes(content[:size])
        assert num_whole([run], 1) == 0, f"cut to {size} bytes"
    log.unlink()
    assert num_whole([run], 1) == 0


@pytest.mark.slow
def test_both_sides_are_measured(tmp_path: Path) -> None:
    small = ["--trials", "4", "--stock-trials", "4", "--repetitions", "1", "--open", "4"]
    ran = subprocess.run(
        [*COMMAND, *small, "--results", str(tmp_path), "--json"], capture_output=True, text=True, timeout=3600
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["seconds_per_trial"] > 0
    assert found["stock_seconds_per_trial"] > 0
    assert found["ratio"] == pytest.approx(found["seconds_per_trial"] / found["stock_seconds_per_trial"])
    assert found["open"]["runs"] == 4
    assert "| repetition | ours, s a trial |" in (tmp_path / "overhead.md").read_text()
