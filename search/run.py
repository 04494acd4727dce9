"""``python -m search.run``: search for the best recipe, to the end or as far as time allows."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import functools
import logging
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from leukemia import CLASS_NAMES
from leukemia.base import provenance
from leukemia.base.errors import FAILURE, INTERRUPTED, SUCCESS, UserError, run_command
from leukemia.base.files import cache_dir, make_folder, require_space, write_json
from leukemia.data.augment import augmented_sheet
from leukemia.data.folds import RANDOM_CELL_WARNING
from leukemia.data.images import open_images
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.reporting.model_plots import plot_augmented
from leukemia.reporting.study_report import AUGMENTED
from leukemia.scoring.metrics import majority_rate
from leukemia.study.folder import Study
from leukemia.tracking.account import check_settings
from leukemia.tracking.tracker import SilentTracker, WandbTracker, make_tracker
from search.cluster import heartbeat, nodes, ray_private, signals
from search.cluster import session as cluster
from search.cluster.resources import Resources, describe, plan_resources
from search.cluster.trainable import TrialData
from search.cluster.tuner import run_trials
from search.planning.arguments import parse, request_of
from search.planning.estimate import print_needs
from search.planning.plan import JOURNAL, Plan, describe_rules, plan_new
from search.planning.resumption import plan_resumed
from search.policy.packing import MAX_PER_GPU
from search.sampling.journal import Journal
from search.storage.claim import claimed, claimed_new, remembered_by, storage_of
from search.storage.mirror import Mirror, MirroredDisplay, SilentMirror
from search.trials.display import TerminalDisplay, logging_to, say
from search.trials.driver import Driver, Limits
from search.trials.outcome import print_outcome, write_best, write_hindsight
from search.trials.warmstart import copy_priors

log = logging.getLogger("search")

LOG = "search.log"
"""File of a study folder: what happened, in full."""


def main(argv: list[str] | None = None) -> int:
    """Search; returns the exit status."""
    arguments = parse(argv)
    check_settings()
    # Where no terminal tells its width, a table may be as wide as its recipes.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    command = provenance.command_line("search.run", argv)
    request = request_of(arguments)
    if arguments.dry_run:
        plan = plan_resumed(request) if arguments.resume else plan_new(request, command)
        _print_head(console, plan)
        print_needs(console, plan, arguments.device)
        return SUCCESS
    storage = storage_of(request, resume=arguments.resume)
    if storage is not None:
        request = dataclasses.replace(request, storage=storage.uri)
    with contextlib.ExitStack() as stack:
        if arguments.resume:
            mirror = stack.enter_context(claimed(request, storage))
            plan = plan_resumed(request)
        else:
            plan = plan_new(request, command)
            mirror = stack.enter_context(claimed_new(storage, plan.folder))
        images = open_images(plan.catalog, plan.view)
        if arguments.resume:
            stack.enter_context(Study.open(plan.folder).lock())
        try:
            own = stack.enter_context(cluster.ray_session(arguments.address))
        except cluster.RayNotStarted as failure:
            print(f"error: {failure}", file=sys.stderr)
            return FAILURE
        # Not before: Ray's own handler would print where its threads are, and end the process.
        stack.enter_context(signals.listening())
        resources = _resources(plan, arguments)
        kept = _describe_storage(plan, mirror, resume=arguments.resume)
        # A new study is written only now, when nothing can be refused any more.
        study = _resumed(plan) if arguments.resume else stack.enter_context(_created(plan))
        stack.enter_context(logging_to(study.folder / LOG, console))
        stack.enter_context(_last_words(console, study))
        log.info("command: %s", command)
        say(console, f"study {study.name} in {study.folder}")
        _print_head(console, plan)
        say(console, describe(resources, nodes.look(), own))
        for words in filter(None, [kept]):
            say(console, words)
        stack.enter_context(_closing(console, mirror))
        mirror.begin(study)
        tracker, words = make_tracker(study)
        stack.enter_context(_closing(console, tracker))
        say(console, words)
        has_winner = _search(console, plan, study, images, resources, arguments, tracker, mirror)
        return print_outcome(console, study, has_winner=has_winner)


@contextlib.contextmanager
def _closing(console: Console, listener: WandbTracker | SilentTracker | Mirror | SilentMirror) -> Iterator[None]:
    """Close the tracker or the mirror at the end, however it comes; its words are the last."""
    try:
        yield
    except BaseException:
        listener.close(finished=False)
        raise
    for words in filter(None, [listener.close(finished=True)]):
        say(console, words)


def _describe_storage(plan: Plan, mirror: Mirror | SilentMirror, *, resume: bool) -> str:
    """Where the study is mirrored, or what its absence costs where that is not obvious."""
    if isinstance(mirror, Mirror):
        earlier = remembered_by(Study.open(plan.folder)) if resume else None
        moved = f"; what {earlier} holds stays as it is" if earlier not in (None, plan.info["storage"]) else ""
        return f"storage: mirrored in {mirror.storage}{moved}"
    known = nodes.look()
    if len(known.now) + known.max_more <= 1:
        return ""
    return (
        "storage: none; a trial whose node dies repeats its fold, and if this machine is lost, so is the study "
        f"({plan.folder}), unless --storage names a place for both"
    )


@contextlib.contextmanager
def _last_words(console: Console, study: Study) -> Iterator[None]:
    """Say how a search that has begun came to its end before its time."""
    heartbeat.on_crash(functools.partial(_report_crash, study))
    try:
        yield
    except KeyboardInterrupt:
        console.print()
        say(console, f"interrupted; {_going_on(study)}")
        sys.exit(INTERRUPTED)
    except heartbeat.RayCrashed as crash:
        _report_crash(study, str(crash))
        sys.exit(FAILURE)
    except UserError as mistake:
        log.error("%s", mistake)
        raise
    except Exception as error:
        log.critical("the search failed", exc_info=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE):
            raise
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"error: {words}; the traceback is in {study.folder / LOG}", file=sys.stderr)
        sys.exit(FAILURE)


def _report_crash(study: Study, words: str) -> None:
    log.error("%s", words)
    print(f"error: {words}; {_going_on(study)}", file=sys.stderr)


def _going_on(study: Study) -> str:
    """What to do after a search that ended too early."""
    place = f"--study {study.name} --runs {shlex.quote(str(study.folder.parent))}"
    return f"finished folds are kept. Go on with:\n  python -m search.run --resume {place}"


def _resources(plan: Plan, arguments: argparse.Namespace) -> Resources:
    resources = plan_resources(
        arguments.device, arguments.cpus_per_trial, arguments.gpus_per_trial, arguments.max_gpus, nodes.look()
    )
    here = sum(resources.on(node) for node in nodes.nodes_now() if nodes.is_here(node))
    sharing = MAX_PER_GPU if resources.packed else 1
    require_space(cache_dir(), plan.checkpoint_bytes() * here * sharing, "the trials' checkpoints")
    return resources


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
            _remove(plan.folder / "trials")
            copy_priors(plan.priors, plan.folder)
        yield Study.create(plan.folder, plan.info)


def _remove(leftover: Path) -> None:
    """Remove what a start left behind that died before there was a study: nothing there belongs to the next one."""
    if leftover.is_symlink() or leftover.is_file():
        leftover.unlink()
    elif leftover.is_dir():
        shutil.rmtree(leftover)


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
    resources: Resources,
    arguments: argparse.Namespace,
    tracker: WandbTracker | SilentTracker,
    mirror: Mirror | SilentMirror,
) -> bool:
    """Run all trials and write down what came of them; returns whether there is a winner."""
    _draw_augmented(images, plan, study)
    display = TerminalDisplay(
        Console(quiet=True, force_terminal=False) if arguments.quiet else console,
        num_trials=plan.num_trials + len(plan.priors),
        num_folds=plan.info["folds"],
        objective=plan.rules.objective,
    )
    journal = Journal(
        study.folder / JOURNAL,
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
        limits=Limits(num_trials=plan.num_trials, budget_hours=plan.budget_hours),
        rules=plan.rules,
        tracker=tracker,
        display=MirroredDisplay(display, mirror),
        on_best=write,
    )
    data = TrialData(
        images=Path(str(images.filename)) if ray_private.is_own() else images,  # type: ignore[attr-defined]
        labels=plan.catalog.table["label"].to_numpy(dtype=np.int64),
        folds=list(plan.splits.rows(plan.catalog)),
        checkpoints=checkpoints_of(study),
        storage=mirror.uri,
    )
    with display.running():
        run_trials(driver, data, resources)
    if driver.best is not None:
        # Later trials change what luck the winner may have had.
        write(driver.race)
    write_hindsight(study, plan.space, journal)
    shutil.rmtree(checkpoints_of(study), ignore_errors=True)
    return driver.best is not None


def _draw_augmented(images: np.ndarray, plan: Plan, study: Study) -> None:
    """A few images of both classes under the starting recipe, for the report."""
    labels = plan.catalog.table["label"].to_numpy()
    rows = np.concatenate([np.flatnonzero(labels == label)[:3] for label in range(len(CLASS_NAMES))])
    plot_augmented(augmented_sheet(np.asarray(images[rows]), plan.space.start), study.folder / AUGMENTED)


def checkpoints_of(study: Study) -> Path:
    """Where this study's trials keep their checkpoints, on each worker's own disk."""
    return cache_dir() / "checkpoints" / str(study.info["study_uid"])


if __name__ == "__main__":
    run_command(main)
