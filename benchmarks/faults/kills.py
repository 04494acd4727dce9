"""Does a search that is killed at a random moment end with the results of an undisturbed one?

    python -m benchmarks.faults.kills [--times 20] [--kind driver|trial|ray ...] [--pausing] [--places 1]
                                      [--runs DIR] [--name NAME] [--seed 0]

A small search on 48 generated images runs undisturbed. Then, ``--times`` times for each kind, the same search is hit by
``kill -9`` at a random moment: ``driver``, the process started by the user; ``trial``, a worker that trains; ``ray``,
Ray's raylet, its head process or both. If that ends the search, it is resumed with ``--resume``. All results must equal
those of the undisturbed search, and journal, study folder and W&B must agree. Trials run one at a time, so that their
order does not depend on timing.

With ``--pausing`` the search is larger, 12 trials of 3 folds and 8 epochs, so that trials wait at rungs. Each moment
is aimed at in turn: at a rung, as a waiting trial goes on, between two folds, and so on. Besides, no trial may be lost,
replaying the study folder must give all recorded decisions again, no checkpoint may be left, and nothing may be trained
twice but the epochs since the last checkpoint of the fold that was being trained.

With ``--places 2`` two folds are trained at a time. Which trials are proposed, and which go on, then depends on which
is faster: of the results, all folds of recipes that both searches have tried must be equal. Each epoch has a
checkpoint, so that only the running one may be trained twice.

Prints a line for each kill, a table of moments, and a line of JSON; status 1 if anything differs, and the study folders
that differ are kept. An interrupted benchmark is continued by the same command with its ``--name``. Linux only. A kill
takes about a minute on two idle cores, with ``--pausing`` some minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
from pathlib import Path

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.killed_searches import KilledSearches
from benchmarks.faults.harness.killing import TARGETS
from leukemia.base.errors import FAILURE, SUCCESS, UserError, run_command

SMALL = Case(trials=3, folds=2, repeats=1, epochs=3)
WITH_RUNGS = Case(trials=12, folds=3, repeats=1, epochs=8, pausing=True)


def main(argv: list[str] | None = None) -> int:
    """Run the undisturbed search, then kill the others and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, metavar="N", help="kills of each kind (default: 20)")
    parser.add_argument("--kind", nargs="+", choices=["driver", *TARGETS], default=["driver", *TARGETS])
    parser.add_argument("--pausing", action="store_true", help="kill a larger search whose trials wait at rungs")
    parser.add_argument("--places", type=int, default=1, metavar="N", help="folds trained at a time (default: 1)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the studies")
    parser.add_argument("--name", help="of the benchmark, to continue it (default: the time)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random moments (default: 0)")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise UserError(f"--times: expected at least 1, got {arguments.times}")
    if arguments.places > 1 and not arguments.pausing:
        raise UserError(f"--places: expected 1 without --pausing, got {arguments.places}")
    case = dataclasses.replace(WITH_RUNGS if arguments.pausing else SMALL, places=arguments.places)
    name = arguments.name or f"kills-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    arguments.runs.mkdir(parents=True, exist_ok=True)
    searches = KilledSearches(case, arguments.runs / name, seed=arguments.seed)
    is_kept = searches.run(arguments.kind, arguments.times)
    print("\n".join(searches.tally.table()))
    print(json.dumps(searches.tally.summary()))
    return SUCCESS if is_kept else FAILURE


if __name__ == "__main__":
    run_command(main)
