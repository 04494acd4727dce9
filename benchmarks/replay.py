"""Which search finds a good recipe for the least device time? Replays on recipes that were trained in full.

    python benchmarks/replay.py record DATA FOLDER [--recipes 40] [--folds 5] [--seeds 2] [--images N]
                                       [--set FIELD=VALUE ...] [--workers N]
    python benchmarks/replay.py reduce FOLDER TO [--even-seconds]
    python benchmarks/replay.py [--table FOLDER] [--seeds 200] [--workers 8] [--recipes 200] [--json]

A replay runs a search in simulated time on a number of workers. Its cost is the device time of all workers, work in
flight included, until its choice stays within half a point of the best recipe for good. Truth is what no search sees:
of a recorded table the mean of the other seeds (each seed is seen in its share of the replays), of a resampled one the
model's own means. Recorded recipes are few; with --recipes tables of so many are resampled from a model fitted to the
record, and all that comes from them is labelled so.

The truth of a recorded table is noisy, and so is what a search sees: the best by the one is seldom the best by the
other. Two more criteria tell a search's cost apart from that noise: until its choice is as good as that of a search
which runs every recipe in full ("as all"), and until its visible score is near the highest ("in sight").

Settings of other people's searches are tuned on seeds of their own (of resampled tables: on tables of their own); ours
are the defaults. Every search begins with the starting recipe and draws from the same recipes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from entrants import (
    ORACLE,
    ORACLE_IN_SIGHT,
    OURS,
    OURS_PARALLEL,
    RANDOM,
    STOCK,
    Entrant,
    fixed_entrants,
    tuned_entrants,
)
from regret_figure import COLORS, draw_regret
from replaying import CRITERIA, GRID, Criterion, Pool, Replays, Source, median, ratio, replay_all, stage_of, tune
from table import reduce_table

from leukemia.base import provenance
from leukemia.base.errors import UserError

HERE = Path(__file__).resolve().parent

Names = dict[Criterion, dict[str, str]]

ORACLES: dict[Criterion, str] = {"best": ORACLE, "as all": ORACLE, "in sight": ORACLE_IN_SIGHT}

TITLES: dict[Criterion, str] = {
    "best": "Until the choice stays within half a point of the best recipe",
    "as all": "Until it stays as good, within half a point, as what a search picks that runs every recipe in full",
    "in sight": "Until its visible score stays within half a point of the highest",
}


def main(argv: list[str] | None = None) -> int:
    """Parse, call one use case, say where the result lies."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "record":
            return _record(arguments)
        if arguments.command == "reduce":
            reduce_table(arguments.folder, arguments.to, even=arguments.even_seconds)
            print(f"{arguments.to}: {sum(file.stat().st_size for file in arguments.to.iterdir()) / 1e6:.1f} MB")
            return 0
        return _replay(arguments, sys.argv[1:] if argv is None else argv)
    except (UserError, FileNotFoundError) as error:
        parser.exit(2, f"{error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--table", type=Path, default=HERE / "recorded", help="a recorded table (default: the one shipped)"
    )
    parser.add_argument("--seeds", type=int, default=200, help="replays of each search (default: 200)")
    parser.add_argument("--workers", type=int, default=8, help="simulated workers (default: 8)")
    parser.add_argument("--recipes", type=int, help="resample tables of so many recipes")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="processes that replay (default: all cores)"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the figure and the table")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    commands = parser.add_subparsers(dest="command")
    recording = commands.add_parser("record", help="train recipes in full")
    recording.add_argument("data")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--recipes", type=int, default=40)
    recording.add_argument("--folds", type=int, default=5)
    recording.add_argument("--seeds", type=int, default=2)
    recording.add_argument("--images", type=int, help="a draw of so many images (default: all)")
    recording.add_argument("--set", dest="settings", metavar="FIELD=VALUE", action="append", default=[])
    recording.add_argument("--workers", type=int, default=1, help="processes that train")
    reducing = commands.add_parser("reduce", help="copy a record in a form small enough to ship")
    reducing.add_argument("folder", type=Path)
    reducing.add_argument("to", type=Path)
    reducing.add_argument(
        "--even-seconds", action="store_true", help="of a record made on a busy machine: see table.even_seconds"
    )
    return parser


def _require_positive(arguments: argparse.Namespace, *names: str) -> None:
    """Refuse numbers below 1; None stands for the default."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name}: expected 1 or more, got {value}")


def _record(arguments: argparse.Namespace) -> int:
    # Whoever only replays does not wait for PyTorch.
    from recording import Wanted, record

    from leukemia.config.fields import parse_settings

    _require_positive(arguments, "recipes", "folds", "seeds", "images", "workers")
    wanted = Wanted(
        data=arguments.data,
        settings=parse_settings(arguments.settings),
        num_recipes=arguments.recipes,
        num_folds=arguments.folds,
        num_seeds=arguments.seeds,
        num_images=arguments.images,
    )
    record(wanted, arguments.folder, arguments.workers)
    print(arguments.folder)
    return 0


def _replay(arguments: argparse.Namespace, argv: list[str]) -> int:
    start = time.perf_counter()
    _require_positive(arguments, "seeds", "workers", "recipes", "processes")
    source = Source(arguments.table.resolve(), arguments.recipes)
    seen = stage_of(source, 0).view.seen
    pool = Pool(arguments.processes)
    print(f"{source.name} table of {len(seen.recipes)} recipes: tuning the settings of others", flush=True)
    entrants, names = _entrants(source, arguments.workers, pool)
    seeds = range(arguments.seeds)
    replays = dict(
        zip(entrants, replay_all(list(entrants.values()), source, seeds, arguments.workers, pool), strict=True)
    )
    floor = floor_of(source, seeds)
    lines = [*_heading(source, arguments, argv, len(seen.recipes)), "", *markdown(replays, names, floor)]
    lines += ["", f"{time.perf_counter() - start:.0f} s."]
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"replay_{source.name}"
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    in_full = float(seen.fold_seconds[0].sum())
    drawn = {name: replays[names["as all"].get(name, name)].regrets for name in COLORS}
    title = f"{len(seen.recipes)} {source.name} recipes, {arguments.workers} workers, {arguments.seeds} seeds"
    draw_regret(drawn, GRID * in_full, title, path.with_suffix(".png"))
    print("\n".join(lines))
    print(f"{path.with_suffix('.md')}, {path.with_suffix('.png')}")
    if arguments.json:
        print(json.dumps(summary(replays, names, floor, source, arguments.workers), allow_nan=False))
    return 0


def _entrants(source: Source, num_workers: int, pool: Pool) -> tuple[dict[str, Entrant], Names]:
    """All searches by name; and by criterion the name of a tuned search, such as stock, as it does best by that."""
    seen = stage_of(source, 0).view.seen
    entrants: dict[str, Entrant] = {}
    names: Names = {criterion: {} for criterion in CRITERIA}
    for name, grid in tuned_entrants(seen.num_folds, seen.accuracy.shape[3]).items():
        for criterion, entrant in tune(grid, source, num_workers, pool).items():
            same = next((known for known, each in entrants.items() if each == entrant), None)
            names[criterion][name] = same or f"{name}, tuned for {criterion}"
            entrants[names[criterion][name]] = entrant
    return entrants | {each.name: each for each in fixed_entrants(len(seen.scores))}, names


def floor_of(source: Source, seeds: range) -> float:
    """Median device seconds of the best recipe's folds: what a search costs that needs no search."""
    costs = []
    for seed in seeds:
        view = stage_of(source, seed).view
        costs.append(float(view.seen.fold_seconds[0, view.truth.argmax()].sum()))
    return float(np.median(costs))


def _heading(source: Source, arguments: argparse.Namespace, argv: Sequence[str], num_recipes: int) -> list[str]:
    about = json.loads((source.folder / "record.json").read_text(encoding="utf-8"))
    tuned_on = "seeds" if source.num_recipes is None else "tables"
    machine = provenance.hardware("cpu")
    devices = "; ".join(about.get("devices", ["unknown"]))
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return [
        f"# Searches replayed on a {source.name} table of {num_recipes} recipes",
        "",
        f"`python benchmarks/replay.py {shlex.join(argv)}`",
        "",
        f"{arguments.seeds} seeds, {arguments.workers} simulated workers. Device minutes of all workers, work in "
        "flight included, until a criterion is met for good: median [quartiles] over seeds. *Reached* is the share of "
        "seeds in which it is, the others count as infinite. Ratios are of medians, with 95 % intervals by bootstrap "
        "over seeds. Settings of other people's searches were tuned, by each criterion, on other "
        f"{tuned_on}; ours are the defaults.",
        "",
        f"Recorded on {devices}; replayed with {versions} on {machine['processors']} processors, {machine['system']}.",
    ]


def markdown(replays: dict[str, Replays], names: Names, floor: float) -> list[str]:
    """One table per criterion: all searches, the cheapest first."""
    lines = []
    for criterion in CRITERIA:
        random, stock = (replays[names[criterion].get(name, name)].costs[criterion] for name in (RANDOM, STOCK))
        lines += [f"## {TITLES[criterion]}", "", "| search | device minutes | reached | over random | over stock |"]
        lines += ["|---|---|---|---|---|"]
        for name, each in sorted(replays.items(), key=lambda item: _order(item[1], criterion)):
            cost = each.costs[criterion]
            compared = f"{_interval(ratio(cost, random))} | {_interval(ratio(cost, stock))}"
            lines.append(f"| {name} | {_quartiles(cost)} | {each.reached(criterion):.2f} | {compared} |")
        lines += [""]
    lines += [f"The best recipe's folds alone, without any search: {floor / 60:.1f} device minutes.", ""]
    lines += ["## Last choices", "", "| search | mean regret, points | settings |", "|---|---|---|"]
    for name, each in sorted(replays.items(), key=lambda item: item[1].final_regret):
        lines.append(f"| {name} | {100 * each.final_regret:.2f} | {each.entrant.settings} |")
    return lines


def _order(replays: Replays, criterion: Criterion) -> tuple[float, float]:
    return median(replays.costs[criterion]), -replays.reached(criterion)


def _quartiles(costs: np.ndarray) -> str:
    low, middle, high = (float(np.sort(costs)[int(share * len(costs))]) for share in (0.25, 0.5, 0.75))
    return f"{_minutes(middle)} [{_minutes(low)}, {_minutes(high)}]"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}" if math.isfinite(seconds) else "never"


def _interval(values: tuple[float, float, float]) -> str:
    value, low, high = values
    return "–" if math.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def summary(
    replays: dict[str, Replays], names: Names, floor: float, source: Source, num_workers: int
) -> dict[str, Any]:
    """What ``--json`` prints; None for a ratio without a finite median."""

    def over(name: str, other: str, criterion: Criterion) -> float | None:
        costs = [replays[names[criterion].get(each, each)].costs[criterion] for each in (name, other)]
        value = ratio(*costs)[0]
        return None if math.isnan(value) else value

    ratios = {
        f"{label}{suffix}_vs_{other}": over(name, other, criterion)
        for criterion, label in (("best", "cost_ratio"), ("as all", "as_all"), ("in sight", "in_sight"))
        for name, suffix in ((OURS, ""), (OURS_PARALLEL, "_parallel_folds"), (ORACLES[criterion], "_oracle_stopper"))
        for other in (STOCK, RANDOM)
    }
    random = median(replays[RANDOM].costs["in sight"])
    return {
        "table": source.name,
        "resampled": source.num_recipes is not None,
        "recipes": len(stage_of(source, 0).view.seen.recipes),
        "workers": num_workers,
        "seeds": len(replays[OURS].regrets),
        **ratios,
        "in_sight_best_recipe_alone_vs_random": floor / random,
        "reached": {name: each.reached("best") for name, each in replays.items()},
        "reached_as_all": {name: each.reached("as all") for name, each in replays.items()},
        "last_regret": {name: each.final_regret for name, each in replays.items()},
        "stock": {criterion: replays[names[criterion][STOCK]].entrant.settings for criterion in CRITERIA},
    }


if __name__ == "__main__":
    sys.exit(main())
