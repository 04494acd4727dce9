"""Does the whole pipeline work on real images? Search, kill, resume, retrain and score on Taleqani's data set.

    python -m benchmarks.training.taleqani DATA [--runs DIR]

DATA contains taleqani/train.csv and taleqani/test.csv. A search on train.csv is killed when 8 of its 18 folds are done
and resumed; journal, study folder and W&B are compared; the winner is retrained and scored on test.csv together with
the retrained starting recipe. Status 1 unless the winner reaches a balanced accuracy of 0.93 and is not worse than the
starting recipe by more than 5 points. Takes about 30 minutes on two cores without a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.faults.harness.records import differences
from leukemia.base.errors import FAILURE, SUCCESS, run_command
from leukemia.base.files import read_json

# Small views and few epochs, so that two CPU cores suffice; depth and shortcut are fixed for the same reason.
SEARCH = (
    *("--trials", "6", "--folds", "3", "--set", "data.size_px=64", "--set", "train.epochs=10"),
    *("--set", "model.depth=18", "--set", "model.shortcut=add"),
)

FOLDS_BEFORE_KILL = 8

MIN_ACCURACY = 0.93
"""Required balanced accuracy of the winner on test.csv."""

MIN_DIFFERENCE = -0.05
"""Required lower bound of the winner's balanced accuracy minus that of the retrained starting recipe."""


def search_and_kill(command: list[str], study: Path) -> None:
    """Start a search and kill it with ``kill -9`` halfway.

    Raises:
        RuntimeError: the search ended before that.
    """
    driver = subprocess.Popen(command)
    while len(list(study.glob("trials/*/seed_*/fold_*.json"))) < FOLDS_BEFORE_KILL:
        if driver.poll() is not None:
            raise RuntimeError(f"the search ended with status {driver.returncode} before it could be killed")
        time.sleep(1)
    driver.kill()
    print(f"driver killed, status {driver.wait()}")


def main(argv: list[str] | None = None) -> int:
    """Run the pipeline and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that contains taleqani/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the study")
    arguments = parser.parse_args(argv)
    name = f"taleqani-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    study, data = arguments.runs / name, arguments.data / "taleqani"
    search = [sys.executable, "-m", "search.run", "--runs", str(arguments.runs), "--study", name]
    search_and_kill([*search, "--data", str(data / "train.csv"), *SEARCH], study)
    subprocess.run([*search, "--resume"], check=True)
    problems = list(differences(study))
    print("\n".join(problems) or "journal, study folder and W&B agree")
    final = [sys.executable, "-m", "leukemia.final", "--best", name, "--runs", str(arguments.runs)]
    subprocess.run([*final, "--test", str(data / "test.csv"), "--against-start"], check=True)
    metrics = read_json(study / "final" / "metrics.json")
    accuracy, difference = metrics["test"]["balanced_accuracy"], metrics["difference"]["balanced_accuracy"]
    print(f"balanced accuracy {accuracy['value']:.4f} ({accuracy['low']:.4f} to {accuracy['high']:.4f})")
    print(f"required: {MIN_ACCURACY}")
    print(
        f"minus the starting recipe {difference['value']:+.4f} ({difference['low']:+.4f} to {difference['high']:+.4f})"
    )
    print(f"required: lower bound above {MIN_DIFFERENCE}")
    passed = accuracy["value"] >= MIN_ACCURACY and difference["low"] > MIN_DIFFERENCE
    return SUCCESS if passed and not problems else FAILURE


if __name__ == "__main__":
    run_command(main)
