"""The searches that are compared on a world."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal, assert_never

import numpy as np

from benchmarks.racing.laddering.bounds import CompleteSearch, OracleSearch
from benchmarks.racing.laddering.search import ProjectSearch
from benchmarks.racing.laddering.world import World
from benchmarks.racing.replaying.clock import Strategy
from benchmarks.racing.replaying.halving import Bracket
from benchmarks.racing.replaying.proposals import AtRandom, Proposer, TableTPE
from benchmarks.racing.replaying.strategies import Layout, Stock, StockSearch
from search.policy.rules import Rules

Kind = Literal["random", "before", "one-epoch kill", "ladder", "stock", "oracle"]
"""``before`` is the search without pausing; ``one-epoch kill`` the same, and only those trials go on after one epoch
that are in the best third so far."""

KILL_FACTOR = 3


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A search with its settings."""

    kind: Kind
    share: float = 1.0
    """Of fold 0, after which the oracle acts."""

    stock: Stock | None = None
    budget: float = math.inf
    """Complete trials' worth of device time; without a budget all recipes are tried."""

    @property
    def name(self) -> str:
        """As it appears in tables."""
        match self.kind:
            case "oracle":
                return f"oracle at {100 * self.share:g} %"
            case "stock":
                assert self.stock is not None
                return "stock, complete trials" if self.stock.pick == "all epochs" else "stock, any trial"
            case _:
                return self.kind


def entrants_for(stock: list[Stock]) -> list[Entrant]:
    """The searches whose device time is compared, with these settings of stock Ray Tune."""
    return [
        Entrant(kind="random"),
        Entrant(kind="before"),
        *(Entrant(kind="stock", stock=each) for each in stock),
        Entrant(kind="one-epoch kill"),
        Entrant(kind="ladder"),
        *(Entrant(kind="oracle", share=share) for share in (0.05, 0.25, 1.0)),
    ]


BUDGETS = (4, 8, 16)

WITHOUT_AND_WITH: tuple[Kind, ...] = ("before", "ladder")
BUDGETED = [Entrant(kind=kind, budget=budget) for budget in BUDGETS for kind in WITHOUT_AND_WITH]
"""The searches whose regret at the end of a budget is compared."""


def stock_grid(num_folds: int, num_epochs: int) -> list[Entrant]:
    """Settings of stock Ray Tune: all folds in lock step or one after the other, grace, maximum, factor, and choice.

    Among *all epochs* only those that have run all folds are chosen from.
    """
    last = num_folds * num_epochs
    layouts: dict[Layout, tuple[set[int], set[int]]] = {
        "lock step": ({1, 2, 4, num_epochs // 4}, {num_epochs // 2, num_epochs}),
        "fold after fold": ({1, 4, num_epochs}, {num_epochs, last}),
    }
    grid = []
    for layout, (graces, maxima) in layouts.items():
        for grace, maximum, factor in itertools.product(sorted(graces), sorted(maxima), (3, 4)):
            if 1 <= grace < maximum:
                stock = Stock(layout=layout, grace=grace, maximum=maximum, factor=factor, pick="last reported")
                complete = [replace(stock, pick="all epochs")] if maximum == max(maxima) else []
                grid += [Entrant(kind="stock", stock=each) for each in (stock, *complete)]
    return grid


def enter(
    entrant: Entrant, world: World, num_workers: int, generator: np.random.Generator, *, own_sampler: bool
) -> Strategy:
    """The search, ready to run.

    Args:
        own_sampler: whether recipes are proposed by the search's own sampler, as a user gets it, or at random.
    """
    sampled = own_sampler and entrant.kind not in ("random", "oracle")
    proposer = _sampler(world, generator) if sampled else AtRandom(len(world.recipes), generator)
    match entrant.kind:
        case "random":
            return CompleteSearch(world, proposer)
        case "oracle":
            return OracleSearch(world, proposer, entrant.share)
        case "stock":
            assert entrant.stock is not None
            return StockSearch(world.accuracy, world.seconds, proposer, entrant.stock)
        case "before" | "one-epoch kill" | "ladder":
            return _project_search(entrant, world, num_workers, proposer)
    assert_never(entrant.kind)


def _sampler(world: World, generator: np.random.Generator) -> Proposer:
    assert world.parameters is not None
    return TableTPE(world.parameters, generator)


def _project_search(entrant: Entrant, world: World, num_workers: int, proposer: Proposer) -> ProjectSearch:
    rules = Rules(
        num_folds=world.num_folds,
        objective="tta_accuracy",
        repeats=0,
        pausing=entrant.kind == "ladder",
        prior_noise=world.noise,
    )
    kill = Bracket(grace=1, maximum=2, factor=KILL_FACTOR) if entrant.kind == "one-epoch kill" else None
    budget_seconds = entrant.budget * world.trial_seconds
    return ProjectSearch(world, proposer, rules, num_workers, budget_seconds=budget_seconds, kill=kill)
