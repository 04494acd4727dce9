"""What does a search cost beside its training? Trials that do nothing, tracked, against stock Ray Tune's.

    python benchmarks/overhead.py [--trials 100] [--stock-trials 20] [--repetitions 3] [--open 500]
                                  [--results DIR] [--json]

Two trials run at a time, and each only reports: an epoch and a finished fold, twice. *Ours* is what ``search.run``
runs: driver, journal, study folder, searcher and scheduler, the worker processes, one W&B run per trial and one for the
search. *Stock* is ``ray.tune.Tuner`` with ``OptunaSearch`` over the same number of parameters and
``WandbLoggerCallback``, all else as it comes; its trials report the same number of times, eight numbers each. W&B is
offline for both, and every run is looked at afterwards: it is whole when it holds the trial's reports and its end.

The clock runs from the first step that is there for trials only (opening the tracker, making the tuner) until the
last run is closed. Starting Ray and importing come before, on both sides; starting worker processes and W&B's own is
inside, since it is how often this happens that differs. Ours is charged for PyTorch, which its workers import, stock is
not. The sides take turns in processes of their own, so that other load on the machine hits both; a ratio is of
neighbours.

``--open`` opens so many runs at once, logs an epoch and a fold to each and ends them all.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from idle import IMAGES_PER_SUBJECT, MEASURED, NUM_REPORTS, NUM_SUBJECTS, NUM_WORKERS

from leukemia.base import provenance
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.files import read_json, write_text
from leukemia.training.device import describe_device

HERE = Path(__file__).resolve().parent

TARGET = 1 / 8
"""Time of a trial over stock's that is asked for."""

ENVIRONMENT = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray keeps to loopback when it is part of no cluster.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "OMP_NUM_THREADS": "1",
}
DROPPED = ("RAY_ADDRESS", "WANDB_API_KEY", "WANDB_DIR", "WANDB_PROJECT", "WANDB_RUN_GROUP")


def _measure(side: str, count: int) -> dict[str, Any]:
    """One side in a process of its own, with the load that the machine had just before."""
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED} | ENVIRONMENT
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        # Ours makes Tune silent for its whole process, and stock shall be as it comes.
        command = [sys.executable, str(HERE / f"idle_{side}.py"), folder, str(count)]
        # Runs that nobody gave a folder go into this one.
        ended = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if ended.returncode:
            raise RuntimeError(f"{side} ended with status {ended.returncode}:\n{ended.stdout}")
        found = read_json(Path(folder) / MEASURED)
    # What stock leaves out is for its reader to know.
    if found["runs"] != count and side != "stock":
        raise RuntimeError(f"{side}: expected {count} whole runs in W&B, found {found['runs']}:\n{ended.stdout}")
    return {**found, "count": count, "load": load, "seconds_per_trial": found["seconds"] / count}


def _summarize(pairs: Sequence[dict[str, Any]], opened: dict[str, Any] | None) -> dict[str, Any]:
    """Medians over the repetitions, with their range."""
    ours, stock = ([pair[side]["seconds_per_trial"] for pair in pairs] for side in ("ours", "stock"))
    ratios = [mine / theirs for mine, theirs in zip(ours, stock, strict=True)]
    return {
        "seconds_per_trial": statistics.median(ours),
        "stock_seconds_per_trial": statistics.median(stock),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "target": TARGET,
        "repetitions": list(pairs),
        "open": opened,
    }


def _describe(found: dict[str, Any], command: str, seconds: float) -> Iterator[str]:
    """The results as Markdown, a block each."""
    pairs = found["repetitions"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    hardware = provenance.hardware(describe_device(torch.device("cpu")))
    low, high = found["ratio_range"]
    yield "# What a search costs beside its training"
    yield f"`{command}`"
    yield (
        f"Trials that do nothing but report, tracked by W&B (offline), {NUM_WORKERS} at a time. Each repetition runs "
        f"ours with {pairs[0]['ours']['count']} trials, then stock Ray Tune (`OptunaSearch`, `WandbLoggerCallback`, "
        f"all else as it comes) with {pairs[0]['stock']['count']}; {NUM_REPORTS} reports a trial. Ours also writes and "
        f"tracks the predictions of {NUM_SUBJECTS * IMAGES_PER_SUBJECT} images. All on one machine in one run; load is "
        "the mean number of processes that ran or waited in the minute before."
    )
    yield (
        f"{hardware['device']}, {hardware['processors']} processors, {hardware['system']}; {versions}; "
        f"commit {provenance.commit()}."
    )
    yield "\n".join(
        [
            "| repetition | ours, s a trial | load | stock, s a trial | load | ratio |",
            "|---|---|---|---|---|---|",
            *(
                f"| {number} | {ours['seconds_per_trial']:.3f} | {ours['load']:.1f} | {stock['seconds_per_trial']:.2f} "
                f"| {stock['load']:.1f} | {ours['seconds_per_trial'] / stock['seconds_per_trial']:.3f} |"
                for number, (ours, stock) in enumerate(((pair["ours"], pair["stock"]) for pair in pairs), 1)
            ),
            f"| median | {found['seconds_per_trial']:.3f} | | {found['stock_seconds_per_trial']:.2f} | "
            f"| {found['ratio']:.3f} ({low:.3f} to {high:.3f}) |",
        ]
    )
    verdict = "met" if found["ratio"] <= TARGET else "missed"
    yield f"At most {TARGET:g} of stock's time a trial: {verdict}; stock takes {1 / found['ratio']:.1f} times ours."
    lost = [pair["stock"]["count"] - pair["stock"]["runs"] for pair in pairs]
    yield (
        "Every trial of ours has its whole run on the disk; of stock's trials those without one are, by repetition: "
        f"{', '.join(map(str, lost))}."
    )
    if found["open"] is not None:
        yield _describe_open(found["open"])
    yield f"{seconds:.0f} s."


def _describe_open(opened: dict[str, Any]) -> str:
    each = {name: 1000 * opened[f"{name}_seconds"] / opened["count"] for name in ("open", "log", "end")}
    return (
        f"{opened['count']} runs open at once: {sum(each.values()):.0f} ms a run, of which {each['open']:.0f} to open, "
        f"{each['log']:.0f} to log an epoch and a fold, {each['end']:.0f} to end, each with its files in the study "
        f"folder. With all of them open W&B's process has {opened['wandb_megabytes']:.0f} MB and "
        f"{opened['wandb_files']} open files, the search {opened['own_megabytes']:.0f} MB and {opened['own_files']}. "
        f"All {opened['runs']} are whole on the disk. Load {opened['load']:.1f}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="of ours, in each repetition (default: 100)")
    parser.add_argument(
        "--stock-trials", type=int, default=20, help="of stock, in each repetition, at 2.6 s or more (default: 20)"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="of both sides, by turns (default: 3)")
    parser.add_argument("--open", type=int, default=0, metavar="N", help="also open N runs at once")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the table")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Measure both sides by turns, write the table and say where it lies."""
    arguments = _parser().parse_args(argv)
    for name, least in (("trials", 2), ("stock_trials", 2), ("repetitions", 1), ("open", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name.replace('_', '-')}: expected at least {least}, got {getattr(arguments, name)}")
    start, pairs = time.perf_counter(), []
    for number in range(1, arguments.repetitions + 1):
        pair = {"ours": _measure("ours", arguments.trials), "stock": _measure("stock", arguments.stock_trials)}
        pairs.append(pair)
        ours, stock = (pair[side]["seconds_per_trial"] for side in ("ours", "stock"))
        print(f"{number}: ours {ours:.3f} s a trial, stock {stock:.2f}, ratio {ours / stock:.3f}", flush=True)
    found = _summarize(pairs, _measure("open", arguments.open) if arguments.open else None)
    command = f"python benchmarks/overhead.py {shlex.join(sys.argv[1:] if argv is None else argv)}".strip()
    text = "\n\n".join(_describe(found, command, time.perf_counter() - start)) + "\n"
    arguments.results.mkdir(parents=True, exist_ok=True)
    write_text(arguments.results / "overhead.md", text)
    print(text)
    print(arguments.results / "overhead.md")
    if arguments.json:
        print(json.dumps(found))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
