"""Hindsight reports edges, weak parameters and failures, or that there are too few trials to judge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leukemia.config.recipe import Recipe
from leukemia.study.importances import Explained
from leukemia.study.schema import State
from search.policy.dimensions import Choice, Dimension, Integer, Real
from search.policy.hindsight import Hindsight, Measured, Waiting, look_back
from search.policy.space import Space

RATE = Real(key="optimizer.learning_rate", low=1e-4, high=1e-2, log=True, reason="")
DEPTH = Choice(key="model.depth", choices=(18, 50), reason="")

Trial = tuple[dict[str, Any], float | None, State]


def space_of(*dimensions: Dimension) -> Space:
    return Space(start=Recipe(), dimensions=dimensions, settings={})


def probability(name: str, high: float) -> Real:
    return Real(key=f"augment.{name}", low=0.0, high=high, reason="")


def trial(rate: float, score: float | None = 0.5, state: State = "complete", **others: Any) -> Trial:
    return {RATE.key: rate, **{key.replace("__", "."): value for key, value in others.items()}}, score, state


def looked_back(
    space: Space,
    trials: list[Trial],
    measured: Measured | None = None,
    winner: tuple[int, dict[str, Any]] | None = None,
) -> Hindsight:
    return look_back(space, trials, measured or measured_of(), winner=winner)


def measured_of(num_trials: int = 0, **shares: float) -> Measured:
    """Importances; in ``shares`` a double underscore stands for the dot."""
    explained = {key.replace("__", "."): Explained(share=each, low=each / 2, high=each) for key, each in shares.items()}
    return Measured(stage="2 of 5 folds", num_trials=num_trials, explained=explained)


def edges_of(dimension: Real | Integer, value: float) -> tuple[str, ...]:
    return looked_back(space_of(dimension), [], winner=(4, {dimension.key: value})).edges


def test_a_setting_of_an_optimizer_at_an_edge_is_reported_unless_the_field_ends_there() -> None:
    warmup = Integer(key="optimizer.warmup_epochs", low=0, high=5, reason="", optimizers=("adamw",))
    assert edges_of(warmup, 0) == ()
    assert edges_of(warmup, 5)[0].startswith("optimizer.warmup_epochs 5 of the winner, trial 0004, is at the upper end")
    # Its bounds are those of Ranger21 only.
    assert edges_of(Real(key=RATE.key, low=3e-5, high=1e-2, log=True, reason=""), 3e-5)


def test_an_integer_at_an_edge_is_reported_unless_the_field_ends_there() -> None:
    epochs = Integer(key="train.epochs", low=10, high=40, reason="")
    assert edges_of(epochs, 40) == (
        "train.epochs 40 of the winner, trial 0004, is at the upper end of 10 to 40: consider a wider range with "
        "--search or --space",
    )
    assert edges_of(epochs, 25) == ()
    assert edges_of(Integer(key="train.epochs", low=1, high=40, reason=""), 1) == ()


@pytest.mark.parametrize(
    ("rate", "value", "where"),
    [
        (0.0097, "0.0097", "at the upper end of"),
        (1.2e-4, "0.00012", "at the lower end of"),
        (0.03, "0.03", "above"),
        (3e-5, "3e-05", "below"),
        (0.0, "0", "below"),
    ],
)
def test_a_value_of_the_winner_at_an_edge_is_reported(rate: float, value: str, where: str) -> None:
    assert edges_of(RATE, rate) == (
        f"optimizer.learning_rate {value} of the winner, trial 0004, is {where} 0.0001 to 0.01: consider a wider range "
        "with --search or --space",
    )


# Two decades, 5 % of which are a factor of 10 ** 0.1 = 1.259: 0.007 is at 92 % of the range.
@pytest.mark.parametrize("rate", [1.3e-4, 1e-3, 0.007, 0.0079])
def test_value_within_the_range_is_not_reported(rate: float) -> None:
    assert edges_of(RATE, rate) == ()


@pytest.mark.parametrize(
    ("name", "high", "value"),
    [
        ("rotate", 1.0, 0.99),
        ("rotate", 1.0, 0.01),
        ("blur", 0.5, 0.0),
        ("transpose", 0.5, 0.49),
        ("transpose", 0.5, 0.8),
    ],
)
def test_natural_limit_is_not_an_edge(name: str, high: float, value: float) -> None:
    assert edges_of(probability(name, high), value) == ()


def test_other_limit_is_an_edge_on_a_linear_scale() -> None:
    assert edges_of(probability("blur", 0.5), 0.48) == (
        "augment.blur 0.48 of the winner, trial 0004, is at the upper end of 0 to 0.5: consider a wider range with "
        "--search or --space",
    )
    assert edges_of(probability("blur", 0.5), 0.47) == ()


def test_edges_are_those_of_the_winner_which_may_not_have_the_highest_score() -> None:
    trials = [trial(1e-3, 0.8), trial(0.0099, 0.9)]
    assert looked_back(space_of(RATE), trials, winner=(0, trials[0][0])).edges == ()
    assert len(looked_back(space_of(RATE), trials, winner=(1, trials[1][0])).edges) == 1
    assert looked_back(space_of(RATE, DEPTH), [trial(0.0099, None, "failed")]).edges == ()
    # The winner's optimizer may not have a field.
    assert looked_back(space_of(probability("blur", 0.5)), trials, winner=(1, trials[1][0])).edges == ()


def test_weak_parameters_are_reported_with_the_stage_of_their_trials() -> None:
    # A third of an equal share of three is 1/9.
    shares = {"optimizer__learning_rate": 0.79, "data__grayscale": 0.1, "augment__blur": 0.11}
    found = looked_back(space_of(RATE), [], measured_of(20, **shares))
    assert found.no_effect == (
        "no visible effect in 20 trials that finished at least 2 of 5 folds: augment.blur, data.grayscale; consider "
        "fixing them with --set",
    )
    assert looked_back(space_of(RATE), [], measured_of(20, model__depth=0.5, data__grayscale=0.5)).no_effect == ()
    assert looked_back(space_of(RATE), [], measured_of(19)).no_effect == (
        "19 trials that finished at least 2 of 5 folds are too few to tell which parameters have no effect; at least "
        "20 are needed",
    )
    assert looked_back(space_of(RATE), [], measured_of(20)).no_effect == (
        "the scores of 20 trials that finished at least 2 of 5 folds do not differ: no parameter has a visible effect",
    )


def shares_of(failed: list[Trial], rest: list[Trial], *dimensions: Dimension) -> tuple[str, ...]:
    return looked_back(space_of(*dimensions or (RATE, DEPTH)), [*failed, *rest]).shares


def test_shares_are_counted() -> None:
    trials = [trial(1e-3)] * 6 + [trial(1e-3, 0.3, "stopped")] * 3 + [trial(1e-3, None, "failed")]
    assert shares_of([], trials) == ("10 trials ended: 6 complete, 3 (30 %) stopped, 1 (10 %) failed",)
    assert shares_of([], []) == ("no trial has ended",)


def test_the_largest_difference_of_failed_trials_is_reported() -> None:
    failed = [trial(rate, None, "failed", model__depth=18) for rate in (0.008, 0.009, 0.01)]
    rest = [trial(rate, model__depth=18) for rate in (0.0005, 0.001, 0.002, 0.009)]
    # The medians 0.009 and 0.0015 differ by 0.39 of two decades.
    assert shares_of(failed, rest)[1] == (
        "more than 10 % failed; they differ most in optimizer.learning_rate (median 0.009, others 0.0015): "
        "narrow its range with --search or --space, or check their reasons"
    )


def test_failed_trials_may_differ_most_in_a_choice() -> None:
    failed = [trial(1e-3, None, "failed", model__depth=depth) for depth in (50, 50, 50, 18)]
    rest = [trial(1e-3, model__depth=depth) for depth in (18, 18, 18, 50)]
    assert (
        "they differ most in model.depth (50 in 75 %, others 25 %): narrow its range with --search or --space"
        in shares_of(failed, rest)[1]
    )


def test_failures_without_a_difference_or_too_few_are_not_explained() -> None:
    failed, rest = [trial(1e-3, None, "failed")] * 3, [trial(1.1e-3)] * 10
    unexplained = "more than 10 % failed, and no parameter distinguishes them: check their reasons"
    assert shares_of(failed, rest)[1] == unexplained
    assert shares_of(failed, rest, DEPTH)[1] == unexplained
    few = "more than 10 % failed, too few to compare with the others: check their reasons"
    assert shares_of(failed[:2], [trial(0.009)] * 10)[1] == few
    assert shares_of(failed, [trial(0.009)] * 2)[1] == few


def test_hindsight_is_json_serializable_and_lines_contain_every_sentence() -> None:
    measured = measured_of(31, x=0.5)
    found = Hindsight(shares=("a", "b"), edges=("c",), no_effect=("d",), measured=measured, num_trials=24)
    assert found.lines() == ["a", "b", "c", "d"]
    content = found.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content == {
        "lines": ["a", "b", "c", "d"],
        "shares": ["a", "b"],
        "edges": ["c"],
        "no_effect": ["d"],
        "importances": {"x": 0.5},
        "intervals": {"x": [0.25, 0.5]},
        "stage": "2 of 5 folds",
        "stage_trials": 31,
        "num_trials": 24,
    }


def test_what_waiting_saved_follows_the_counts_as_an_estimate() -> None:
    waiting = Waiting(number=1, seconds=90.0, seconds_postponed=7200.0)
    found = look_back(space_of(RATE), [trial(1e-3)], measured_of(), winner=None, waiting=waiting)
    assert found.shares == (
        "1 trial ended: 1 complete, 0 (0 %) stopped, 0 (0 %) failed",
        "1 trial waits after 2 min of device time; all their folds would take about 2.0 h more, estimated from the "
        "seconds of their own epochs, if the race stopped none of them",
    )


def test_a_comparison_has_no_advice_on_its_space() -> None:
    trials = [*[trial(1e-3)] * 3, *[trial(1e-2, None, "failed")] * 3]
    found = look_back(space_of(RATE), trials, measured_of(), winner=None, compares=True)
    assert found.lines() == ["6 trials ended: 3 complete, 0 (0 %) stopped, 3 (50 %) failed"]
    assert len(looked_back(space_of(RATE), trials).lines()) == 3
