"""What does a search cost besides training? Tracked idle trials, compared with stock Ray Tune.

    python -m benchmarks.tracking.overhead [--trials 100] [--stock-trials 20] [--repetitions 3] [--open 500]
                                           [--results DIR] [--json]

Two trials run at a time, and each only reports: an epoch and a finished fold, twice. *Ours* is what ``search.run``
runs: driver, journal, study folder, searcher and scheduler, worker processes, one W&B run per trial and one for the
search. *Stock* is ``ray.tune.Tuner`` with ``OptunaSearch`` over the same number of parameters and
``WandbLoggerCallback``, with defaults otherwise; its trials report equally often, eight numbers each. W&B is offline on
both sides, and every run is checked afterwards: it is complete if it contains the trial's reports and its end.

Timing starts with the first step that serves trials only (opening the tracker, creating the tuner) and ends when the
last run is closed. Starting Ray and imports are excluded on both sides; starting worker processes and W&B's process is
included, since the sides differ in how often they do so. Importing PyTorch in the workers counts for ours only. The
sides alternate in separate processes, so that other load on the machine affects both, and ratios are taken between
adjacent runs.

``--open N`` opens N runs at once, logs an epoch and a fold to each and ends them all.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.idle.driver import RESOURCES
from benchmarks.idle.process import measure_in_process
from benchmarks.idle.study import IMAGES_PER_SUBJECT, NUM_REPORTS, NUM_SUBJECTS
from leukemia.base import provenance
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.files import write_text
from leukemia.training.device import describe_device

HERE = Path(__file__).resolve().parent

TARGET = 1 / 8
"""Target for the time per trial, relative to stock."""


def _measure(side: str, count: int) -> dict[str, Any]:
    """Measure one side in its own process: ours silences Tune process-wide, and stock should run with its defaults."""
    found = measure_in_process(f"benchmarks.tracking.sides.{side}", count)
    # Stock loses runs, which the table reports.
    if found["runs"] != count and side != "stock":
        raise RuntimeError(f"{side}: expected {count} complete W&B runs, found {found['runs']}")
    return {**found, "count": count, "seconds_per_trial": found["seconds"] / count}


def _summarize(pairs: Sequence[dict[str, Any]], opened: dict[str, Any] | None) -> dict[str, Any]:
    """Medians over the repetitions, and the range of the ratio."""
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
    """The results as blocks of Markdown."""
    pairs = found["repetitions"]
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    hardware = provenance.hardware(describe_device(torch.device("cpu")))
    low, high = found["ratio_range"]
    yield "# What a search costs besides training"
    yield f"`{command}`"
    yield (
        f"Idle trials that only report, tracked by W&B (offline), {RESOURCES.concurrent} at a time. Each repetition "
        f"runs ours with {pairs[0]['ours']['count']} trials, then stock Ray Tune (`OptunaSearch`, "
        f"`WandbLoggerCallback`, defaults otherwise) with {pairs[0]['stock']['count']}; {NUM_REPORTS} reports per "
        f"trial. Ours also writes and tracks the predictions of {NUM_SUBJECTS * IMAGES_PER_SUBJECT} images. All on one "
        "machine in one run; load is the 1-minute load average before each measurement."
    )
    yield (
        f"{hardware['device']}, {hardware['processors']} processors, {hardware['system']}; {versions}; "
        f"commit {provenance.commit()}."
    )
    yield "\n".join(
        [
            "| repetition | ours, s/trial | load | stock, s/trial | load | ratio |",
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
    factor = 1 / found["ratio"]
    yield f"Target of at most {TARGET:g} of stock's time per trial: {verdict}; stock takes {factor:.1f} times ours."
    lost = [pair["stock"]["count"] - pair["stock"]["runs"] for pair in pairs]
    yield (
        "Every trial of ours has a complete run on disk; stock's trials without one, by repetition: "
        f"{', '.join(map(str, lost))}."
    )
    if found["open"] is not None:
        yield _describe_open(found["open"])
    yield f"{seconds:.0f} s."


def _describe_open(opened: dict[str, Any]) -> str:
    each = {name: 1000 * opened[f"{name}_seconds"] / opened["count"] for name in ("open", "log", "end")}
    return (
        f"{opened['count']} runs open at once: {sum(each.values()):.0f} ms per run, of which {each['open']:.0f} to "
        f"open, {each['log']:.0f} to log an epoch and a fold, {each['end']:.0f} to end, each with its files in the "
        f"study folder. With all of them open, W&B's process has {opened['wandb_megabytes']:.0f} MB and "
        f"{opened['wandb_files']} open files, the search {opened['own_megabytes']:.0f} MB and {opened['own_files']}. "
        f"All {opened['runs']} are complete on disk. Load {opened['load']:.1f}."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="our trials per repetition (default: 100)")
    parser.add_argument(
        "--stock-trials", type=int, default=20, help="stock trials per repetition, at 2.6 s or more each (default: 20)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=3, help="measurements of each side, alternating (default: 3)"
    )
    parser.add_argument("--open", type=int, default=0, metavar="N", help="also measure N runs open at once")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="output folder (default: results/)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Measure both sides alternately, write the table and print where it is."""
    arguments = _parser().parse_args(argv)
    for name, least in (("trials", 2), ("stock_trials", 2), ("repetitions", 1), ("open", 0)):
        if getattr(arguments, name) < least:
            raise UserError(f"--{name.replace('_', '-')}: expected at least {least}, got {getattr(arguments, name)}")
    start, pairs = time.perf_counter(), []
    for number in range(1, arguments.repetitions + 1):
        pair = {"ours": _measure("ours", arguments.trials), "stock": _measure("stock", arguments.stock_trials)}
        pairs.append(pair)
        ours, stock = (pair[side]["seconds_per_trial"] for side in ("ours", "stock"))
        print(f"{number}: ours {ours:.3f} s/trial, stock {stock:.2f}, ratio {ours / stock:.3f}", flush=True)
    found = _summarize(pairs, _measure("open_runs", arguments.open) if arguments.open else None)
    command = f"python -m benchmarks.tracking.overhead {shlex.join(sys.argv[1:] if argv is None else argv)}".strip()
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
