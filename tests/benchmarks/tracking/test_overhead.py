"""The overhead benchmark: both sides run, and only complete W&B runs count."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.tracked import folders, make_study, run_trial

from benchmarks.tracking.overhead import main
from benchmarks.tracking.sides.offline_runs import num_complete
from leukemia.base.errors import UserError
from leukemia.tracking.tracker import WandbTracker

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "benchmarks.tracking.overhead"]


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(UserError, match=r"^--trials: expected at least 2, got 1$"):
        main(["--trials", "1"])


@pytest.mark.usefixtures("fresh_wandb")
def test_a_run_without_its_rows_or_its_end_does_not_count(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study")
    tracker = WandbTracker(study, mode="offline")
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    (run,) = folders(study)
    (log,) = run.glob("*.wandb")
    assert num_complete([run, run], 7) == 1, "six reports and the predictions, once"
    assert num_complete([run], 8) == 0
    content = log.read_bytes()
    for size in (len(content) - 5, len(content) // 2, 7):
        log.write_bytes(content[:size])
        assert num_complete([run], 1) == 0, f"cut to {size} bytes"
    log.unlink()
    assert num_complete([run], 1) == 0


@pytest.mark.long
def test_both_sides_are_measured(tmp_path: Path) -> None:
    small = ["--trials", "4", "--stock-trials", "4", "--repetitions", "1", "--open", "4"]
    ran = subprocess.run(
        [*COMMAND, *small, "--results", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        timeout=3600,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["seconds_per_trial"] > 0
    assert found["stock_seconds_per_trial"] > 0
    assert found["ratio"] == pytest.approx(found["seconds_per_trial"] / found["stock_seconds_per_trial"])
    assert found["open"]["runs"] == 4
    assert "| repetition | ours, s/trial |" in (tmp_path / "overhead.md").read_text()
