"""What does a search lose when a node of its cluster fails? Its results, and how soon it continues.

    python -m benchmarks.faults.nodes [--fault worker|node|notice|cut|head ...] [--runs DIR] [--seconds 120]

A small search, three trials at once, runs on a cluster of this machine (``ray.cluster_utils.Cluster``): three nodes of
one CPU each and a head without CPUs. It runs undisturbed, then once for each fault, which hits the node of a trial that
has started:

worker  the process that trains is killed
node    the node fails: its raylet and all its processes are killed
notice  the raylet gets SIGTERM, and two seconds later the node fails, as when a spot machine is reclaimed
cut     the node is unreachable: its processes are stopped for ``--seconds``, then continue, as after a network failure
head    the whole cluster fails, with study folder and checkpoints; another cluster resumes from ``--storage``

Checkpoints are in a cache that all nodes share here, as with shared storage; for ``head`` they are in ``--storage``.
All results must equal those of the undisturbed search. Prints a table; status 1 if anything differs. Linux only.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
import time
from pathlib import Path

from ray.cluster_utils import Cluster

from benchmarks.faults.harness.cluster import NUM_TRIALS, busy_node, cluster_of, inject, place_on, search_on, unfreeze
from benchmarks.faults.harness.comparison import compare, repeated_epochs
from benchmarks.faults.harness.processes import ProcessTree, kill
from benchmarks.faults.harness.search import Search
from leukemia.base.errors import FAILURE, SUCCESS, run_command
from leukemia.data.sample import TRAINING, generate
from leukemia.study.folder import Study
from leukemia.study.layout import JOURNAL
from leukemia.study.ledger import ledger_of
from search.launch.local_checkpoints import checkpoints_of

FAULTS = ("worker", "node", "notice", "cut", "head")
NUM_NODES = 3


def hit(search: Search, fault: str, cluster: Cluster, cut_seconds: float) -> tuple[float, int]:
    """Run a search with a fault; returns the seconds until every trial has progressed, and the search's status."""
    search.start()
    search.wait_until(lambda: len(search.epochs()) == NUM_TRIALS and min(search.epochs().values()) >= 1)
    node, before = busy_node(cluster), search.epochs()
    start = time.monotonic()
    stopped = inject(cluster, node, fault)
    progressed: dict[str, float] = {}

    def all_progressed() -> bool:
        if stopped and time.monotonic() > start + cut_seconds:
            unfreeze(stopped)
        now = search.epochs()
        for trial in before:
            if now[trial] > before[trial]:
                progressed.setdefault(trial, time.monotonic() - start)
        return len(progressed) == len(before)

    try:
        search.wait_until(all_progressed)
        if stopped:
            time.sleep(max(0.0, start + cut_seconds - time.monotonic()))
    finally:
        unfreeze(stopped)
    return max(progressed.values(), default=float("nan")), search.wait()


def lose_head(folder: Path, tree: ProcessTree, data: Path, storage: Path) -> tuple[Search, float, int]:
    """Run a search whose cluster fails, and resume it on another; returns it, as ``hit`` with seconds and status."""
    stored = storage / folder.name

    def is_stored() -> bool:
        trials = [path.stat().st_mtime for path in stored.glob("trials/*/epochs.csv")]
        journal = stored / JOURNAL
        # The journal is uploaded last.
        return len(trials) == NUM_TRIALS and journal.exists() and journal.stat().st_mtime >= max(trials)

    with cluster_of(NUM_NODES) as cluster:
        search = search_on(cluster, folder, tree, data)
        search.start("--storage", str(storage))
        search.wait_until(is_stored)
        before = search.epochs()
        kill(search.process.pid)
        search.process.wait()
    shutil.rmtree(checkpoints_of(Study.open(folder).info))
    shutil.rmtree(folder)
    with cluster_of(NUM_NODES) as cluster:
        search.place = place_on(cluster)
        start = time.monotonic()
        search.resume("--storage", str(storage))
        search.wait_until(
            lambda: len(now := search.epochs()) == NUM_TRIALS and all(now[trial] > before[trial] for trial in before)
        )
        seconds = time.monotonic() - start
        return search, seconds, search.wait()


def main(argv: list[str] | None = None) -> int:
    """Run the undisturbed search, then one for each fault, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the studies")
    parser.add_argument("--seconds", type=float, default=120.0, help="duration of ``cut`` (default: 120)")
    arguments = parser.parse_args(argv)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    prefix = arguments.runs / f"nodes-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    cells, undisturbed, storage = (
        prefix.with_name(f"{prefix.name}-{part}") for part in ("cells", "undisturbed", "storage")
    )
    generate(cells, num_subjects=12, images_per_subject=4, num_test_images=2)
    data, tree, failed = cells / TRAINING, ProcessTree(), False
    rows = [
        "| fault | progress after, s | epochs repeated | device time repeated, s | results |",
        "|---|---|---|---|---|",
    ]
    try:
        with cluster_of(NUM_NODES) as cluster:
            search = search_on(cluster, undisturbed, tree, data)
            search.start()
            if search.wait() != 0:
                print(f"the undisturbed search failed; see {search.output}", file=sys.stderr)
                return FAILURE
        print(f"undisturbed: {sum(search.epochs().values())} epochs", flush=True)
        for fault in arguments.fault:
            folder = prefix.with_name(f"{prefix.name}-{fault}")
            if fault == "head":
                search, seconds, status = lose_head(folder, tree, data, storage)
            else:
                with cluster_of(NUM_NODES) as cluster:
                    search = search_on(cluster, folder, tree, data)
                    seconds, status = hit(search, fault, cluster, arguments.seconds)
            problems = [f"status {status}; see {search.output}"] if status else list(compare(undisturbed, folder))
            study = Study.open(folder)
            repeated, redone = repeated_epochs(study), ledger_of(study).seconds["redone"]
            rows.append(f"| {fault} | {seconds:.0f} | {repeated} | {redone:.1f} | {'; '.join(problems) or 'equal'} |")
            print(rows[-1], flush=True)
            failed |= bool(problems)
            if not problems:
                shutil.rmtree(folder)
                search.output.unlink()
                shutil.rmtree(storage, ignore_errors=True)
    finally:
        tree.kill()
    print("\n".join(rows))
    return FAILURE if failed else SUCCESS


if __name__ == "__main__":
    run_command(main)
