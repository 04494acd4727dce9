"""``python -m search.run``: search for the best recipe, to the end or as far as time allows."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import functools
import logging
import math
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from leukemia import CLASS_NAMES, __version__, provenance
from leukemia.augment import augmented_sheet
from leukemia.config import PRESETS
from leukemia.crossval import COST, OBJECTIVES
from leukemia.device import DEVICES, choose_device, describe_device
from leukemia.files import cache_dir, make_folder, require_space, write_json
from leukemia.folds import PROTOCOLS, RANDOM_CELL_WARNING
from leukemia.images import open_images
from leukemia.metrics import majority_rate
from leukemia.mistakes import FAILURE, INTERRUPTED, SUCCESS, Mistake, run_command
from leukemia.place import SAMPLE, SAMPLE_WARNING
from leukemia.plots import plot_augmented
from leukemia.report import AUGMENTED
from leukemia.study import Study
from leukemia.tracking import SilentTracker, WandbTracker, make_tracker
from leukemia.train import Side, fit
from search import tuner
from search.display import TerminalDisplay, logging_to, say
from search.driver import Driver, Limits
from search.outcome import print_outcome, write_best, write_hindsight
from search.plan import DEFAULTS, Plan, Request, describe_cost, describe_rules, plan_new, plan_resumed
from search.searcher import Journal
from search.space import Real
from search.warmstart import copy_priors

log = logging.getLogger("search")

LOG = "search.log"
"""File of a study folder: what happened, in full."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.run",
        description="Search for the best recipe: Optuna proposes, Ray Tune runs trials, Weights & Biases shows them.",
        epilog="example: python -m search.run --data C-NMC_Leukemia --trials 50 --set train.epochs=30",
    )
    data = parser.add_argument_group("data and study")
    data.add_argument("--data", metavar="DATA", help="C-NMC folder, CSV, or class folders (default: the sample set)")
    data.add_argument("--base", type=Path, metavar="DIR", help="folder that a CSV's paths are relative to")
    data.add_argument("--subjects-from", type=Path, metavar="DIR", help="borrow subjects from a copy, by pixels")
    data.add_argument("--study", metavar="NAME", help="name of the study (default: time and a random word)")
    data.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie (default: runs)"
    )
    data.add_argument("--resume", action="store_true", help="go on with --study, or with the newest one")
    what = parser.add_argument_group("what is searched")
    what.add_argument("--trials", type=int, metavar="N", help=f"trials in all (default: {DEFAULTS['trials']})")
    what.add_argument("--folds", type=int, metavar="K", help=f"folds of each trial (default: {DEFAULTS['folds']})")
    what.add_argument(
        "--preset", choices=list(PRESETS), help=f"trial 0 and every field not searched (default: {DEFAULTS['preset']})"
    )
    what.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="fix a recipe field, such as train.epochs=40"
    )
    what.add_argument(
        "--objective",
        metavar="NAME",
        help=f"score to maximize: {', '.join(OBJECTIVES)}; or a score and the cost, as in {OBJECTIVES[0]},{COST} "
        f"(default: {DEFAULTS['objective']})",
    )
    what.add_argument("--protocol", choices=PROTOCOLS, help="how to split (default: grouped where subjects are known)")
    what.add_argument("--seed", type=int, metavar="N", help="seed of folds and proposals (default: 0)")
    what.add_argument(
        "--warm-start", nargs="+", metavar="STUDY", help="begin with the finished trials of these studies of --runs"
    )
    race = parser.add_argument_group("how long it goes on")
    race.add_argument("--budget-hours", type=float, metavar="H", help="device hours after which nothing more begins")
    race.add_argument(
        "--no-racing", dest="racing", action="store_const", const=False, help="run all folds of every trial"
    )
    race.add_argument(
        "--margin",
        type=float,
        metavar="POINTS",
        help="stop a trial that is worse than the best by more than this, with 95 %% confidence "
        f"(default: {DEFAULTS['margin']:g})",
    )
    race.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help=f"other seeds, at most, for the starting recipe and the leading trials (default: {DEFAULTS['repeats']})",
    )
    race.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help=f"trials without an improvement beyond noise after which no more begin (default: {DEFAULTS['patience']})",
    )
    where = parser.add_argument_group("where it runs")
    where.add_argument("--address", metavar="ADDR", help="Ray cluster, or local (default: this machine's cluster)")
    where.add_argument("--device", choices=DEVICES, default="auto", help="default: cuda, else mps, else cpu")
    where.add_argument(
        "--gpus-per-trial", type=float, metavar="X", help="GPUs of a trial, may be a fraction (default: 1)"
    )
    where.add_argument("--cpus-per-trial", type=int, metavar="N", help="processors of a trial (default: its share)")
    where.add_argument("--max-gpus", type=int, metavar="N", help="use at most so many GPUs")
    parser.add_argument("--dry-run", action="store_true", help="print space, cost and disk needed, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _request(arguments: argparse.Namespace) -> Request:
    names = {field.name for field in dataclasses.fields(Request)} - {"settings"}
    return Request(settings=arguments.set, **{name: getattr(arguments, name) for name in names})


def main(argv: list[str] | None = None) -> int:
    """Search; returns the exit status."""
    arguments = _parser().parse_args(argv)
    # Where no terminal tells its width, a table may be as wide as its recipes.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    _check_numbers(arguments)
    command = provenance.command_line("search.run", argv)
    request = _request(arguments)
    plan = plan_resumed(request) if arguments.resume else plan_new(request, command)
    if arguments.dry_run:
        _print_dry_run(console, plan, arguments.device)
        return SUCCESS
    signal.signal(signal.SIGTERM, _interrupt)
    images = open_images(plan.catalog, plan.view)
    with contextlib.ExitStack() as stack:
        if arguments.resume:
            stack.enter_context(Study.open(plan.folder).lock())
        own = stack.enter_context(tuner.ray_session(arguments.address))
        resources = _resources(plan, arguments)
        # A new study is written only now, when nothing can be refused any more.
        study = _resumed(plan) if arguments.resume else stack.enter_context(_created(plan))
        stack.enter_context(logging_to(study.folder / LOG, console))
        stack.enter_context(_last_words(console, study))
        log.info("command: %s", command)
        say(console, f"study {study.name} in {study.folder}")
        _print_head(console, plan)
        say(console, tuner.describe(resources, own))
        tracker, words = make_tracker(study)
        stack.enter_context(_closing(console, tracker))
        say(console, words)
        _search(console, plan, study, images, resources, arguments, tracker)
        return print_outcome(console, study)


@contextlib.contextmanager
def _closing(console: Console, tracker: WandbTracker | SilentTracker) -> Iterator[None]:
    """Close the tracker at the end, however it comes; its words are the last."""
    try:
        yield
    except BaseException:
        tracker.close(finished=False)
        raise
    for words in filter(None, [tracker.close(finished=True)]):
        say(console, words)


@contextlib.contextmanager
def _last_words(console: Console, study: Study) -> Iterator[None]:
    """Say how a search that has begun came to its end before its time."""
    try:
        yield
    except KeyboardInterrupt:
        console.print()
        say(console, f"interrupted; {_going_on(study)}")
        sys.exit(INTERRUPTED)
    except tuner.RayDied as death:
        log.error("%s", death)
        print(f"error: {death}; {_going_on(study)}", file=sys.stderr)
        sys.exit(FAILURE)
    except Mistake as mistake:
        log.error("%s", mistake)
        raise
    except Exception as error:
        log.critical("the search failed", exc_info=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE):
            raise
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"error: {words}; the traceback is in {study.folder / LOG}", file=sys.stderr)
        sys.exit(FAILURE)


def _going_on(study: Study) -> str:
    """What to do after a search that ended too early."""
    place = f"--study {study.name} --runs {shlex.quote(str(study.folder.parent))}"
    return f"finished folds are kept. Go on with:\n  python -m search.run --resume {place}"


def _resources(plan: Plan, arguments: argparse.Namespace) -> tuner.Resources:
    resources = tuner.plan_resources(
        arguments.device, arguments.cpus_per_trial, arguments.gpus_per_trial, arguments.max_gpus
    )
    require_space(cache_dir(), plan.checkpoint_bytes() * resources.concurrent, "the trials' checkpoints")
    return resources


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name, low in (
        ("gpus_per_trial", 0.01),
        ("cpus_per_trial", 1),
        ("max_gpus", 1),
        ("budget_hours", 0),
        ("seed", 0),
        ("margin", 0),
        ("repeats", 0),
        ("patience", 1),
    ):
        value = getattr(arguments, name)
        if value is not None and not value >= low:
            raise Mistake(f"--{name.replace('_', '-')}: expected at least {low:g}, got {value:g}")


@contextlib.contextmanager
def _created(plan: Plan) -> Iterator[Study]:
    """A new study, locked while it is run."""
    make_folder(plan.folder, "name another folder with --runs")
    require_space(plan.folder, 50_000_000, "the study folder")
    # Locked before it is made: of two commands with one name, one makes it and the other is refused.
    with Study(plan.folder).lock():
        if not (plan.folder / "study.json").exists():
            # The split first: a folder with study.json is a study.
            plan.splits.save(plan.folder / "splits.json")
            copy_priors(plan.priors, plan.folder)
        yield Study.create(plan.folder, plan.info)


def _resumed(plan: Plan) -> Study:
    study = Study.open(plan.folder)
    if study.info != plan.info:
        write_json(plan.folder / "study.json", plan.info)
    return study


def _print_head(console: Console, plan: Plan) -> None:
    catalog, info = plan.catalog, plan.info
    labels = catalog.table["label"].to_numpy()
    say(
        console,
        f"data: {len(labels)} images of {catalog.root}, {int((labels == 1).sum())} {CLASS_NAMES[1]} and "
        f"{int((labels == 0).sum())} {CLASS_NAMES[0]} (majority rate {majority_rate(labels):.3f}), "
        f"crop {plan.view.crop_px} px, {plan.view.size_px} px to the network",
    )
    if info["data"]["uri"] == SAMPLE:
        say(console, f"note: {SAMPLE_WARNING}")
    say(console, f"protocol: {info['protocol']}, {info['folds']} folds, objective {info['objective']}")
    if info["protocol"] == "random-cell":
        say(console, f"warning: {RANDOM_CELL_WARNING}")
    for words in describe_rules(plan):
        say(console, words)
    say(console, f"space: {len(plan.space.dimensions)} fields, trial 0 is {plan.space.start.describe()}")


def _search(
    console: Console,
    plan: Plan,
    study: Study,
    images: np.ndarray,
    resources: tuner.Resources,
    arguments: argparse.Namespace,
    tracker: WandbTracker | SilentTracker,
) -> None:
    _draw_augmented(images, plan, study)
    display = TerminalDisplay(
        Console(quiet=True, force_terminal=False) if arguments.quiet else console,
        num_trials=plan.num_trials + len(plan.priors),
        num_folds=plan.info["folds"],
        objective=plan.rules.objective,
    )
    journal = Journal(
        study.folder / "optuna.journal",
        plan.space,
        seed=plan.info["seed"],
        name=study.name,
        by_cost=plan.rules.by_cost,
        priors=[taken.prior for taken in plan.priors],
    )
    write = functools.partial(write_best, study, plan.splits)
    driver = Driver(
        study,
        journal,
        plan.catalog,
        limits=Limits(
            num_trials=plan.num_trials,
            budget_hours=math.inf if arguments.budget_hours is None else arguments.budget_hours,
        ),
        rules=plan.rules,
        tracker=tracker,
        display=display,
        on_best=write,
    )
    data = tuner.TrialData(
        images=images if tuner.num_nodes() > 1 else Path(str(images.filename)),  # type: ignore[attr-defined]
        labels=plan.catalog.table["label"].to_numpy(dtype=np.int64),
        folds=list(plan.splits.rows(plan.catalog)),
        checkpoints=checkpoints_of(study),
    )
    with display.running():
        tuner.run_trials(driver, data, resources)
    if driver.best is not None:
        # Later trials change what luck the winner may have had.
        write(driver.race)
    write_hindsight(study, plan.space, journal)
    shutil.rmtree(checkpoints_of(study), ignore_errors=True)


def _draw_augmented(images: np.ndarray, plan: Plan, study: Study) -> None:
    """A few images of both classes under the starting recipe, for the report."""
    labels = plan.catalog.table["label"].to_numpy()
    rows = np.concatenate([np.flatnonzero(labels == label)[:3] for label in range(len(CLASS_NAMES))])
    plot_augmented(augmented_sheet(np.asarray(images[rows]), plan.space.start), study.folder / AUGMENTED)


def checkpoints_of(study: Study) -> Path:
    """Where this study's trials keep their checkpoints, on each worker's own disk."""
    return cache_dir() / "checkpoints" / str(study.info["study_uid"])


def _print_dry_run(console: Console, plan: Plan, device_name: str) -> None:
    _print_head(console, plan)
    for dimension in plan.space.dimensions:
        values = (
            f"{dimension.low:g} to {dimension.high:g}{' (log)' if dimension.log else ''}"
            if isinstance(dimension, Real)
            else ", ".join(map(str, dimension.choices))
        )
        only = f" (only {', '.join(dimension.optimizers)})" if dimension.optimizers else ""
        say(console, f"{dimension.key}: {values}{only}; {dimension.reason}")
    for key, value in plan.space.settings.items():
        say(console, f"{key}: {value}, set")
    device = choose_device(device_name)
    say(console, f"timing the starting recipe on this machine ({describe_device(device)}), which should be idle")
    say(console, describe_cost(plan, _seconds_per_image(plan, device), describe_device(device)))


def _seconds_per_image(plan: Plan, device: torch.device) -> float:
    """Time one epoch of the starting recipe on four batches of noise: nothing is read or written."""
    recipe = plan.space.start.with_settings({"train.epochs": 2})
    num_images = 4 * recipe.train.batch_size
    noise = np.random.default_rng(0).integers(
        0, 256, (num_images, plan.view.size_px, plan.view.size_px, 3), dtype=np.uint8
    )
    side = Side(
        images=noise,
        labels=np.arange(num_images) % 2,
        training=np.arange(num_images),
        validation=np.arange(0),
    )
    # The first epoch warms up; the second counts.
    return 1.0 / list(fit(recipe, side, fold=0, device=device))[-1].images_per_second


if __name__ == "__main__":
    run_command(main)
