"""Is every changed byte of a study noticed?

    python -m benchmarks.faults.mutations [--times 200] [--runs DIR] [--seed 0] [--verbose]

A small search on 48 generated images runs, and its winner is delivered. Then, ``--times`` times, one random byte of one
random file of the study, its cache or its delivered model is changed in a copy (each file is as likely as any other),
and everything that reads this file runs in this process: report, resumption, tracking (with W&B's client replaced by a
recorder) and prediction. All numbers that come out are compared with those of the unchanged files.

refused     one line names the file
rebuilt     the numbers are right, and a warning names the file
no effect   the numbers are right
SILENT      a number differs, and nothing was said
TRACEBACK   any other exception

Not changed: ``wandb/``, which W&B's client writes and only it reads; logs, locks, pictures, pages and the model card,
which no program reads. Prints a table and each failure; status 1 if there is a failure. A mutation takes about a second
on an idle core.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.harness.mutation import Mutation
from benchmarks.faults.harness.processes import ProcessTree
from benchmarks.faults.harness.readers import READERS
from benchmarks.faults.harness.search import ENVIRONMENT, Search, arguments_of
from leukemia.base.errors import FAILURE, SUCCESS, UserError, first_line, run_command
from leukemia.base.logs import logging_to
from leukemia.data.sample import TRAINING, generate
from leukemia.study.folder import Study

SEARCH = arguments_of(trials=2, folds=2, repeats=1, epochs=2)
NAME = "study"

READ = (".json", ".csv", ".journal", ".safetensors", ".npy", ".pt")
"""Suffixes of the files that a program reads."""


class Counts(collections.defaultdict[str, collections.Counter[str]]):
    """Number of mutations by file name and outcome."""

    def __init__(self) -> None:
        super().__init__(collections.Counter)


REFUSED, REBUILT, NO_EFFECT, SILENT, TRACEBACK = "refused", "rebuilt", "no effect", "SILENT", "TRACEBACK"
OUTCOMES = (NO_EFFECT, REBUILT, REFUSED, SILENT, TRACEBACK)
"""From harmless to worst: the outcome of a mutation is the worst of its readers."""


def make(place: Path, data: Path) -> None:
    """Run a search and deliver its winner, in ``place``; its cache is in ``LEUKEMIA_CACHE``.

    Raises:
        UserError: one of them failed.
    """
    tree = ProcessTree()
    search = Search(place / NAME, tree, data, SEARCH, ("--address", "local"))
    try:
        search.start()
        if search.wait() != SUCCESS:
            raise UserError(f"the search failed; see {search.output}")
    finally:
        tree.kill()
    deliver = [sys.executable, "-m", "leukemia.final", "--best", NAME, "--runs", str(place), "--test", str(data)]
    final = subprocess.run(
        [*deliver, "--allow-overlap"], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True
    )
    if final.returncode != SUCCESS:
        raise UserError(f"leukemia.final failed: {final.stderr.strip()}")


def part_of(path: Path) -> str:
    """Key of ``READERS`` of a file, relative to the folder of all files."""
    return "cache" if path.parts[0] == "cache" else "final" if "final" in path.parts else "study"


def files_of(place: Path) -> list[Path]:
    """The files that a program reads, relative to ``place``, in a fixed order."""
    found = (path.relative_to(place) for path in place.rglob("*") if path.is_file() and path.stat().st_size)
    return sorted(path for path in found if path.suffix in READ and "wandb" not in path.parts)


class Notes(logging.Handler):
    """Warnings, as a user sees them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.lines.append(record.getMessage())


def read(place: Path, part: str) -> tuple[list[Any], list[str], list[str]]:
    """Run all readers of a part: what each returns (None if it raised), the outcomes of those that raised, and why."""
    numbers: list[Any] = []
    outcomes, lines = [], []
    for reader in READERS[part]:
        try:
            numbers.append(repr(reader(Study.open(place / NAME))))
        except UserError as error:
            numbers.append(None)
            outcomes.append(REFUSED if str(error).count("\n") == 0 else TRACEBACK)
            lines.append(f"{reader.__name__}: {error}")
        except Exception as error:
            numbers.append(None)
            outcomes.append(TRACEBACK)
            lines.append(f"{reader.__name__}: {type(error).__name__}: {first_line(error)}")
    return numbers, outcomes, lines


def judge(place: Path, part: str, expected: list[Any]) -> tuple[str, list[str]]:
    """The worst outcome of all readers of a part, and what they said."""
    notes = Notes()
    with logging_to(notes):
        numbers, outcomes, lines = read(place, part)
    for reader, found, wanted in zip(READERS[part], numbers, expected, strict=True):
        if found is not None:
            outcomes.append(SILENT if found != wanted else REBUILT if notes.lines else NO_EFFECT)
            lines += [f"{reader.__name__}: other numbers"] if found != wanted else []
    return max(outcomes, key=OUTCOMES.index), [*lines, *notes.lines]


def main(argv: list[str] | None = None) -> int:
    """Make a study, change it byte by byte, and print what was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, metavar="N", help="mutations (default: 200)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the study")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the mutations (default: 0)")
    parser.add_argument("--verbose", action="store_true", help="print every mutation, not only failures")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise UserError(f"--times: expected at least 1, got {arguments.times}")
    root = arguments.runs.resolve() / f"mutations-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    place, whole = root / "files", root / "whole"
    place.mkdir(parents=True)
    os.environ["LEUKEMIA_CACHE"] = str(place / "cache")
    generate(root / "cells", num_subjects=12, images_per_subject=4, num_test_images=2)
    make(place, root / "cells" / TRAINING)
    place.rename(whole)
    counts = mutate(whole, place, arguments.times, random.Random(arguments.seed), verbose=arguments.verbose)
    print_table(counts)
    failed = sum(count[SILENT] + count[TRACEBACK] for count in counts.values())
    shutil.rmtree(root)
    return FAILURE if failed else SUCCESS


def mutate(whole: Path, place: Path, times: int, generator: random.Random, *, verbose: bool) -> Counts:
    """Change single bytes in copies of ``whole`` at ``place``: outcomes by file name.

    Raises:
        UserError: the unchanged files are refused.
    """
    expected = {}
    for part in READERS:
        with copied(whole, place):
            expected[part], _, lines = read(place, part)
        if lines:
            raise UserError(f"the unchanged files are refused: {'; '.join(lines)}")
    paths, counts = files_of(whole), Counts()
    for _ in range(times):
        mutation = Mutation.draw(whole, paths, generator)
        part = part_of(mutation.path)
        with copied(whole, place):
            mutation.apply(place)
            outcome, lines = judge(place, part, expected[part])
        counts[mutation.path.name][outcome] += 1
        if verbose or outcome in (SILENT, TRACEBACK):
            print(f"{outcome}: {mutation.describe()}: {'; '.join(lines)}", flush=True)
    return counts


@contextlib.contextmanager
def copied(whole: Path, place: Path) -> Iterator[None]:
    """A copy of all files, without those of W&B's client, deleted at the end of the block."""
    shutil.copytree(whole, place, ignore=shutil.ignore_patterns("wandb"))
    try:
        yield
    finally:
        shutil.rmtree(place)


def print_table(counts: Counts) -> None:
    """Outcomes by file name, and their sums."""
    rows = [(name, counts[name]) for name in sorted(counts)]
    rows.append(("all", sum(counts.values(), collections.Counter())))
    print(f"| file | {' | '.join(OUTCOMES)} |\n|---|{'---|' * len(OUTCOMES)}")
    for name, count in rows:
        print(f"| {name} | {' | '.join(str(count[outcome]) for outcome in OUTCOMES)} |")


if __name__ == "__main__":
    run_command(main)
