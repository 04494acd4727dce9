"""Does a cheap first rung pay? Our search replayed without and with one, on the tables of ``replay``.

    python benchmarks/rung_replay.py [--seeds 200] [--workers 8] [--recipes 200] [--table FOLDER]

A rung is fold 0 under a shorter schedule that is complete in itself; a trial that passes it begins its first fold anew.
Costs and criteria are those of ``replay``, but every search is followed to its end, to see whom it stops.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clock import regret_at, simulate
from entrants import OURS, Entrant, enter, rung_entrants
from replaying import CRITERIA, Pool, Source, costs_of, median, ratio, stage_of
from strategies import FoldSearch, RungFirstSearch

from leukemia.base import provenance
from leukemia.base.errors import UserError

HERE = Path(__file__).resolve().parent

NUM_BEST = 5
"""So many recipes, the best in truth, should not be stopped."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a search has done by its end."""

    costs: list[float]
    """Device seconds by each of ``CRITERIA``."""

    whole: float
    """Device seconds until the end."""

    regret: float
    """Of the last choice."""

    stopped_by_rung: float
    """Share of all recipes."""

    best_by_rung: float
    """Share of the best recipes that the rung stopped."""

    best_stopped: float
    """Share of the best recipes that were stopped by anything."""


def play(entrant: Entrant, source: Source, seed: int, num_workers: int) -> Ending:
    """One search to its end."""
    stage = stage_of(source, seed)
    view = stage.view
    search = enter(entrant, stage, np.random.default_rng(seed))
    assert isinstance(search, FoldSearch)
    moments = simulate(search, num_workers)
    by_rung = search.stopped_by_rung if isinstance(search, RungFirstSearch) else []
    best = np.argsort(-view.truth, kind="stable")[:NUM_BEST]
    whole = moments[-1].device_seconds
    return Ending(
        costs=costs_of(moments, view),
        whole=whole,
        regret=float(regret_at(moments, view.truth, np.array([whole]))[0]),
        stopped_by_rung=len(by_rung) / len(view.truth),
        best_by_rung=float(np.isin(best, by_rung).mean()),
        best_stopped=float(np.isin(best, search.stopped).mean()),
    )


def markdown(endings: dict[str, list[Ending]]) -> list[str]:
    """One table: each search beside the one without a rung."""
    lines = ["| search | as all | over ours | in sight | over ours | to the end | over ours | near the best | regret |"]
    lines[0] += " stopped by the rung | of the best five | of them stopped at all |"
    lines += ["|---" * 12 + "|"]
    for name, each in endings.items():
        base = endings[f"{OURS}, repeats" if name.endswith("repeats") else OURS]
        cells = [name]
        for costs, others in zip(_columns(each), _columns(base), strict=True):
            reached = float(np.isfinite(costs).mean())
            cells += [_minutes(median(costs)) + ("" if reached == 1 else f" ({reached:.2f})"), _over(costs, others)]
        near = float(np.isfinite([ending.costs[CRITERIA.index("best")] for ending in each]).mean())
        cells += [f"{near:.2f}", f"{100 * np.mean([ending.regret for ending in each]):.2f}"]
        for part in ("stopped_by_rung", "best_by_rung", "best_stopped"):
            cells.append(f"{100 * np.mean([getattr(ending, part) for ending in each]):.1f} %")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _columns(endings: Sequence[Ending]) -> list[np.ndarray]:
    """Device seconds: as good as a full evaluation's choice, highest score in sight, to the end."""
    wanted = [CRITERIA.index("as all"), CRITERIA.index("in sight")]
    by_criterion = [np.array([ending.costs[index] for ending in endings]) for index in wanted]
    return [*by_criterion, np.array([ending.whole for ending in endings])]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}" if np.isfinite(seconds) else "never"


def _over(costs: np.ndarray, others: np.ndarray) -> str:
    value, low, high = ratio(costs, others)
    return "–" if np.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def heading(source: Source, arguments: argparse.Namespace, argv: Sequence[str], num_recipes: int) -> list[str]:
    """What was run, and how to read the table."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return [
        f"# A first rung or none, on a {source.name} table of {num_recipes} recipes",
        "",
        f"`{shlex.join(['python', 'benchmarks/rung_replay.py', *argv])}`",
        "",
        f"{arguments.seeds} seeds, {arguments.workers} simulated workers. Device minutes of all workers, median over "
        "seeds (share of seeds that reach the criterion for good, where not all do), and ratios of medians to ours "
        "without a rung, with repeats to ours with repeats; 95 % intervals by bootstrap over seeds. *As all*: as good, "
        "within half a point, as what a search picks that runs every recipe in full. *In sight*: the visible score is "
        "within half a point of the highest. *To the end*: all recipes tried. *Near the best*: share of seeds whose "
        "choice stays within half a point of the best recipe. Regret of the last choice in points. *Foretelling* is a "
        "bound: such a rung knows what the judge will say after fold 0.",
        "",
        f"Replayed with {versions}.",
        "",
    ]


def main(argv: list[str] | None = None) -> int:
    """Replay, print the table, say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=HERE / "recorded", help="a recorded table with rungs")
    parser.add_argument("--seeds", type=int, default=200, help="replays of each search (default: 200)")
    parser.add_argument("--workers", type=int, default=8, help="simulated workers (default: 8)")
    parser.add_argument("--recipes", type=int, help="resample tables of so many recipes")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the table")
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    try:
        for name in ("seeds", "workers", "processes"):
            if getattr(arguments, name) < 1:
                raise UserError(f"--{name}: expected 1 or more, got {getattr(arguments, name)}")
        source = Source(arguments.table.resolve(), arguments.recipes)
        seen = stage_of(source, 0).view.seen
        if seen.rungs is None:
            raise UserError(f"{source.folder}: expected a record with rungs.parquet")
    except (UserError, FileNotFoundError) as error:
        parser.exit(2, f"{error}\n")
    entrants, seeds = rung_entrants(len(seen.scores)), range(arguments.seeds)
    jobs = [(entrant, source, seed, arguments.workers) for entrant in entrants for seed in seeds]
    found = Pool(arguments.processes).starmap(play, jobs)
    endings = {each.name: found[place * len(seeds) :][: len(seeds)] for place, each in enumerate(entrants)}
    lines = [*heading(source, arguments, sys.argv[1:] if argv is None else argv, len(seen.recipes))]
    lines += [*markdown(endings), "", f"{time.perf_counter() - start:.0f} s."]
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"replay_{source.name}_rungs.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
