"""The searches that are compared, and the grids over which the settings of published methods are tuned."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal, assert_never

import numpy as np

from benchmarks.racing.replaying.cached_race import TableCache
from benchmarks.racing.replaying.clock import Strategy
from benchmarks.racing.replaying.judges import AgainstBest, Judge, Oracle, Raced
from benchmarks.racing.replaying.proposals import AtRandom, Group, TableTPE, coordinates
from benchmarks.racing.replaying.stopping import aggressive, dropping, forgiving, never, signed_ranks
from benchmarks.racing.replaying.strategies import FoldSearch, ParallelFoldSearch, Stock, StockSearch
from benchmarks.racing.replaying.table import View
from search.policy.early_stopping import MARGIN
from search.policy.rules import Rules

RuleName = Literal[
    "never", "aggressive", "forgiving", "signed ranks", "dropping", "race", "oracle of truth", "oracle of scores"
]


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A search with its settings."""

    name: str
    tpe: bool = True
    """Whether recipes are proposed by TPE or at random."""

    rule: RuleName = "never"
    """The rule that stops trials after a fold; ignored by stock Ray Tune."""

    threshold: float = math.nan
    """Threshold of *signed ranks* and *dropping*."""

    margin: float = MARGIN
    luck: bool = True
    early: bool = False
    """With the rule *race*: whether trials are compared with each other while none is complete."""

    repeats: int = 0
    patient: bool = True
    """Whether all recipes are tried; otherwise the race's own patience ends the search."""

    parallel: bool = False
    """Whether the remaining folds of a trial that passes its first fold run in parallel."""

    hold: bool = False
    """With parallel folds: whether trials behind the best are postponed until no recipe is left."""

    stock: Stock | None = None

    @property
    def settings(self) -> str:
        """The settings chosen by tuning, as text; empty if there are none."""
        if self.stock is not None:
            return str(self.stock)
        return "" if math.isnan(self.threshold) else f"threshold {self.threshold:g}"


@dataclass(frozen=True, eq=False)
class Stage:
    """A view of a table, with what all replays on it share."""

    view: View
    groups: list[Group] = field(init=False)
    cache: TableCache = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", coordinates(self.view.seen.space, self.view.seen.recipes))
        object.__setattr__(self, "cache", TableCache(self.view.seen))


def enter(entrant: Entrant, stage: Stage, generator: np.random.Generator) -> Strategy:
    """The search, ready to run. Only the oracles see the true accuracies."""
    seen = stage.view.seen
    proposer = TableTPE(stage.groups, generator) if entrant.tpe else AtRandom(len(seen.recipes), generator)
    if entrant.stock is not None:
        return StockSearch(seen.accuracy[0], seen.seconds[0], proposer, entrant.stock)
    judge = _judge(entrant, stage)
    if entrant.parallel:
        return ParallelFoldSearch(seen, proposer, judge, patient=entrant.patient, hold=entrant.hold)
    return FoldSearch(seen, proposer, judge, patient=entrant.patient)


def _judge(entrant: Entrant, stage: Stage) -> Judge:
    seen = stage.view.seen
    match entrant.rule:
        case "never":
            return AgainstBest(seen, never)
        case "aggressive":
            return AgainstBest(seen, aggressive)
        case "forgiving":
            return AgainstBest(seen, forgiving)
        case "signed ranks":
            return AgainstBest(seen, signed_ranks(entrant.threshold))
        case "dropping":
            return AgainstBest(seen, dropping(entrant.threshold))
        case "race":
            rules = Rules(
                num_folds=seen.num_folds,
                objective="tta_accuracy",
                margin=entrant.margin,
                repeats=entrant.repeats,
            )
            return Raced(seen, stage.cache, rules, luck=entrant.luck, early=entrant.early)
        case "oracle of truth":
            return Oracle(seen, int(stage.view.truth.argmax()))
        case "oracle of scores":
            return Oracle(seen, int(seen.scores[0].mean(axis=1).argmax()))
    assert_never(entrant.rule)


def stock_grid(num_folds: int, num_epochs: int) -> list[Entrant]:
    """Stock Ray Tune in both layouts, over grace period, maximum and reduction factor."""
    grid: list[Entrant] = []
    for layout, scale in (("lock step", 1), ("fold after fold", num_folds)):
        last = num_epochs * scale
        maxima = range(2, num_epochs + 1) if scale == 1 else sorted({num_epochs, min(3 * num_epochs, last), last})
        graces = (1, 2) if scale == 1 else (1, 2, num_epochs, 2 * num_epochs)
        for grace, maximum, factor in itertools.product(graces, maxima, (3, 4)):
            if grace < maximum:
                grid.extend(
                    Entrant(
                        name="stock",
                        stock=Stock(layout=layout, grace=grace, maximum=maximum, factor=factor, pick=pick),  # type: ignore[arg-type]
                    )
                    for pick in ("last reported", "all epochs")
                )
    return grid


RANDOM, STOCK, OURS, OURS_PARALLEL, ORACLE = "random", "stock", "ours", "ours, parallel folds", "oracle stopper"
ORACLE_IN_SIGHT = "oracle of the highest score"
"""Oracles stop every recipe after one fold except the truly best one, or the one with the highest visible score."""


def tuned_entrants(num_folds: int, num_epochs: int) -> dict[str, list[Entrant]]:
    """Published methods whose settings are tuned, each with its grid."""
    ranks = [Entrant(name="wilcoxon", rule="signed ranks", threshold=p) for p in (0.1, 0.15, 0.2, 0.3)]
    drops = [Entrant(name="bbcd", rule="dropping", threshold=share) for share in (0.99, 0.95)]
    return {STOCK: stock_grid(num_folds, num_epochs), "wilcoxon": ranks, "bbcd": drops}


def fixed_entrants(num_seeds: int) -> list[Entrant]:
    """Searches without settings to tune, including ours; with repeats if the table has more than one visible seed."""
    entrants = [
        Entrant(name=RANDOM, tpe=False),
        Entrant(name="random, parallel folds", tpe=False, parallel=True),
        Entrant(name="tpe", rule="never"),
        Entrant(name="aggressive, random", rule="aggressive", tpe=False),
        Entrant(name="aggressive, tpe", rule="aggressive"),
        Entrant(name="forgiving, random", rule="forgiving", tpe=False),
        Entrant(name="forgiving, tpe", rule="forgiving"),
        Entrant(name=OURS, rule="race"),
        Entrant(name="ours, random", rule="race", tpe=False),
        Entrant(name="ours, without luck", rule="race", luck=False),
        Entrant(name="ours, margin 0", rule="race", margin=0.0),
        Entrant(name="ours, margin 2 points", rule="race", margin=0.02),
        Entrant(name="ours, margin 0, without luck", rule="race", margin=0.0, luck=False),
        Entrant(name="ours, its own end", rule="race", patient=False),
        Entrant(name="ours, early", rule="race", early=True),
        Entrant(name="ours, early, parallel folds", rule="race", early=True, parallel=True),
        Entrant(name="ours, parallel folds, hold", rule="race", parallel=True, hold=True),
        Entrant(name="ours, early, parallel folds, hold", rule="race", early=True, parallel=True, hold=True),
        Entrant(name=OURS_PARALLEL, rule="race", parallel=True),
        Entrant(name="ours, random, parallel folds", rule="race", tpe=False, parallel=True),
        Entrant(name="aggressive, tpe, parallel folds", rule="aggressive", parallel=True),
        Entrant(name=ORACLE, rule="oracle of truth"),
        Entrant(name="oracle stopper, parallel folds", rule="oracle of truth", parallel=True),
        Entrant(name=ORACLE_IN_SIGHT, rule="oracle of scores"),
        Entrant(name="oracle of the highest score, parallel folds", rule="oracle of scores", parallel=True),
    ]
    if num_seeds > 1:
        entrants += [
            Entrant(name="ours, repeats", rule="race", repeats=2),
            Entrant(name="ours, repeats, its own end", rule="race", repeats=2, patient=False),
            Entrant(name="ours, repeats, parallel folds", rule="race", repeats=2, parallel=True),
        ]
    return entrants
