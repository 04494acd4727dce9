"""Who is compared: each search with its settings, and the grids that the others' settings are tuned over."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

import numpy as np
from clock import Strategy
from judges import AgainstBest, Judge, Oracle, Raced, RacedByShare
from proposals import AtRandom, Group, TableTPE, coordinates
from remembering import Memory
from rung_judge import FirstRung, RungRaced
from stopping import aggressive, dropping, forgiving, never, signed_ranks
from strategies import FoldSearch, ParallelFoldSearch, RungFirstSearch, Stock, StockSearch
from table import View

from search.policy.judge import ERROR, MARGIN
from search.policy.race import Rules

RuleName = Literal[
    "never", "aggressive", "forgiving", "signed ranks", "dropping", "race", "oracle of truth", "oracle of scores"
]


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A search with its settings."""

    name: str
    tpe: bool = True
    """Whether TPE proposes, or chance."""

    rule: RuleName = "never"
    """What stops trials after a fold; without effect in stock Ray Tune."""

    threshold: float = math.nan
    """Of signed ranks and of dropping."""

    margin: float = MARGIN
    luck: bool = True
    early: bool = False
    """Whether trials are raced against each other while none is complete."""

    racing: bool = True
    """With the rule *race*: whether trials are stopped against the best one, or only when they are hopeless."""

    lowest: float = math.nan
    """With the rule *race*: share of the lowest first folds that are stopped, too."""

    rung: FirstRung | None = None
    """With the rule *race*: what each trial runs before its first fold."""

    repeats: int = 0
    patient: bool = True
    """Whether all recipes are tried; else the race's own patience ends it."""

    parallel: bool = False
    """Whether the other folds of a trial that passes its first run beside each other."""

    hold: bool = False
    """With parallel folds: whether trials behind the best wait until no recipe is left."""

    stock: Stock | None = None

    @property
    def settings(self) -> str:
        """What was chosen by tuning, in words."""
        if self.stock is not None:
            return str(self.stock)
        return "" if math.isnan(self.threshold) else f"threshold {self.threshold:g}"


@dataclass(frozen=True, eq=False)
class Stage:
    """A view of a table, and what all replays on it share."""

    view: View
    groups: list[Group] = field(init=False)
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", coordinates(self.view.seen.space, self.view.seen.recipes))
        object.__setattr__(self, "memory", Memory(self.view.seen))


def enter(entrant: Entrant, stage: Stage, generator: np.random.Generator) -> Strategy:
    """The search, ready to run. Only the oracle is shown the truth."""
    seen = stage.view.seen
    proposer = TableTPE(stage.groups, generator) if entrant.tpe else AtRandom(len(seen.recipes), generator)
    if entrant.stock is not None:
        return StockSearch(seen, proposer, entrant.stock)
    judge = _judge(entrant, stage)
    if entrant.rung is not None and isinstance(judge, RungRaced):
        return RungFirstSearch(seen, proposer, judge, entrant.rung, patient=entrant.patient)
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
                racing=entrant.racing,
                repeats=entrant.repeats,
                error=ERROR if entrant.rung is None else ERROR - entrant.rung.error,
            )
            if entrant.rung is not None:
                return RungRaced(seen, stage.memory, rules, entrant.rung)
            if not math.isnan(entrant.lowest):
                return RacedByShare(seen, stage.memory, rules, entrant.lowest)
            return Raced(seen, stage.memory, rules, luck=entrant.luck, early=entrant.early)
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
"""They stop every other recipe than one after a fold: the best in truth, or that of the highest visible score."""


def tuned_entrants(num_folds: int, num_epochs: int) -> dict[str, list[Entrant]]:
    """Others' searches whose settings are tuned, each with its grid."""
    ranks = [Entrant(name="wilcoxon", rule="signed ranks", threshold=p) for p in (0.1, 0.15, 0.2, 0.3)]
    drops = [Entrant(name="bbcd", rule="dropping", threshold=share) for share in (0.99, 0.95)]
    return {STOCK: stock_grid(num_folds, num_epochs), "wilcoxon": ranks, "bbcd": drops}


def fixed_entrants(num_seeds: int) -> list[Entrant]:
    """Searches without anything to tune, ours among them; with repeats where a search sees other seeds."""
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


def rung_entrants(num_seeds: int) -> list[Entrant]:
    """Ours without and with a first rung under several rules.

    The two foretelling ones are bounds: no rung of that cost that only foresees the judge saves more. Where the rung is
    raced, it spends what the first of one more look would, 2.25 of 5 %; where the folds are not raced, all of it. Who
    stops the lowest rungs is held against who stops the lowest first folds.
    """
    thirds = FirstRung(rule="lowest", lowest=2 / 3)
    rungs = [
        FirstRung(rule="hopeless"),
        FirstRung(rule="raced", error=0.0225),
        FirstRung(rule="foreseen", error=0.0225),
        FirstRung(rule="lowest", lowest=1 / 2),
        thirds,
        replace(thirds, late=True),
        FirstRung(rule="foretelling"),
        FirstRung(rule="foretelling", share=0.25),
    ]
    alone = FirstRung(rule="raced", error=ERROR)
    entrants = [
        Entrant(name=OURS, rule="race"),
        Entrant(name=f"{OURS}, no rung, fold 0 lowest 0.67", rule="race", lowest=2 / 3),
        *(Entrant(name=f"{OURS}, {rung}", rule="race", rung=rung) for rung in rungs),
        Entrant(name=f"{OURS}, folds not raced", rule="race", racing=False),
        Entrant(name=f"{OURS}, folds not raced, {alone}", rule="race", racing=False, rung=alone),
    ]
    if num_seeds > 1:
        repeated = [each for each in entrants if each.name == OURS or each.rung == thirds]
        entrants += [replace(each, name=f"{each.name}, repeats", repeats=2) for each in repeated]
    return entrants
