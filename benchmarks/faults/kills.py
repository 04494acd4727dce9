"""Does a search that is killed at a random moment end with the results of an undisturbed one?

    python -m benchmarks.faults.kills [--times 20] [--kind driver|trial|ray ...] [--runs DIR] [--seed 0]

A small search on 48 generated images runs undisturbed. Then, ``--times`` times for each kind, the same search is hit by
``kill -9`` at a random moment: ``driver``, the process started by the user; ``trial``, the worker that trains;
``ray``, Ray's raylet, its head process or both. If that ends the search, it is resumed with ``--resume``. All results
must equal those of the undisturbed search, and journal, study folder and W&B must agree. Trials run one at a time, so
that their order does not depend on timing.

Prints a line for each kill and a summary; status 1 if anything differs, and the study folders that differ are kept.
Linux only. A kill takes about a minute on two idle cores.
"""

from __future__ import annotations

import argparse
import datetime
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from benchmarks.faults.harness.comparison import compare, repeated_epochs
from benchmarks.faults.harness.processes import ProcessTree, kill
from benchmarks.faults.harness.records import differences
from benchmarks.faults.harness.search import Search, arguments_of
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import FAILURE, SUCCESS, UserError, run_command
from leukemia.data.sample import TRAINING, generate
from leukemia.study.folder import Study

SEARCH = arguments_of(trials=3, folds=2, repeats=1, epochs=3)
ONE_AT_A_TIME = ("--address", "local", "--cpus-per-trial", str(available_cpus()))

WORKER, RAYLET, HEAD = "ray::ImplicitFunc", "/raylet/raylet ", "/gcs/gcs_server "
TARGETS = {"trial": ((WORKER,),), "ray": ((RAYLET,), (HEAD,), (RAYLET, HEAD))}
"""Parts of the command lines of the processes to kill, by kind; one entry is drawn. The driver is known by its PID."""

EXPECTED = {"driver": (-signal.SIGKILL,), "trial": (0,), "ray": (0, 1)}
"""Status of the killed search; 0 for ``ray`` if the last trial had ended. A resumed search must end with 0."""


def kill_at_random(search: Search, kind: str, draw: random.Random, undisturbed: Study) -> str | None:
    """Start the search and kill at a random moment; returns a description, or None if the search ended first."""
    table = [row for number in undisturbed.trials() for row in undisturbed.epochs(number).to_dict("records")]
    epoch, delay = draw.randrange(len(table)), draw.random()
    parts = draw.choice(TARGETS[kind]) if kind in TARGETS else ()
    start = time.monotonic()
    search.start()
    first = search.folder / "trials" / "0000" / "recipe.json"
    # The driver may also be killed during start-up; Ray must be running first.
    if not search.wait_until(
        lambda: (
            sum(search.epochs().values()) >= epoch and (not parts or (first.exists() and search.processes_with(parts)))
        )
    ):
        return None
    # During the epoch or shortly after it, when folds are scored and committed.
    moment = time.monotonic() + delay * 1.2 * sum(row["seconds"] for row in table) / len(table)
    if not search.wait_until(lambda: time.monotonic() >= moment):
        return None
    pids = search.processes_with(parts) if parts else [search.process.pid]
    folds = search.num_folds()
    for pid in pids:
        kill(pid)
    target = "+".join(part.rpartition("/")[2].strip() for part in parts) if kind == "ray" else kind
    return f"{target} killed {time.monotonic() - start:.0f} s after the start, after {epoch} epochs and {folds} folds"


def run(search: Search, kind: str, draw: random.Random, undisturbed: Study) -> tuple[str, list[str]]:
    """One search, killed and completed: a description, and what is wrong."""
    description = kill_at_random(search, kind, draw, undisturbed)
    while description is None:
        # The search ended before the kill, which tests nothing: try another moment.
        search.wait()
        shutil.rmtree(search.folder)
        description = kill_at_random(search, kind, draw, undisturbed)
    start = time.monotonic()
    statuses = [search.wait()]
    description += f"; status {statuses[0]} {time.monotonic() - start:.0f} s later"
    if statuses[0] != 0:
        if (search.folder / "study.json").exists():
            search.resume()
        else:
            search.start()
        statuses.append(search.wait())
    if statuses[0] not in EXPECTED[kind] or statuses[-1] != 0:
        return description, [f"status {' and '.join(map(str, statuses))}; see {search.output}"]
    repeated = repeated_epochs(Study.open(search.folder))
    description += f", {'resumed, ' if len(statuses) > 1 else ''}{repeated} epochs repeated"
    return description, [*compare(undisturbed.folder, search.folder), *differences(search.folder)]


def main(argv: list[str] | None = None) -> int:
    """Run the undisturbed search, then kill the others and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, metavar="N", help="kills of each kind (default: 20)")
    parser.add_argument("--kind", nargs="+", choices=["driver", *TARGETS], default=["driver", *TARGETS])
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the studies")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random moments (default: 0)")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise UserError(f"--times: expected at least 1, got {arguments.times}")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    prefix = f"kills-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    tree, failed = ProcessTree(), 0
    cells = arguments.runs / f"{prefix}-cells"
    generate(cells, num_subjects=12, images_per_subject=4, num_test_images=2)

    def new_search(name: str) -> Search:
        return Search(arguments.runs / f"{prefix}-{name}", tree, cells / TRAINING, SEARCH, ONE_AT_A_TIME)

    try:
        first = new_search("undisturbed")
        first.start()
        if first.wait() != 0:
            print(f"the undisturbed search failed; see {first.output}", file=sys.stderr)
            return FAILURE
        undisturbed, problems = Study.open(first.folder), list(differences(first.folder))
        epochs = sum(first.epochs().values())
        print(f"undisturbed: {epochs} epochs, {first.num_folds()} folds", *problems, flush=True)
        for kind in arguments.kind:
            passed = 0
            for time_number in range(1, arguments.times + 1):
                search = new_search(f"{kind}-{time_number:02d}")
                draw = random.Random(f"{arguments.seed} {kind} {time_number}")
                description, problems = run(search, kind, draw, undisturbed)
                print(f"{kind} {time_number}: {description}: {'; '.join(problems) or 'equal'}", flush=True)
                passed += not problems
                if not problems:
                    shutil.rmtree(search.folder)
                    search.output.unlink()
            failed += arguments.times - passed
            print(f"{kind}: {passed} of {arguments.times} ended with the results of the undisturbed search", flush=True)
    finally:
        tree.kill()
    return FAILURE if failed else SUCCESS


if __name__ == "__main__":
    run_command(main)
