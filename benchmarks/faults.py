"""What a search on several nodes loses when one of them does: does it end with the undisturbed numbers, and how soon?

    python benchmarks/faults.py [--fault worker|node|notice|cut|head ...] [--runs DIR] [--seconds 120]

Three nodes of one processor each and a head without any, all on this machine (``ray.cluster_utils.Cluster``), and one
small search that joins them, three trials at once. It runs undisturbed; then once for each fault, which hits the node
of a trial that has begun:

worker  the process that trains is killed
node    the node is gone: its raylet and all its processes are killed
notice  the raylet gets SIGTERM, and two seconds later the node is gone: how a spot machine is taken away
cut     the node is cut off: its processes are stopped for ``--seconds``, then go on, as does a network that comes back
head    the whole cluster is gone, and with it study folder and checkpoints: another cluster resumes from ``--storage``

Checkpoints lie in a cache that all nodes share here, as they do with shared storage; in ``head`` they lie in a storage.
All numbers must be those of the undisturbed search (``kills.py``). Prints a table; status 1 if anything differs. Linux
only.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kills import ENVIRONMENT, SETTINGS, Family, Search, compared, kill, processes
from ray._private.node import Node
from ray.cluster_utils import Cluster

from leukemia.base.errors import FAILURE, SUCCESS, run_command
from leukemia.data.sample import TRAINING, generate
from leukemia.study.folder import Study
from leukemia.study.ledger import ledger_of
from search.launch.search import checkpoints_of
from search.planning.plan import JOURNAL

FAULTS = ("worker", "node", "notice", "cut", "head")
NUM_NODES, TRIALS, FOLDS, EPOCHS = 3, 3, 2, 4
NOTICE_SECONDS = 2.0

# Fewer trials than Optuna draws at random before it learns: then no recipe depends on who was quicker.
PLACE = ("--device", "cpu", "--cpus-per-trial", "1")
SEARCH = [
    *("--preset", "debug", "--trials", str(TRIALS), "--folds", str(FOLDS), "--repeats", "0", "--no-racing"),
    *(*PLACE, "--quiet"),
    *(word for key, value in {**SETTINGS, "train.epochs": EPOCHS}.items() for word in ("--set", f"{key}={value}")),
]


class ClusterSearch(Search):
    """A search on a cluster."""

    def __init__(self, folder: Path, family: Family, data: Path, address: str) -> None:
        super().__init__(folder, family, data)
        self.address = address

    def begin(self, *more: str) -> None:
        self.start_there("--data", str(self.data), *SEARCH, *more)

    def resume(self, *more: str) -> None:
        self.start_there("--resume", "--quiet", *PLACE, *more)

    def start_there(self, *words: str) -> None:
        """Start a search of this study on the cluster."""
        place = ("--study", self.folder.name, "--runs", str(self.folder.parent), "--address", self.address)
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "search.run", *words, *place],
                env=os.environ | ENVIRONMENT,
                stdout=output,
                stderr=output,
            )

    def epochs(self) -> dict[str, int]:
        """Epochs written so far, by trial."""
        return {
            path.parent.name: len(path.read_text().splitlines()) - 1 for path in self.folder.glob("trials/*/epochs.csv")
        }


@contextlib.contextmanager
def cluster_of(num_nodes: int) -> Iterator[Cluster]:
    """A head and nodes of one processor each, gone at the end."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, "include_dashboard": False})
    try:
        for _ in range(num_nodes):
            cluster.add_node(num_cpus=1, num_gpus=0)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def raylet_of(node: Node) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def workers_of(node: Node) -> list[int]:
    """Processes of trials on a node."""
    return [each.pid for each, parent in processes() if parent == raylet_of(node) and "ImplicitFunc" in each.title]


def below(node: Node) -> list[int]:
    """The node's raylet and all that it started."""
    found, running = {raylet_of(node)}, list(processes())
    size = 0
    while len(found) > size:
        size = len(found)
        found |= {each.pid for each, parent in running if parent in found}
    return sorted(found)


def end(cluster: Cluster, node: Node, pids: list[int]) -> None:
    """A machine that is switched off."""
    for pid in pids:
        kill(pid)
    cluster.remove_node(node, allow_graceful=False)


def strike(cluster: Cluster, node: Node, fault: str) -> list[int]:
    """Let the fault happen; returns the processes that go on later."""
    pids = below(node)
    if fault == "worker":
        kill(workers_of(node)[0])
    elif fault == "node":
        end(cluster, node, pids)
    elif fault == "notice":
        os.kill(raylet_of(node), signal.SIGTERM)
        time.sleep(NOTICE_SECONDS)
        end(cluster, node, pids)
    else:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids
    return []


def go_on(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def hit(search: ClusterSearch, fault: str, cluster: Cluster, cut_seconds: float) -> tuple[float, int]:
    """A search with a fault: seconds until each trial that ran was heard again, and the search's status."""
    search.begin()
    search.wait_until(lambda: len(search.epochs()) == TRIALS and min(search.epochs().values()) >= 1)
    node = next(node for node in cluster.list_all_nodes() if not node.head and workers_of(node))
    before = search.epochs()
    start = time.monotonic()
    stopped = strike(cluster, node, fault)
    heard: dict[str, float] = {}

    def again() -> bool:
        if stopped and time.monotonic() > start + cut_seconds:
            go_on(stopped)
        now = search.epochs()
        for trial in before:
            if now[trial] > before[trial]:
                heard.setdefault(trial, time.monotonic() - start)
        return len(heard) == len(before)

    try:
        search.wait_until(again)
        if stopped:
            time.sleep(max(0.0, start + cut_seconds - time.monotonic()))
    finally:
        go_on(stopped)
    return max(heard.values(), default=float("nan")), search.wait()


def lose(folder: Path, family: Family, data: Path, storage: Path) -> tuple[ClusterSearch, float, int]:
    """A search whose machines are lost, resumed on others; seconds until each trial came further, and the status."""
    stored = storage / folder.name

    def is_stored() -> bool:
        trials = [path.stat().st_mtime for path in stored.glob("trials/*/epochs.csv")]
        journal = stored / JOURNAL
        # The journal is the last of a round.
        return len(trials) == TRIALS and journal.exists() and journal.stat().st_mtime >= max(trials)

    with cluster_of(NUM_NODES) as cluster:
        search = ClusterSearch(folder, family, data, str(cluster.address))
        search.begin("--storage", str(storage))
        search.wait_until(is_stored)
        before = search.epochs()
        kill(search.process.pid)
        search.process.wait()
    shutil.rmtree(checkpoints_of(Study.open(folder)))
    shutil.rmtree(folder)
    with cluster_of(NUM_NODES) as cluster:
        search.address = str(cluster.address)
        start = time.monotonic()
        search.resume("--storage", str(storage))
        search.wait_until(
            lambda: len(now := search.epochs()) == TRIALS and all(now[trial] > before[trial] for trial in before)
        )
        seconds = time.monotonic() - start
        return search, seconds, search.wait()


def main(argv: list[str] | None = None) -> int:
    """The evidence run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie")
    parser.add_argument("--seconds", type=float, default=120.0, help="that a node is cut off (default: 120)")
    arguments = parser.parse_args(argv)
    prefix = f"faults-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    arguments.runs.mkdir(parents=True, exist_ok=True)
    cells = arguments.runs / f"{prefix}-cells"
    generate(cells, num_subjects=12, images_per_subject=4, num_test_images=2)
    storage = arguments.runs / f"{prefix}-storage"
    family, failed = Family(), False
    head = "| fault | heard again after, s | epochs repeated | device time repeated, s | numbers |"
    rows = [head, "|---|---|---|---|---|"]
    try:
        calm = arguments.runs / f"{prefix}-calm"
        for fault in ("calm", *arguments.fault):
            folder = arguments.runs / f"{prefix}-{fault}"
            if fault == "head":
                search, seconds, status = lose(folder, family, cells / TRAINING, storage)
            else:
                with cluster_of(NUM_NODES) as cluster:
                    search = ClusterSearch(folder, family, cells / TRAINING, str(cluster.address))
                    if fault == "calm":
                        search.begin()
                        if search.wait() != 0:
                            print(f"the undisturbed search failed; see {search.output}", file=sys.stderr)
                            return FAILURE
                        print(f"undisturbed: {sum(search.epochs().values())} epochs", flush=True)
                        continue
                    seconds, status = hit(search, fault, cluster, arguments.seconds)
            problems = [f"status {status}; see {search.output}"] if status else list(compared(calm, search.folder))
            study = Study.open(search.folder)
            repeated = sum(len(study.repeated(number)) for number in study.trials())
            redone = ledger_of(study).seconds["redone"]
            rows.append(f"| {fault} | {seconds:.0f} | {repeated} | {redone:.1f} | {'; '.join(problems) or 'equal'} |")
            print(rows[-1], flush=True)
            failed |= bool(problems)
            if not problems:
                shutil.rmtree(search.folder)
                search.output.unlink()
                shutil.rmtree(storage, ignore_errors=True)
    finally:
        family.end()
    print("\n".join(rows))
    return FAILURE if failed else SUCCESS


if __name__ == "__main__":
    run_command(main)
