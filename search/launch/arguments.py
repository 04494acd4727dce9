"""The arguments of ``python -m search.run``."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import typing

from leukemia.base import cli
from leukemia.base.errors import UserError
from leukemia.config.presets import PRESETS
from leukemia.config.protocol import PROTOCOLS
from leukemia.config.results import COST, OBJECTIVES
from leukemia.data.reading import Reading
from leukemia.plugins.registry import load_named
from leukemia.study import layout
from leukemia.study.field_types import MAX_STARTS
from leukemia.study.schema import SamplerName, SearchOptions, StudyInfo
from search.launch.config_file import with_config
from search.planning.own_recipes import read_recipes
from search.planning.own_space import read_wishes
from search.planning.request import NO_STORAGE, Request, settings_of

DEFAULTS = SearchOptions()

OPTIONS = {field.name for field in dataclasses.fields(SearchOptions)} - {
    *("settings", "storage", "asked", "recipes", "plugins")
}
"""Options set by arguments of the same name."""

LOWEST = {
    "gpus_per_trial": 0.01,
    "cpus_per_trial": 1,
    "max_gpus": 1,
    "budget_hours": 0,
    "seed": 0,
    "margin": 0,
    "repeats": 0,
    "patience": 1,
    "paused_gb": 0,
}
"""Lower bounds of numbers; trials and folds are checked later, together with the study and the data."""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parse a command line; arguments that are not given are None.

    Raises:
        UserError: a number is too low or not finite, or ``--config`` cannot be read.
    """
    arguments = _parser().parse_args(with_config(sys.argv[1:] if argv is None else argv))
    for name, low in LOWEST.items():
        value, flag = getattr(arguments, name), f"--{name.replace('_', '-')}"
        if value is None or isinstance(value, str):
            continue
        if not value >= low:
            raise UserError(f"{flag}: expected at least {low:g}, got {str(value)[:20]}")
        if value == math.inf:
            raise UserError(f"{flag}: expected a finite number, got {value}; leave it out for the default")
    return arguments


def request_of(arguments: argparse.Namespace) -> Request:
    """The request for a study in these arguments; runs the files of ``--plugin``."""
    # First, since settings and searched fields may be those of plug-ins.
    plugins = load_named(arguments.plugins)
    options = {name: getattr(arguments, name) for name in OPTIONS}
    if arguments.settings:
        options["settings"] = settings_of(arguments.settings)
    wishes, remarks = read_wishes(arguments.space, arguments.search)
    return Request(
        runs=arguments.runs,
        study=arguments.study,
        data=arguments.data,
        reading=Reading.of(arguments),
        storage=arguments.storage,
        cpus_per_trial=arguments.cpus_per_trial,
        given={name: value for name, value in options.items() if value is not None},
        wishes=wishes,
        recipes=read_recipes(arguments.recipes),
        remarks=tuple(remarks),
        plugins=plugins,
    )


def not_remembered(arguments: argparse.Namespace, info: StudyInfo | None) -> list[str]:
    """The arguments about hardware and plug-ins that must be given again to resume a study under the same conditions.

    Args:
        info: of the study; None if it is not known: then they may be more than that.
    """
    names = ["address", "device", "gpus_per_trial", "max_gpus", "paused_gb"]
    if info is None or info.cpu_threads is None:
        names.append("cpus_per_trial")
    given = {name: getattr(arguments, name) for name in names}
    if given["device"] == cli.AUTO:
        del given["device"]
    words = [(f"--{name.replace('_', '-')}", f"{value}") for name, value in given.items() if value is not None]
    # A file is never run because a study has it.
    words += [("--plugin", f"{path}") for path in arguments.plugins]
    return [word for pair in words for word in pair]


def _number_or_auto(text: str) -> float | str:
    if text == cli.AUTO:
        return cli.AUTO
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or {cli.AUTO}, got {text!r}") from None


def _shares(text: str) -> list[float]:
    """
    >>> _shares("0.05,0.5"), _shares("")
    ([0.05, 0.5], [])
    """
    try:
        return [float(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas in between, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "search.run",
        "Search for the best recipe: Optuna proposes recipes, Ray Tune trains them, and Weights & Biases tracks them.",
        "--data C-NMC_Leukemia --trials 50 --set train.epochs=30",
    )
    data = parser.add_argument_group("data and study")
    cli.add_data(data, "the sample set")
    data.add_argument("--study", metavar="NAME", help="name of the study (default: the time, a word, 4 digits)")
    cli.add_runs(data)
    data.add_argument("--resume", action="store_true", help="resume --study, or the newest study")
    data.add_argument(
        "--storage",
        metavar="URI",
        help="folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER to mirror the study and its checkpoints to, so that it "
        f"can be resumed on other machines; remembered by --resume; {NO_STORAGE!r} disables it",
    )
    cli.add_wandb_ids(data)
    data.add_argument(
        "--config",
        type=cli.path,
        metavar="FILE.yaml",
        help="options by name, such as trials: 50; what is on the command line as well takes precedence. Every study "
        f"has the one that runs it again, {layout.CONFIG}",
    )
    search = parser.add_argument_group("search")
    search.add_argument("--trials", type=int, metavar="N", help=f"total number of trials (default: {DEFAULTS.trials})")
    search.add_argument("--folds", type=int, metavar="K", help=f"folds per trial (default: {DEFAULTS.folds})")
    search.add_argument(
        "--preset",
        choices=list(PRESETS),
        help=f"recipe of trial 0, and values of all fields that are not searched (default: {DEFAULTS.preset})",
    )
    cli.add_settings(search, "fix a field of the recipe, such as train.epochs=40; can be repeated")
    cli.add_plugins(search)
    search.add_argument(
        "--space",
        type=cli.location,
        metavar="FILE.yaml",
        help="what to search, in the form of a W&B sweep (parameters: model.depth: {values: [18, 50]}, ...): changes "
        "the built-in space, or with 'only: true' replaces it",
    )
    search.add_argument(
        "--search",
        action="append",
        default=[],
        metavar="FIELD=...",
        help="search a field among values or in a range: model.depth=18,50, augment.cutout=0..0.5, "
        "optimizer.learning_rate=1e-4..1e-2:log; can be repeated",
    )
    search.add_argument(
        "--recipes",
        type=cli.location,
        metavar="FILE.yaml",
        help="compare these recipes instead of searching: a list of differences from the preset, such as "
        "- {name: deep, model.depth: 50}. Each runs on all folds, with --repeats other seeds",
    )
    search.add_argument(
        "--objective",
        metavar="NAME",
        help=f"score to maximize: {', '.join(OBJECTIVES)}; or a score and the cost, as in {OBJECTIVES[0]},{COST} "
        f"(default: {DEFAULTS.objective})",
    )
    search.add_argument(
        "--protocol", choices=PROTOCOLS, help="how images are split (default: grouped if patient IDs are known)"
    )
    search.add_argument("--seed", type=int, metavar="N", help=f"seed of folds and proposals (default: {DEFAULTS.seed})")
    search.add_argument(
        "--warm-start", nargs="+", metavar="STUDY", help="start from the finished trials of these studies in --runs"
    )
    stopping = parser.add_argument_group("stopping rules")
    stopping.add_argument(
        "--budget-hours", type=float, metavar="H", help="stop starting trials after H device hours (default: no limit)"
    )
    stopping.add_argument(
        "--racing",
        action=argparse.BooleanOptionalAction,
        help="stop trials that cannot win; --no-racing: run all folds of every trial, except those no better than "
        "chance "
        f"(default: {'on' if DEFAULTS.racing else 'off'})",
    )
    stopping.add_argument(
        "--pausing",
        action=argparse.BooleanOptionalAction,
        help="let trials wait within and after their first fold: the best third goes on, the others only if nothing "
        f"else is left to do (default: {'on' if DEFAULTS.pausing else 'off'})",
    )
    stopping.add_argument(
        "--margin",
        type=float,
        metavar="POINTS",
        help="stop trials that are worse than the best by more than this many percentage points, with 95 %% confidence "
        f"(default: {DEFAULTS.margin:g})",
    )
    stopping.add_argument(
        "--repeats",
        type=int,
        metavar="N",
        help="maximum number of extra seeds for the starting recipe and the leading trials; in a comparison, the "
        f"number of those of every recipe (default: {DEFAULTS.repeats})",
    )
    stopping.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="stop starting trials after N trials without an improvement beyond noise; with pausing, after N/3 "
        f"complete trials' worth of epochs (default: {DEFAULTS.patience})",
    )
    hardware = parser.add_argument_group("hardware")
    hardware.add_argument(
        "--address",
        metavar="ADDR",
        help="address of a Ray cluster, or 'local' to use only this machine "
        "(default: the cluster that this machine belongs to, else local)",
    )
    cli.add_device(hardware)
    hardware.add_argument(
        "--gpus-per-trial",
        type=_number_or_auto,
        metavar="X",
        help=f"GPUs per trial, or a fraction; with {cli.AUTO}, trials share a GPU if its memory allows (default: 1)",
    )
    hardware.add_argument(
        "--cpus-per-trial",
        type=int,
        metavar="N",
        help="CPU cores per trial (default: an equal share); kept by a study on a CPU, where it affects the results; "
        "on a GPU, cores beyond one are used by train.pipeline=reference only",
    )
    hardware.add_argument("--max-gpus", type=int, metavar="N", help="use at most N GPUs (default: all)")
    advanced = parser.add_argument_group("advanced")
    advanced.add_argument(
        "--rungs",
        type=_shares,
        metavar="S,S,...",
        help="with pausing, the shares of the first fold after which trials wait, besides its end; '' for none "
        f"(default: {','.join(f'{share:g}' for share in DEFAULTS.rungs)})",
    )
    advanced.add_argument(
        "--keep",
        type=float,
        metavar="SHARE",
        help=f"with pausing, the share of the trials at a rung that goes on first (default: {DEFAULTS.keep:g})",
    )
    advanced.add_argument(
        "--paused-gb",
        type=float,
        metavar="GB",
        help="with pausing, disk space on each machine for the checkpoints of trials that wait; if they need more, the "
        "worst lose theirs and train again when they go on (default: a fifth of the free space)",
    )
    advanced.add_argument(
        "--sampler",
        choices=typing.get_args(SamplerName),
        help="what proposes recipes: Optuna's TPE over all parameters together or one by one, a Gaussian process, or "
        f"chance; grid compares all combinations of the values of --search (default: {DEFAULTS.sampler})",
    )
    advanced.add_argument(
        "--starts",
        type=int,
        choices=range(1, MAX_STARTS + 1),
        metavar="N",
        help="how many trials begin with known recipes, as far as --set allows: the preset, its twin with AdamW, a "
        f"strong, a cheap and a regularized one (default: {DEFAULTS.starts})",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, print the search space, its cost and the disk space needed, then exit",
    )
    parser.add_argument("--quiet", action="store_true", help="do not show progress")
    return parser
