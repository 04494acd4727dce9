"""How far does a search scale? Trials that sleep, on many simulated nodes, as many workers as fit.

    python benchmarks/scale.py [--workers 1 4 16 64] [--trials 2000] [--rounds 15] [--nodes 32] [--seconds 5]
                               [--before 240] [--results DIR] [--json]

Each search runs in a process of its own on a Ray cluster whose nodes (``ray.cluster_utils.Cluster``) are processes of
this machine, with the driver, journal, study folder, searcher and scheduler of ``search.run --no-racing --repeats 0``;
its trials sleep before each of four reports and nothing else, and W&B is off (what it adds stands in ``overhead.py``
and ``outage.py``). No trial may fail: folder and journal have to hold all of them as complete, and no node be lost.

``--trials`` is for the largest number of workers; a smaller one gets ``--rounds`` trials for each of its workers. What
a decision takes grows with the trials that have ended: every study begins with ``--before`` finished ones, and of the
calls only those of the first trials after them are compared (``scale_search.EARLY``). The
driver's calls are timed from outside, by the clock and by the processor's time of its thread. A worker is idle while
it does not sleep: starting a trial, sending a report, and waiting for the driver. Its idle share is taken from when
the last worker has begun (PyTorch is imported by each, on the processors of one machine) until the last trial begins.

A worker takes 0.3 GB and a node 0.1 GB, 64 workers on 32 nodes 22 GB. Where 95 % of the memory is used, Ray ends
workers, and the search begins their trials again: that is no measurement. Swap space can take what sleeping workers
never look at; Ray, which does not see swap, is told to let them be by ``RAY_memory_monitor_refresh_ms=0``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from idle import MEASURED
from overhead import DROPPED, ENVIRONMENT
from scale_figure import LIMIT_MS, draw_scale
from scale_search import EARLY

from leukemia.base import provenance
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.files import read_json, write_text
from leukemia.training.device import describe_device

HERE = Path(__file__).resolve().parent

MONITOR = "RAY_memory_monitor_refresh_ms"
"""Environment variable of Ray: how often it looks whether workers take too much memory, 0 for never."""


def measure_apart(script: str, *arguments: object, before: Sequence[str] = ()) -> dict[str, Any]:
    """A script beside this one, in a process of its own, with the load that the machine had just before.

    Args:
        before: words that the command begins with.
    """
    load = os.getloadavg()[0]
    # Ray's sockets lie there, and the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="scale-", dir="/tmp") as folder:
        environment = {name: value for name, value in os.environ.items() if name not in DROPPED} | ENVIRONMENT
        environment |= {"RAY_TMPDIR": folder, "OMP_WAIT_POLICY": "passive"}
        command = [*before, sys.executable, str(HERE / script), folder, *map(str, arguments)]
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            # It has had the interrupt as well, and ends its Ray before itself.
            process.communicate()
            raise
        if process.returncode:
            raise RuntimeError(f"{script} ended with status {process.returncode}:\n{output}")
        return {**read_json(Path(folder) / MEASURED), "load": load}


def _describe(found: dict[str, Any], command: str, seconds: float) -> Iterator[str]:
    """The results as Markdown, a block each."""
    runs = found["runs"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    hardware = provenance.hardware(describe_device(torch.device("cpu")))
    yield "# How far a search scales"
    yield f"`{command}`"
    yield (
        f"Trials that sleep {found['seconds_per_report']:g} s before each of four reports, on {runs[-1]['nodes']} "
        "simulated nodes of one machine; the driver and all of Ray share its processors. Racing and W&B off. All "
        f"{sum(run['trials'] for run in runs):,} trials are complete, in the study folders as in the journals; no "
        f"process failed, no node was lost. Each study begins with {runs[0]['before']} finished trials; of the calls, "
        f"those of the {EARLY} trials after them are counted. Milliseconds are medians, with 95 % of the calls below "
        "the second number. "
        "Load is the mean number of processes that ran or waited in the minute before."
    )
    yield (
        f"{hardware['device']}, {hardware['processors']} processors, {hardware['system']}; {versions}; "
        f"commit {provenance.commit()}; {provenance.now()}."
    )
    yield "![The driver's time, idle workers, suggestions](scale.png)"
    yield "\n".join(
        [
            "| workers | trials | begin a trial, ms | of which Optuna | end a trial | hear an epoch | hear a fold |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {run['workers']} | {run['trials']:,} | "
                + " | ".join(_range(run["calls"][kind]) for kind in ("begin", "ask", "end", "epoch", "foldresult"))
                + " |"
                for run in runs
            ),
        ]
    )
    yield "\n".join(
        [
            "| workers | idle, all in flight | lost, s a trial | driver, s a trial | all in flight after, s "
            "| idle, whole search | driver's memory before, after, MB | load |",
            "|---|---|---|---|---|---|---|---|",
            *map(_row, runs),
        ]
    )
    yield from _describe_driver(runs[-1])
    if runs[-1]["memory"]:
        yield _describe_memory(runs[-1])
    yield f"{seconds:.0f} s."


def _range(spread: dict[str, float]) -> str:
    return f"{spread['median']:.1f} ({spread['p95']:.1f})"


def _row(run: dict[str, Any]) -> str:
    return (
        f"| {run['workers']} | {100 * run['idle']:.1f} % | {run['lost_seconds_per_trial']:.2f} "
        f"| {run['driver_seconds'] / run['trials']:.3f} | {run['ramp_seconds']:.0f} | {100 * run['idle_whole']:.1f} % "
        f"| {run['rss_before']:.0f}, {run['rss_after']:.0f} | {run['load']:.1f} |"
    )


def _describe_driver(run: dict[str, Any]) -> Iterator[str]:
    ask, each = run["last_asks"], run["driver_seconds"] / run["trials"]
    verdict = "met" if ask["median"] <= LIMIT_MS else "missed"
    yield (
        f"Optuna's suggestion takes {ask['median']:.0f} ms in the last {ask['count']} of all "
        f"{run['before'] + run['trials']:,} trials "
        f"(95 % within {ask['p95']:.0f} ms; {ask['cpu_median']:.0f} ms of the processor). At most "
        f"{LIMIT_MS} ms: {verdict}. Its records are forced to the disk once per suggestion, not one by one."
    )
    yield (
        f"The driver is busy {each:.3f} s per trial of {run['workers']} workers, one thing after the other: it keeps "
        f"N workers busy whose trials take longer than N times that, 64 from {64 * each:.0f} s and 256 from "
        f"{256 * each:.0f} s."
    )


def _describe_memory(run: dict[str, Any]) -> str:
    memory = run["memory"]
    total = sum(kind["total"] for kind in memory.values()) / 1024
    kinds = ", ".join(f"{kind['count']} {name} of {kind['megabytes']:.0f} MB" for name, kind in memory.items())
    nodes = sum(memory[name]["total"] for name in ("raylet", "agent") if name in memory) / 1024
    more = nodes + 256 * memory["worker"]["megabytes"] / 1024
    return (
        f"Memory with {run['workers']} workers in flight, shared pages divided among those who share them: {kinds}; "
        f"{total:.1f} GB of all. 256 workers on as many nodes would take {more:.0f} GB; this machine has "
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GB."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64], help="ascending (default: 1 4 16 64)")
    parser.add_argument("--trials", type=int, default=2000, help="of the most workers (default: 2000)")
    parser.add_argument("--rounds", type=int, default=15, help="trials per worker, of fewer workers (default: 15)")
    parser.add_argument("--nodes", type=int, default=32, help="beside the head (default: 32)")
    parser.add_argument("--seconds", type=float, default=5.0, help="a trial's sleep before each report (default: 5)")
    parser.add_argument("--before", type=int, default=240, help="finished trials of each study (default: 240)")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of table and figure")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def _checked(argv: list[str] | None) -> argparse.Namespace:
    arguments = _parser().parse_args(argv)
    for name, least in (("rounds", 2), ("nodes", 1), ("before", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name}: expected at least {least}, got {getattr(arguments, name)}")
    workers = arguments.workers
    if workers[0] < 1 or workers != sorted(set(workers)):
        raise UserError(f"--workers: expected ascending numbers from 1 on, got {' '.join(map(str, workers))}")
    if arguments.trials < 2 * workers[-1]:
        raise UserError(f"--trials: expected at least two for each of {workers[-1]} workers, got {arguments.trials}")
    if not 0 < arguments.seconds <= 3600:
        raise UserError(f"--seconds: expected more than 0 and at most 3600, got {arguments.seconds:g}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run a search per number of workers, write table and figure and say where they lie."""
    arguments = _checked(argv)
    start, runs = time.perf_counter(), []
    for count in arguments.workers:
        trials = arguments.trials if count == arguments.workers[-1] else arguments.rounds * count
        run = measure_apart("scale_search.py", count, trials, arguments.nodes, arguments.seconds, arguments.before)
        runs.append(run)
        print(
            f"{count} workers: {trials} trials in {run['seconds']:.0f} s, idle {100 * run['idle']:.1f} %, driver "
            f"{run['driver_seconds'] / trials:.3f} s a trial",
            flush=True,
        )
    found = {"seconds_per_report": arguments.seconds, "runs": runs}
    command = f"python benchmarks/scale.py {shlex.join(sys.argv[1:] if argv is None else argv)}".strip()
    if MONITOR in os.environ:
        command = f"{MONITOR}={os.environ[MONITOR]} {command}"
    text = "\n\n".join(_describe(found, command, time.perf_counter() - start)) + "\n"
    arguments.results.mkdir(parents=True, exist_ok=True)
    write_text(arguments.results / "scale.md", text)
    draw_scale(runs, arguments.results / "scale.png")
    print(text)
    print(arguments.results / "scale.md")
    if arguments.json:
        print(json.dumps(found))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
