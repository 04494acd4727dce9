"""The search space in the form of W&B's sweeps, as ``study.json`` has it, and as earlier versions wrote it."""

from __future__ import annotations

from typing import Any

import pytest

from leukemia.config.parameters import described_space, flattened, nested_parameters, stored_space

DESCRIBED: dict[str, dict[str, Any]] = {
    "model.depth": {"choices": [18, 50]},
    "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "optimizer.weight_decay": {"low": 0.0, "high": 0.1, "log": False, "optimizers": ["adamw"], "reason": "why"},
    "train.epochs": {"low": 10, "high": 40, "log": False, "step": 1},
    "train.batch_size": {"low": 8, "high": 64, "log": False, "step": 8},
    "optimizer.restart_epochs": {"low": 2, "high": 30, "log": True, "step": 1},
}


def test_what_is_stored_is_read_back() -> None:
    stored = stored_space(DESCRIBED)
    assert list(stored) == ["model", "optimizer", "train"]
    assert described_space(stored) == DESCRIBED
    assert described_space({}) == stored_space({}) == {}


def test_spaces_of_earlier_versions_are_read_as_they_are() -> None:
    assert described_space(DESCRIBED) == DESCRIBED


@pytest.mark.parametrize(
    "stored",
    [
        {"model": {"parameters": {"depth": {"value": 18}}}},
        {"model": {"parameters": {"depth": {"distribution": "normal", "min": 1, "max": 2}}}},
        {"model": {"parameters": {"depth": 18}}},
    ],
)
def test_a_space_in_neither_form_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^searched fields in the form of W&B's sweeps$"):
        described_space(stored)


def test_nested_dotted_and_mixed_parameters_are_the_same() -> None:
    entries = {"model.depth": {"value": 18}, "model.shortcut": {"value": "add"}}
    assert flattened(entries) == entries == flattened(nested_parameters(entries))
    assert flattened({"model": {"parameters": {"depth": {"value": 18}}}, "model.shortcut": {"value": "add"}}) == entries
    with pytest.raises(ValueError, match=r"^model\.depth is given twice, nested and with a dotted name"):
        flattened({"model.depth": {"value": 18}, "model": {"parameters": {"depth": {"value": 18}}}})
    with pytest.raises(ValueError, match=r"^model\.parameters: expected fields and what to search for each, got 3$"):
        flattened({"model": {"parameters": 3}})
