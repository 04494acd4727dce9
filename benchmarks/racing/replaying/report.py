"""Tables and summary of replayed searches."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from benchmarks.racing.replaying.entrants import ORACLE, ORACLE_IN_SIGHT, OURS, OURS_PARALLEL, RANDOM, STOCK
from benchmarks.racing.replaying.replays import CRITERIA, Criterion, Replays, Source, median, ratio, stage_of
from leukemia.base import provenance

Names = dict[Criterion, dict[str, str]]
"""By criterion and tuned search, such as *stock*: its name with the settings that are best by that criterion."""

ORACLES: dict[Criterion, str] = {"best": ORACLE, "as all": ORACLE, "in sight": ORACLE_IN_SIGHT}

TITLES: dict[Criterion, str] = {
    "best": "Until the choice stays within half a point of the best recipe",
    "as all": "Until the choice stays within half a point of what running every recipe in full would pick",
    "in sight": "Until the visible score stays within half a point of the highest",
}


def floor_of(source: Source, seeds: range) -> float:
    """Median device seconds of the best recipe's folds alone: a lower bound for any search."""
    costs = []
    for seed in seeds:
        view = stage_of(source, seed).view
        costs.append(float(view.seen.fold_seconds[0, view.truth.argmax()].sum()))
    return float(np.median(costs))


def heading(source: Source, command: str, num_seeds: int, num_workers: int) -> list[str]:
    """What was run on what, and how to read the tables."""
    about = json.loads((source.folder / "record.json").read_text(encoding="utf-8"))
    tuned_on = "seeds" if source.num_recipes is None else "tables"
    machine = provenance.hardware("cpu")
    devices = "; ".join(about.get("devices", ["unknown"]))
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return [
        f"# Searches replayed on a {source.name} table of {len(stage_of(source, 0).view.seen.recipes)} recipes",
        "",
        f"`{command}`",
        "",
        f"{num_seeds} seeds, {num_workers} simulated workers. Device minutes of all workers, including work in flight, "
        "until a criterion is met for good: median [quartiles] over seeds. *Reached* is the share of seeds in which it "
        "is met; the others count as infinite. Ratios are ratios of medians with 95 % bootstrap intervals over seeds. "
        f"Settings of published methods were tuned for each criterion on other {tuned_on}; ours are the defaults.",
        "",
        f"Recorded on {devices}; replayed with {versions} on {machine['processors']} processors, {machine['system']}.",
    ]


def markdown(replays: dict[str, Replays], names: Names, floor: float) -> list[str]:
    """One table per criterion with all searches, cheapest first, and one with their last choices."""
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
    lines += [f"The best recipe's folds alone, without a search: {floor / 60:.1f} device minutes.", ""]
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
    """The content of ``--json``; None for a ratio without a finite median."""

    def over(name: str, other: str, criterion: Criterion) -> float | None:
        costs = [replays[names[criterion].get(each, each)].costs[criterion] for each in (name, other)]
        value = ratio(*costs)[0]
        return None if math.isnan(value) else value

    ratios = {
        f"{label}{suffix}_vs_{other}": over(name, other, criterion)
        for criterion, label in zip(CRITERIA, ("cost_ratio", "as_all", "in_sight"), strict=True)
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
