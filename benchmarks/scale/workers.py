"""How many workers does one driver keep busy? Searches of sleeping trials on many simulated nodes.

    python -m benchmarks.scale.workers [--workers 1 4 16 64] [--trials 2000] [--rounds 15] [--nodes 32] [--seconds 5]
                                       [--finished 240] [--results DIR] [--json]

Each search runs in its own process on a Ray cluster whose nodes (``ray.cluster_utils.Cluster``) are processes on this
machine, with the driver, journal, study folder, searcher and scheduler of ``search.run --no-racing --repeats 0``; its
trials only sleep before each of four reports, and W&B is off (``benchmarks.tracking`` measures it). No trial may fail:
study folder and journal must list all of them as complete, and no node may be lost.

``--trials`` applies to the largest number of workers; smaller ones run ``--rounds`` trials per worker. Decisions slow
down as trials finish, so every study starts with ``--finished`` finished trials, and only the calls of the next trials
are compared (``sleeping_search.EARLY``). The driver's calls are timed by wall clock and by the CPU time of its thread.
A worker is idle while it does not sleep: while it starts a trial, sends a report or waits for the driver. The idle
share is measured from the start of the last worker (each imports PyTorch, on the processors of one machine) until the
last trial starts.

A worker takes 0.3 GB and a node 0.1 GB; 64 workers on 32 nodes take 22 GB. Above 95 % of the memory Ray kills workers
and the search restarts their trials, which invalidates the measurement. Swap space can hold what sleeping workers do
not use; ``RAY_memory_monitor_refresh_ms=0`` keeps Ray, which ignores swap, from killing them.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.idle.process import measure_in_process
from benchmarks.scale.measuring.figure import LIMIT_MS, draw_scale
from benchmarks.scale.measuring.sleeping_search import EARLY
from leukemia.base import provenance
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.files import write_text
from leukemia.training.device import describe_device

HERE = Path(__file__).resolve().parent

MONITOR = "RAY_memory_monitor_refresh_ms"
"""Environment variable of Ray: interval in ms at which it checks the memory of workers, 0 for never."""


def _describe(found: dict[str, Any], command: str, seconds: float) -> Iterator[str]:
    """The results as blocks of Markdown."""
    runs = found["runs"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    hardware = provenance.hardware(describe_device(torch.device("cpu")))
    yield "# How many workers one driver keeps busy"
    yield f"`{command}`"
    yield (
        f"Trials that sleep {found['seconds_per_report']:g} s before each of four reports, on {runs[-1]['nodes']} "
        "simulated nodes of one machine; the driver and all of Ray share its processors. Racing and W&B are off. All "
        f"{sum(run['trials'] for run in runs):,} trials are complete in study folders and journals; no process failed, "
        f"no node was lost. Each study starts with {runs[0]['finished_before']} finished trials; call times are those "
        f"of the next {EARLY} trials, as median (95 % quantile). Load is the 1-minute load average before each search."
    )
    yield (
        f"{hardware['device']}, {hardware['processors']} processors, {hardware['system']}; {versions}; "
        f"commit {provenance.commit()}; {provenance.now()}."
    )
    yield "![Driver time, idle workers, suggestion time](scale.png)"
    yield "\n".join(
        [
            "| workers | trials | start a trial, ms | of which Optuna | end a trial | record an epoch "
            "| record a fold |",
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
            "| workers | idle, all running | lost, s/trial | driver, s/trial | all running after, s "
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
        f"In the last {ask['count']} of all {run['finished_before'] + run['trials']:,} trials Optuna's suggestion "
        f"takes {ask['median']:.0f} ms (95 % within {ask['p95']:.0f} ms; {ask['cpu_median']:.0f} ms of CPU time). "
        f"Target of at most {LIMIT_MS} ms: {verdict}. Its records are synced to disk once per suggestion, not one by "
        "one."
    )
    yield (
        f"With {run['workers']} workers the driver is busy for {each:.3f} s per trial, sequentially: it keeps N "
        f"workers busy if a trial takes more than N times as long, which is {64 * each:.0f} s for 64 workers and "
        f"{256 * each:.0f} s for 256."
    )


def _describe_memory(run: dict[str, Any]) -> str:
    memory = run["memory"]
    total = sum(kind["total"] for kind in memory.values()) / 1024
    kinds = ", ".join(f"{kind['count']} {name} of {kind['megabytes']:.0f} MB" for name, kind in memory.items())
    nodes = sum(memory[name]["total"] for name in ("raylet", "agent") if name in memory) / 1024
    more = nodes + 256 * memory["worker"]["megabytes"] / 1024
    return (
        f"Memory with {run['workers']} workers running (proportional set size): {kinds}; "
        f"{total:.1f} GB in total. 256 workers on as many nodes would take {more:.0f} GB; this machine has "
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GB."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64], help="ascending (default: 1 4 16 64)")
    parser.add_argument("--trials", type=int, default=2000, help="trials of the largest search (default: 2000)")
    parser.add_argument("--rounds", type=int, default=15, help="trials per worker of the others (default: 15)")
    parser.add_argument("--nodes", type=int, default=32, help="simulated nodes besides the head (default: 32)")
    parser.add_argument("--seconds", type=float, default=5.0, help="a trial's sleep before each report (default: 5)")
    parser.add_argument("--finished", type=int, default=240, help="finished trials at the start (default: 240)")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="output folder (default: results/)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def _checked(argv: list[str] | None) -> argparse.Namespace:
    arguments = _parser().parse_args(argv)
    for name, least in (("rounds", 2), ("nodes", 1), ("finished", 0)):
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
    """Run a search for each number of workers, write table and figure and print where they are."""
    arguments = _checked(argv)
    start, runs = time.perf_counter(), []
    for count in arguments.workers:
        trials = arguments.trials if count == arguments.workers[-1] else arguments.rounds * count
        run = measure_in_process(
            "benchmarks.scale.measuring.sleeping_search",
            *(count, trials, arguments.nodes, arguments.seconds, arguments.finished),
        )
        runs.append(run)
        print(
            f"{count} workers: {trials} trials in {run['seconds']:.0f} s, idle {100 * run['idle']:.1f} %, driver "
            f"{run['driver_seconds'] / trials:.3f} s/trial",
            flush=True,
        )
    found = {"seconds_per_report": arguments.seconds, "runs": runs}
    command = f"python -m benchmarks.scale.workers {shlex.join(sys.argv[1:] if argv is None else argv)}".strip()
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
