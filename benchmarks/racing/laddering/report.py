"""Tables and summary of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.racing.laddering.cell import Cell, Effort, Result
from benchmarks.racing.laddering.entrants import BUDGETS, WITHOUT_AND_WITH
from benchmarks.racing.replaying.replays import median, ratio
from leukemia.base import provenance

Ratio = tuple[float, float, float]
"""A ratio of medians with the ends of its 95 % bootstrap interval over seeds; NaN if it is not finite."""

Figures = dict[str, Ratio]

LADDER, BEFORE, RANDOM, STOCK, ORACLE = "ladder", "before", "random", "stock, complete trials", "oracle at 25 %"


def figures_of(results: Sequence[Result]) -> Figures:
    """The ladder's device time over that of the others, and that of an oracle over that of the search before."""
    costs = {each.entrant.name: each.costs for each in results if math.isinf(each.entrant.budget)}
    return {
        "over_random": ratio(costs[LADDER], costs[RANDOM]),
        "over_before": ratio(costs[LADDER], costs[BEFORE]),
        "over_stock_complete": ratio(costs[LADDER], costs[STOCK]),
        "oracle_25": ratio(costs[ORACLE], costs[BEFORE]),
    }


def summary_of(results: Sequence[Result], figures: Figures) -> dict[str, float | None]:
    """The cell in the last line of ``--json``; None for a ratio that is not finite."""
    reach = {each.entrant.name: each.reach for each in results if math.isinf(each.entrant.budget)}
    ratios = {name: None if math.isnan(value) else value for name, (value, _, _) in figures.items()}
    oracle = ratios.pop("oracle_25")
    return {**ratios, "reach": reach[LADDER], "reach_before": reach[BEFORE], "oracle_25": oracle}


def heading(family: str, command: str, effort: Effort) -> list[str]:
    """What was run on what, and how to read the tables."""
    machine = provenance.hardware("cpu")
    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return [
        f"# Searches with and without the ladder, replayed: {family.replace('_', ' ')}",
        "",
        f"`{command}`",
        "",
        f"{effort.seeds} seeds. Device time of all workers, including work in flight, until the choice stays within "
        "half a point of the highest visible score, in complete trials' worth: median [quartiles]. *Reached* is the "
        "share of seeds in which it does; the others count as infinite. Ratios are of medians, with 95 % bootstrap "
        "intervals over seeds. *Before* is the search without pausing. Stock Ray Tune (ASHA, one bracket) has the best "
        "of many settings, chosen on other tables. Oracles know the winner and stop all others after that share of "
        "fold 0.",
        "",
        "Where a search has a budget, in complete trials' worth, it starts nothing once that is used up, but finishes "
        "what runs: regret is that of its last choice, and device time what it has used in the end (means).",
        "",
        f"Replayed with {versions} on {machine['processors']} processors, {machine['system']}.",
    ]


def markdown(cell: Cell, results: Sequence[Result]) -> list[str]:
    """The tables of a cell: device time of all searches, and regret at the end of a budget."""
    unlimited = {each.entrant.name: each for each in results if math.isinf(each.entrant.budget)}
    lines = [f"## {cell.name}", "", "| search | device time | reached | over random | over before | over stock |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, each in unlimited.items():
        ratios = " | ".join(shown(ratio(each.costs, unlimited[other].costs)) for other in (RANDOM, BEFORE, STOCK))
        lines.append(f"| {name} | {_quartiles(each.costs)} | {each.reach:.2f} | {ratios} |")
    settings = [f"*{name}*: {each.entrant.stock}" for name, each in unlimited.items() if each.entrant.stock]
    lines += ["", f"Stock with complete trials is the one compared with. {'; '.join(settings)}.", ""]
    limited = [each for each in results if math.isfinite(each.entrant.budget)]
    budgeted = {(each.entrant.kind, each.entrant.budget): each for each in limited}
    if budgeted:
        lines += ["| budget | regret before, points | with the ladder | difference | device time before | ladder |"]
        lines += ["|---|---|---|---|---|---|"]
    for budget in BUDGETS if budgeted else ():
        before, ladder = (budgeted[kind, budget] for kind in WITHOUT_AND_WITH)
        regrets = f"{100 * before.regrets.mean():.2f} | {100 * ladder.regrets.mean():.2f}"
        difference = _mean_interval(100 * (ladder.regrets - before.regrets))
        spent = f"{before.spent.mean():.1f} | {ladder.spent.mean():.1f}"
        lines.append(f"| {budget} | {regrets} | {difference} | {spent} |")
    return [*lines, ""]


def shown(values: Ratio) -> str:
    """A ratio with its interval as text."""
    value, low, high = values
    return "–" if math.isnan(value) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _mean_interval(values: np.ndarray) -> str:
    draws = np.random.default_rng(0).integers(len(values), size=(1000, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return f"{values.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def _quartiles(costs: np.ndarray) -> str:
    low, high = (float(np.sort(costs)[int(share * len(costs))]) for share in (0.25, 0.75))
    return f"{_worth(median(costs))} [{_worth(low)}, {_worth(high)}]"


def _worth(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "never"
