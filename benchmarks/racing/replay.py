"""Which search finds a good recipe for the least device time? Replay searches on recipes that were trained in full.

    python -m benchmarks.racing.replay [--table FOLDER] [--seeds 200] [--workers 8] [--recipes 200] [--json]

A replay runs a search in simulated time on a number of workers. Its cost is the device time of all workers, including
work in flight, until its choice stays within half a point of the best recipe for good. The true accuracy is hidden from
the search: for a recorded table it is the mean over the other seeds (each seed is visible in its share of the replays),
for a resampled table it is known from the model. Few recipes are recorded; with --recipes, tables of that many recipes
are sampled from a model fitted to the record, and their results are labelled *resampled*.

Both the true accuracy of a recorded table and the scores that a search sees are noisy, and the best recipes by the two
often differ. Two more criteria separate the cost of a search from that noise: until its choice is as good as that of a
search that runs every recipe in full ("as all"), and until its visible score is near the highest ("in sight").

Settings of published methods are tuned on separate seeds (separate tables, if resampled); ours are the defaults. Every
search starts with the starting recipe and draws from the same recipes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from benchmarks.racing.replaying.entrants import Entrant, fixed_entrants, tuned_entrants
from benchmarks.racing.replaying.figure import COLORS, draw_regret
from benchmarks.racing.replaying.replays import CRITERIA, GRID, Pool, Source, replay_all, stage_of, tune
from benchmarks.racing.replaying.report import Names, floor_of, heading, markdown, summary
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import SUCCESS, UserError, run_command

HERE = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> int:
    """Replay all searches, write tables and figure, print where they are."""
    arguments = _parser().parse_args(argv)
    for name in ("seeds", "workers", "recipes", "processes"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name}: expected 1 or more, got {value}")
    start = time.perf_counter()
    source = Source(arguments.table.resolve(), arguments.recipes)
    seen = stage_of(source, 0).view.seen
    pool = Pool(arguments.processes)
    print(f"{source.name} table of {len(seen.recipes)} recipes: tuning the settings of published methods", flush=True)
    entrants, names = _entrants(source, arguments.workers, pool)
    seeds = range(arguments.seeds)
    replays = dict(
        zip(entrants, replay_all(list(entrants.values()), source, seeds, arguments.workers, pool), strict=True)
    )
    floor = floor_of(source, seeds)
    command = f"python -m benchmarks.racing.replay {shlex.join(sys.argv[1:] if argv is None else argv)}".strip()
    lines = [*heading(source, command, arguments.seeds, arguments.workers), "", *markdown(replays, names, floor)]
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
    return SUCCESS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=HERE / "recorded", help="recorded table (default: recorded/)")
    parser.add_argument("--seeds", type=int, default=200, help="replays of each search (default: 200)")
    parser.add_argument("--workers", type=int, default=8, help="simulated workers (default: 8)")
    parser.add_argument("--recipes", type=int, help="replay on resampled tables with this many recipes")
    parser.add_argument(
        "--processes", type=int, default=available_cpus(), help="processes that run replays (default: all CPUs)"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", help="output folder (default: results/)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def _entrants(source: Source, num_workers: int, pool: Pool) -> tuple[dict[str, Entrant], Names]:
    """All searches by name, and the name of each tuned search with its best settings by each criterion."""
    seen = stage_of(source, 0).view.seen
    entrants: dict[str, Entrant] = {}
    names: Names = {criterion: {} for criterion in CRITERIA}
    for name, grid in tuned_entrants(seen.num_folds, seen.accuracy.shape[3]).items():
        for criterion, entrant in tune(grid, source, num_workers, pool).items():
            same = next((known for known, each in entrants.items() if each == entrant), None)
            names[criterion][name] = same or f"{name}, tuned for {criterion}"
            entrants[names[criterion][name]] = entrant
    return entrants | {each.name: each for each in fixed_entrants(len(seen.scores))}, names


if __name__ == "__main__":
    run_command(main)
