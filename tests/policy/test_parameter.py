"""Parameters in W&B's form: which become which dimension, and which are refused, with the name of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from wandb.sdk.sweeps.scheduler.optuna import sweep_parameter_to_distribution

from leukemia.base.errors import UserError
from leukemia.config.parameters import to_wandb
from search.policy.dimensions import Choice, Dimension, Integer, Real, described, is_within, nearest
from search.policy.parameter import FORMS, NOT_READ, Fixed, read_parameter
from search.sampling.entry import distribution_of

WHY = "because"


def real(key: str, low: float, high: float, **others: Any) -> Real:
    return Real(key=key, low=low, high=high, reason=WHY, **others)


def integer(key: str, low: int, high: int, **others: Any) -> Integer:
    return Integer(key=key, low=low, high=high, reason=WHY, **others)


DIMENSIONS: list[tuple[str, dict[str, Any], Dimension]] = [
    ("augment.rotate", {"min": 0, "max": 1}, real("augment.rotate", 0.0, 1.0)),
    ("augment.blur", {"min": 0, "max": 0.5, "distribution": "uniform"}, real("augment.blur", 0.0, 0.5)),
    (
        "optimizer.learning_rate",
        {"min": 1e-4, "max": 1, "distribution": "log_uniform_values"},
        real("optimizer.learning_rate", 1e-4, 1.0, log=True),
    ),
    ("train.epochs", {"min": 10, "max": 40}, integer("train.epochs", 10, 40)),
    ("train.epochs", {"min": 10, "max": 40, "distribution": "int_uniform"}, integer("train.epochs", 10, 40)),
    ("train.epochs", {"min": 10, "max": 40, "q": 5}, integer("train.epochs", 10, 40, step=5)),
    (
        "train.batch_size",
        {"min": 8, "max": 64, "distribution": "q_uniform", "q": 8},
        integer("train.batch_size", 8, 64, step=8),
    ),
    (
        "train.batch_size",
        {"min": 8, "max": 64, "distribution": "q_log_uniform_values"},
        integer("train.batch_size", 8, 64, log=True),
    ),
    (
        "train.batch_size",
        {"values": [32, 64], "distribution": "categorical"},
        Choice(key="train.batch_size", choices=(32, 64), reason=WHY),
    ),
    ("data.grayscale", {"values": [True, False]}, Choice(key="data.grayscale", choices=(True, False), reason=WHY)),
    (
        "optimizer.weight_decay",
        {"values": [0, 0.1]},
        Choice(key="optimizer.weight_decay", choices=(0.0, 0.1), reason=WHY, optimizers=("adamw",)),
    ),
]


@pytest.mark.parametrize(("key", "entry", "expected"), DIMENSIONS, ids=lambda value: str(value)[:40])
def test_a_parameter_is_read_as_a_dimension_that_means_the_same_to_wandb(
    key: str, entry: dict[str, Any], expected: Dimension
) -> None:
    found = read_parameter(key, entry, WHY)
    assert found == expected
    assert not isinstance(found, Fixed)
    assert type(getattr(found, "low", 0)) is type(getattr(expected, "low", 0))
    ours = {name: each for name, each in to_wandb(described(found, ())).items() if name != "reason"}
    # W&B's own translation to Optuna is an independent reference.
    assert sweep_parameter_to_distribution(ours) == distribution_of(found)
    assert read_parameter(key, ours, WHY) == found


def test_one_value_is_fixed() -> None:
    for entry in ({"value": 30}, {"value": 30, "distribution": "constant"}, {"values": [30]}):
        assert read_parameter("train.epochs", entry, WHY) == Fixed(key="train.epochs", value=30)
    assert read_parameter("augment.blur", {"value": 1}, WHY) == Fixed(key="augment.blur", value=1.0)


def test_a_reason_can_be_given() -> None:
    found = read_parameter("train.epochs", {"min": 1, "max": 2, "reason": "time"}, WHY)
    assert isinstance(found, Integer)
    assert found.reason == "time"


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        ("train.epochs", 30, r"expected \{value: \.\.\.\}, .* got 30$"),
        ("train.epochs", {}, r"expected min and max alone, got none of them$"),
        ("train.epochs", {"min": 3}, r"expected min and max alone, got min$"),
        ("train.epochs", {"min": 3, "max": 4, "values": [3]}, r"expected values alone, got values, min, max$"),
        ("train.epochs", {"value": 3, "q": 1}, r"expected min and max alone, got value, q$"),
        ("train.epochs", {"min": 1, "max": 3, "mu": 2}, r"'mu' is not read; expected value, values, min"),
        ("train.epochs", {"distribution": "gamma"}, r"distribution 'gamma' is not read; expected constant, cat"),
        ("train.epochs", {"min": 3, "max": 3}, r"the range from 3 to 3 is empty; min must be below max"),
        ("train.epochs", {"min": 3.5, "max": 4}, r"expected an integer, got 3\.5$"),
        ("train.epochs", {"min": 3, "max": 9, "distribution": "uniform"}, r"uniform is for numbers, .*int_uniform"),
        ("train.epochs", {"min": 3, "max": 9, "q": 2}, r"q: W&B proposes multiples of q, .*: got 3 to 9 and 2$"),
        ("train.epochs", {"min": 2, "max": 8, "q": 0}, r"q: expected an integer from 1, got 0$"),
        (
            "train.epochs",
            {"min": 2, "max": 8, "q": 2, "distribution": "q_log_uniform_values"},
            r"q: expected 1 with a logarithmic range, got 2$",
        ),
        ("train.epochs", {"values": []}, r"values: expected a list of at least one value, got \[\]$"),
        ("train.epochs", {"values": 3}, r"values: expected a list of at least one value, got 3$"),
        ("train.epochs", {"values": [3, 4, 3]}, r"values: 3 is listed twice$"),
        ("train.epochs", {"values": [3, "many"]}, r"expected an integer, got 'many'$"),
        ("train.epochs", {"min": 3, "max": 5, "reason": 7}, r"reason: expected text, got 7$"),
        ("optimizer.restart_epochs", {"values": [3, None]}, r"values: null is decided from the rest of the recipe"),
        ("optimizer.weight_decay", {"min": None, "max": 1}, r"min: expected a number, got null$"),
        ("model.depth", {"min": 18, "max": 50}, r"has no range; it is one of 18, 34, 50, 101, 152; list the values"),
        ("data.grayscale", {"min": 0, "max": 1}, r"has no range; list the values"),
        ("augment.blur", {"min": 0, "max": 1, "distribution": "int_uniform"}, r"int_uniform is for integers"),
        (
            "augment.blur",
            {"min": 0, "max": 1, "distribution": "log_uniform_values"},
            r"a logarithmic range must begin above 0, got 0 to 1$",
        ),
        ("augment.blur", {"min": "low", "max": 1}, r"expected a number, got 'low'$"),
    ],
)
def test_what_a_parameter_cannot_mean_is_refused(key: str, entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}: {message}"):
        read_parameter(key, entry, WHY)


@pytest.mark.parametrize("name", NOT_READ)
def test_wandbs_other_distributions_are_refused_by_name(name: str) -> None:
    assert name not in FORMS
    with pytest.raises(UserError, match=rf"^augment.blur: distribution '{name}' is not read \(.+\); expected constant"):
        read_parameter("augment.blur", {"distribution": name, "min": 0, "max": 1}, WHY)


def test_the_nearest_value() -> None:
    steps = integer("train.epochs", 10, 40, step=10)
    assert [nearest(steps, value) for value in (1, 14, 16, 99)] == [10, 10, 20, 40]
    assert all(is_within(steps, value) for value in (10, 20, 40))
    assert not any(is_within(steps, value) for value in (0, 15, 50))
    assert nearest(real("augment.blur", 0.3, 0.5), 0.2) == 0.3
    names = Choice(key="optimizer.name", choices=("adamw", "ranger21"), reason=WHY)
    assert (nearest(names, "ranger21"), nearest(names, "ranger21_cosine")) == ("ranger21", "adamw")
    assert nearest(Choice(key="data.grayscale", choices=(True, False), reason=WHY), False) is False
