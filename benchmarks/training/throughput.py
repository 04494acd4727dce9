"""How fast does this machine train on its CPU, compared with a plain loop and with what its arithmetic allows?

    python -m benchmarks.training.throughput [--short | --smoke] [--turns N] [--threads N] [--record] [--json]

For ResNet-18 at 96 and 224 px and ResNet-50 at 96 px, with AdamW and Ranger21, three sides take turns in one process,
on one thread, which is what a trial has on two cores: *plain*, the loop that most people write (float32, DataLoader,
``cv2.imread``, albumentations, optimizers as published); *ours*, epochs of a trial; and the *limit*, the same network
on one constant batch (bfloat16, channels last, fused AdamW or this project's Ranger21). A CPU without native bfloat16
computes in float32 on all sides. A ratio is how many times as fast as another side ours is: the median over the turns,
with its range.

Also measured: kernels that a step of Ranger21 would launch on a GPU; the time to augment an image at 224 px on one
core; and the share of a fold of 30 epochs that is not training steps (ResNet-18 at 96 px, AdamW, 512 images to train on
and 128 to validate).

Takes about 20 minutes on an idle machine. ``--short`` measures ResNet-18 at 96 px and no fold, in less than 5 minutes,
and exits with status 1 if a ratio is more than 15 % below its value in ``recorded.json``, which ``--record`` writes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.training.measuring.around import around_share
from benchmarks.training.measuring.augmenting import milliseconds_per_image
from benchmarks.training.measuring.case import CPU, Case
from benchmarks.training.measuring.plan import FULL, SHORT, SMOKE, Plan
from benchmarks.training.measuring.ranger21_step import launches_of_a_step
from benchmarks.training.measuring.recorded import RATIOS, losses, read_recorded
from benchmarks.training.measuring.turns import OPTIMIZERS, ratio, turns_of
from leukemia.base import provenance
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import FAILURE, SUCCESS, UserError, print_error, run_command
from leukemia.base.files import require_writable, write_json
from leukemia.training.device import compute_dtype, describe_device, use_threads

RECORDED = Path(__file__).resolve().parent / "recorded.json"

RECORDED_TURNS = 7
"""The least number of turns that is recorded."""


def measure(plan: Plan) -> dict[str, Any]:
    """All figures, in JSON types; ``around_share`` is None without a fold."""
    start, load = time.perf_counter(), os.getloadavg()[0]
    found: dict[str, Any] = {field: {} for field in RATIOS}
    for (depth, size_px), num_batches in plan.networks.items():
        name, turns = f"{depth}@{size_px}", turns_of(depth, size_px, num_batches, plan.turns)
        found["adamw_over_limit"][name] = ratio(turns, "ours adamw", "limit adamw")
        found["ranger21_over_limit"][name] = ratio(turns, "ours ranger21", "limit ranger21")
        found["ranger21_over_adamw_limit"][name] = ratio(turns, "ours ranger21", "limit adamw")
        for optimizer in OPTIMIZERS:
            found["over_plain"][f"{name} {optimizer}"] = ratio(turns, f"ours {optimizer}", f"plain {optimizer}")
    found["launches"] = {str(depth): launches_of_a_step(depth) for depth in plan.depths}
    print("augmentation on one core", file=sys.stderr, flush=True)
    found["augment_ms_per_image"] = milliseconds_per_image(plan.augmented_batches, plan.turns)
    found["around_share"] = _around_share(plan) if plan.fold_batches else None
    return found | {"turns": plan.turns, "seconds": time.perf_counter() - start, "machine": _machine(load)}


def _around_share(plan: Plan) -> float:
    depth, size_px = next(iter(plan.networks))
    print(f"a fold of {plan.fold_epochs} epochs, ResNet-{depth} at {size_px} px", file=sys.stderr, flush=True)
    case = Case(depth=depth, size_px=size_px, optimizer="adamw", num_batches=plan.fold_batches)
    return around_share(case, plan.fold_epochs)


def _machine(load: float) -> dict[str, Any]:
    case = Case(depth=18, size_px=96, optimizer="adamw", num_batches=1)
    return {
        **provenance.hardware(describe_device(CPU)),
        "load": load,
        "threads": torch.get_num_threads(),
        "precision": str(compute_dtype(case.recipe, CPU)).removeprefix("torch."),
        "versions": provenance.versions(),
        "commit": provenance.commit(),
    }


def _describe(found: dict[str, Any]) -> Iterator[str]:
    """The figures as lines of Markdown."""
    machine = found["machine"]
    yield (
        f"{machine['device']}, {machine['processors']} processors, threads per side: {machine['threads']}, "
        f"{machine['precision']}, load {machine['load']:.1f}, torch {machine['versions']['torch']}, "
        f"commit {machine['commit']}; {found['turns']} turns, {found['seconds']:.0f} s.\n"
    )
    yield "| ratio | network | median (low to high) |\n|---|---|---|"
    for field in RATIOS:
        for name, values in found[field].items():
            yield f"| {field} | {name} | {values['median']:.2f} ({values['low']:.2f} to {values['high']:.2f}) |"
    launches = ", ".join(f"{count} (ResNet-{depth})" for depth, count in found["launches"].items())
    yield f"\nLaunches of a step of Ranger21: {launches}."
    times = ", ".join(f"{name} {value:.2f}" for name, value in found["augment_ms_per_image"].items())
    yield f"Augmentation at 224 px on one core, ms per image: {times}."
    if found["around_share"] is not None:
        yield f"Share of a fold that is not training steps: {found['around_share']:.1%}."


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--short",
        dest="plan",
        action="store_const",
        const=SHORT,
        default=FULL,
        help="ResNet-18 at 96 px only, compared with the recorded ratios",
    )
    sizes.add_argument(
        "--smoke",
        dest="plan",
        action="store_const",
        const=SMOKE,
        help="seconds only, to see whether everything runs; the figures mean nothing",
    )
    parser.add_argument("--turns", type=int, metavar="N", help=f"turns of each side (default: {FULL.turns}, short 7)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each side (default: 1)")
    parser.add_argument("--record", action="store_true", help="write the figures to recorded.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args(argv)
    plan: Plan = arguments.plan
    if arguments.turns is not None and arguments.turns < 1:
        raise UserError(f"--turns: expected at least 1, got {arguments.turns}")
    if not 1 <= arguments.threads <= available_cpus():
        raise UserError(f"--threads: expected 1 to {available_cpus()}, the available CPUs, got {arguments.threads}")
    if arguments.record and plan is not FULL:
        raise UserError("--record: expected a whole run; leave out --short and --smoke")
    if arguments.record and (arguments.turns or plan.turns) < RECORDED_TURNS:
        raise UserError(f"--record: expected at least {RECORDED_TURNS} turns, got --turns {arguments.turns}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Measure, print the figures, and compare or record them."""
    arguments = _arguments(argv)
    plan: Plan = arguments.plan
    recorded = None
    # Before minutes of measuring, not after them.
    if plan is SHORT:
        recorded = read_recorded(RECORDED)
    if arguments.record:
        require_writable(RECORDED.parent)
    use_threads(arguments.threads)
    found = measure(dataclasses.replace(plan, turns=arguments.turns or plan.turns))
    lost = [] if recorded is None else losses(found, recorded, RECORDED)
    if arguments.record:
        write_json(RECORDED, found)
    print("\n".join(_describe(found)))
    for line in lost:
        print_error(line)
    if arguments.json:
        print(json.dumps(found, allow_nan=False))
    return FAILURE if lost else SUCCESS


if __name__ == "__main__":
    run_command(main)
