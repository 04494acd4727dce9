"""Does racing change the winner? Two searches of the same recipes with the same seeds on real images, one with racing.

    python -m benchmarks.racing.ablation DATA [--runs DIR]

DATA contains taleqani/train.csv. Prints device time and winner of both searches, and whether a recipe that the race
stopped would have won. Takes about 20 minutes on two idle cores without a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.faults.harness.records import differences
from leukemia.base.errors import FAILURE, SUCCESS, run_command
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.ledger import ledger_of

# Optuna draws the first ten trials at random, whatever the earlier scores: with eight, both recipe lists are the same.
SEARCH = (
    *("--trials", "8", "--folds", "4", "--repeats", "1", "--address", "local", "--preset", "debug"),
    *("--set", "data.size_px=32", "--set", "train.epochs=6", "--set", "model.depth=18", "--set", "model.shortcut=add"),
)


def search(data: Path, runs: Path, name: str, *more: str) -> Study:
    """Run a search as a user would and return its study."""
    place = ("--data", str(data / "taleqani" / "train.csv"), "--runs", str(runs), "--study", name)
    subprocess.run([sys.executable, "-m", "search.run", *place, *SEARCH, *more], check=True)
    return Study.open(runs / name)


def compare(unraced: Study, raced: Study) -> Iterator[str]:
    """One line per problem: recipes or scores that should be equal and are not, records that disagree."""
    if [unraced.recipe(number) for number in unraced.trials()] != [raced.recipe(number) for number in raced.trials()]:
        yield "the searches tried different recipes"
        return
    for number in raced.trials():
        for fold in set(raced.folds_done(number, 0)) & set(unraced.folds_done(number, 0)):
            if raced.fold(number, 0, fold).scores != unraced.fold(number, 0, fold).scores:
                yield f"trial {number:04d}, fold {fold}: the scores differ"
    for study in (unraced, raced):
        yield from (f"{study.name}: {line}" for line in differences(study.folder))


def describe(unraced: Study, raced: Study) -> Iterator[str]:
    """Winner and device time of both searches, and what the stopped recipes scored without racing."""
    for study in (unraced, raced):
        best = Best.load(study.folder / "best.json")
        headline = best.score.headline.interval.to_dict()
        yield f"{study.name}: winner {best.trial}, raw {best.score.raw:.4f}, headline {headline}"
        yield f"  {ledger_of(study).describe()}"
    scores: dict[int, float | None] = {
        number: end.score for number in unraced.trials() if (end := unraced.end(number)) is not None
    }
    yield f"scores without racing: { {number: score and round(score, 4) for number, score in scores.items()} }"
    ends = {number: end for number in raced.trials() if (end := raced.end(number)) is not None}
    stopped = [number for number, end in ends.items() if end.state == "stopped"]
    for number in stopped:
        yield f"stopped {number:04d}: {ends[number].reason}; without racing it scored {scores.get(number)}"
    winner = max((score, -number) for number, score in scores.items() if score is not None)
    yield f"a stopped recipe would have won: {'yes' if -winner[1] in stopped else 'no'}"


def main(argv: list[str] | None = None) -> int:
    """Run both searches and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that contains taleqani/")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the studies")
    arguments = parser.parse_args(argv)
    name = f"ablation-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    unraced = search(arguments.data, arguments.runs, f"{name}-unraced", "--no-racing")
    raced = search(arguments.data, arguments.runs, f"{name}-raced")
    print(*describe(unraced, raced), sep="\n")
    problems = list(compare(unraced, raced))
    print("\n".join(problems) or "every fold that both ran has equal scores, and all records agree")
    return FAILURE if problems else SUCCESS


if __name__ == "__main__":
    run_command(main)
