"""How fast does this device train, and how well do several trials share it?

    python -m benchmarks.training.devices [--depths 18 50 152] [--at-once 1 2 4] [--batches 40] [--json]

Prints two tables. The first has images per second and peak memory of one network at a time, for each depth, shortcut
and optimizer, trained as in the seed recipe: 224 px, batches of 32, augmented on a GPU itself, the device's default
precision. The second has a ResNet-18 in 1, 2 and 4 processes at once on the same device: the throughput of
``--gpus-per-trial 1`` compared with shares of 0.5 and 0.25. Images are noise, since time does not depend on them. One
epoch warms up, the next one is measured; cells alternate, ``--repetitions`` times.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import statistics
import sys
from typing import Any

import numpy as np
import torch

from leukemia.base.cli import DEVICES
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.config.presets import PRESETS
from leukemia.config.recipe import Recipe
from leukemia.training.device import choose_device, compute_dtype, describe_device
from leukemia.training.train import Split, fit

SIZE_PX = 224
OPTIMIZERS = ("ranger21", "adamw")

VARIANTS = [("add", "ranger21"), ("add", "adamw"), ("concat", "adamw"), ("weighted", "adamw")]
"""Shortcut and optimizer of the measured networks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """A network to train for two epochs, the first of them to warm up."""

    depth: int
    shortcut: str
    optimizer: str
    device: str
    num_batches: int

    @property
    def recipe(self) -> Recipe:
        """The seed recipe with this network and optimizer."""
        start = PRESETS["seed"]()
        name = {"optimizer.name": self.optimizer}
        if self.optimizer == "adamw":
            name |= {"optimizer.restart_epochs": 1, "optimizer.restart_factor": 1}  # type: ignore[dict-item]
        return start.with_settings(
            {
                "model.depth": self.depth,
                "model.shortcut": self.shortcut,
                "data.size_px": SIZE_PX,
                "train.epochs": 2,
                # A low rate, since a network that diverges on noise would not be measured.
                "optimizer.learning_rate": 3e-5,
                **name,
            }
        ).resolved([(SIZE_PX, SIZE_PX)])


def measure(work: Work, barrier: Any = None) -> tuple[float, float]:
    """Images per second and peak device memory in MB, of the second epoch.

    Args:
        barrier: where all processes wait for each other before the second epoch.
    """
    torch.set_num_threads(1 if work.device == "cuda" else available_cpus())
    recipe = work.recipe
    num_images = work.num_batches * recipe.train.batch_size
    shape = (num_images, SIZE_PX, SIZE_PX, 3)
    split = Split(
        images=np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8),
        labels=np.arange(num_images) % 2,
        training=np.arange(num_images),
        validation=np.arange(0),
    )
    epochs = fit(recipe, split, fold=0, device=torch.device(work.device))
    next(epochs)
    if barrier is not None:
        barrier.wait()
    epoch = next(epochs)
    epochs.close()
    return epoch.images_per_second, epoch.device_memory_mb


def _measure_into(queue: Any, work: Work, barrier: Any) -> None:
    queue.put(measure(work, barrier))


def at_once(work: Work, count: int) -> tuple[float, float]:
    """Total images per second of ``count`` processes, and the largest peak memory of one in MB."""
    # CUDA cannot be used after a fork.
    spawn = multiprocessing.get_context("spawn")
    queue, barrier = spawn.Queue(), spawn.Barrier(count)
    processes = [spawn.Process(target=_measure_into, args=(queue, work, barrier)) for _ in range(count)]
    for process in processes:
        process.start()
    found = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return sum(speed for speed, _ in found), max(memory for _, memory in found)


def main(argv: list[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=DEVICES, default="auto")
    parser.add_argument(
        "--depths", type=int, nargs="*", default=[18, 50, 152], metavar="D", help="(default: 18 50 152)"
    )
    parser.add_argument(
        "--at-once",
        type=int,
        nargs="+",
        default=[1, 2, 4],
        metavar="K",
        help="processes on the device (default: 1 2 4)",
    )
    parser.add_argument("--batches", type=int, default=40, metavar="N", help="batches per epoch (default: 40)")
    parser.add_argument("--repetitions", type=int, default=2, metavar="N", help="measurements per cell (default: 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args(argv)
    if min(arguments.batches, arguments.repetitions, *arguments.at_once) < 1:
        raise UserError("--batches, --repetitions, --at-once: expected at least 1")
    device = choose_device(arguments.device)

    def work(depth: int, shortcut: str, optimizer: str) -> Work:
        return Work(
            depth=depth,
            shortcut=shortcut,
            optimizer=optimizer,
            device=device.type,
            num_batches=arguments.batches,
        )

    cells = [work(depth, shortcut, optimizer) for depth in arguments.depths for shortcut, optimizer in VARIANTS]
    dtype = str(compute_dtype(work(18, "add", "adamw").recipe, device)).removeprefix("torch.")
    print(f"{describe_device(device)}, {dtype}, torch {torch.__version__}, {SIZE_PX} px")
    networks: dict[Work, list[tuple[float, float]]] = {cell: [] for cell in cells}
    for _ in range(arguments.repetitions):
        for cell in cells:
            networks[cell].append(measure(cell))
            print(f"{cell.recipe.describe()}: {networks[cell][-1][0]:.0f} images/s", file=sys.stderr, flush=True)
    print("\n| network | optimizer | images/s (low to high) | peak memory, MB |\n|---|---|---|---|")
    for cell, found in networks.items():
        print(f"| ResNet-{cell.depth}/{cell.shortcut} | {cell.optimizer} | {_spread(found)} |")
    together = [(optimizer, count) for optimizer in OPTIMIZERS for count in arguments.at_once]
    shares: dict[tuple[str, int], list[tuple[float, float]]] = {side: [] for side in together}
    for _ in range(arguments.repetitions):
        for optimizer, count in together:
            total = at_once(work(18, "add", optimizer), count)
            shares[optimizer, count].append(total)
            print(f"{count} at once, {optimizer}: {total[0]:.0f} images/s", file=sys.stderr, flush=True)
    print("\n| ResNet-18 at once | total images/s (low to high) | peak memory of one, MB | ratio |\n|---|---|---|---|")
    for (optimizer, count), each in shares.items():
        alone = statistics.median(speed for speed, _ in shares[optimizer, arguments.at_once[0]])
        ratio = statistics.median(speed for speed, _ in each) / alone
        print(f"| {count}, {optimizer} | {_spread(each)} | {ratio:.2f} |")
    if arguments.json:
        print(
            json.dumps(
                {
                    "device": describe_device(device),
                    "networks": [
                        {"depth": cell.depth, "shortcut": cell.shortcut, "optimizer": cell.optimizer, "found": found}
                        for cell, found in networks.items()
                    ],
                    "at_once": [
                        {"optimizer": optimizer, "trials": count, "found": each}
                        for (optimizer, count), each in shares.items()
                    ],
                }
            )
        )
    return SUCCESS


def _spread(found: list[tuple[float, float]]) -> str:
    speeds = [speed for speed, _ in found]
    memory = max(memory for _, memory in found)
    return f"{statistics.median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f}) | {memory:.0f}"


if __name__ == "__main__":
    run_command(main)
