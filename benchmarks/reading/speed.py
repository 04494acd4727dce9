"""How long does reading C-NMC take for the first and the second time, with one thread and with all?

    python -m benchmarks.reading.speed [--images 800] [--repetitions 3] [--folder DIR] [--json]

Reads generated images of C-NMC's size and format (450x450 px, BMP) until they can be used for training: once as a
search does, which decodes each image once; once as a search after ``leukemia.catalog``, which decodes each image
twice; and once more with everything cached, as a second command does. The cases alternate, each ``--repetitions`` times
with a cache of its own, and the medians are printed: seconds, CPU seconds, images per second, and the seconds of all
10,661 images of C-NMC at this rate. The images are read from the page cache, so a slow disk is not measured. 800 images
take 500 MB of disk space, which is freed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from PIL import Image

from leukemia.base import threads
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import SUCCESS, run_command
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.images import open_images
from leukemia.data.view import view_of

SIDE_PX = 450
NUM_CNMC = 10_661
RECIPE = Recipe()


class Case(NamedTuple):
    """One way to come to the decoded images."""

    name: str
    num_threads: int
    decode_twice: bool = False
    is_cached: bool = False


def measure(case: Case, data: Path, cache: Path) -> tuple[float, float]:
    """Wall seconds and CPU seconds of one reading."""
    with patch.object(threads, "available_cpus", lambda: case.num_threads), _cache_at(cache):
        if case.is_cached:
            _read(data, decode_twice=False)
        start, cpu_start = time.perf_counter(), time.process_time()
        _read(data, decode_twice=case.decode_twice)
        return time.perf_counter() - start, time.process_time() - cpu_start


def _read(data: Path, *, decode_twice: bool) -> None:
    catalog = read_catalog(data, recipe=None if decode_twice else RECIPE)
    # A second command is another process, which checks the file.
    open_images(catalog, view_of(RECIPE.resolved(catalog.sizes)), check_again=True)


@contextmanager
def _cache_at(cache: Path) -> Iterator[None]:
    try:
        with patch.dict(os.environ, LEUKEMIA_CACHE=str(cache)):
            yield
    finally:
        shutil.rmtree(cache)


def draw(data: Path, num_images: int) -> None:
    """Write images of noise in C-NMC's layout: time depends on their size and format only."""
    generator = np.random.default_rng(0)
    for number in range(num_images):
        label = ("hem", "all")[number % 2]
        folder = data / f"fold_{number % 3}" / label
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"UID_{number // 150}_{number}_1_{label}.bmp")


def main(argv: list[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reading.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=int, default=800, help="number of images (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="of each case (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to write images and cache (default: the system's)")
    parser.add_argument("--json", action="store_true", help="print JSON with all repetitions")
    arguments = parser.parse_args(argv)
    num_cpus = available_cpus()
    cases = [
        Case("first, decoded once", num_cpus),
        Case("first, decoded once, one thread", 1),
        Case("first, decoded twice", num_cpus, decode_twice=True),
        Case("second", num_cpus, is_cached=True),
    ]
    measured: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="reading-", dir=arguments.folder) as folder:
        draw(Path(folder) / "data", arguments.images)
        for number in range(arguments.repetitions):
            for case in cases:
                measured[case.name].append(measure(case, Path(folder) / "data", Path(folder) / "cache"))
                print(f"{number + 1}/{arguments.repetitions} {case.name}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({"images": arguments.images, "cpus": num_cpus, "seconds": measured}, indent=2))
        return SUCCESS
    print(f"{arguments.images} images, {num_cpus} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"{'reading':<32}{'seconds':>9}{'CPU s':>9}{'images/s':>10}{f'{NUM_CNMC:,} images':>16}")
    for name, times in measured.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        rate = arguments.images / wall
        print(f"{name:<32}{wall:>9.2f}{cpu:>9.2f}{rate:>10.0f}{NUM_CNMC / rate:>14.1f} s")
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
