"""The optimizer table agrees with the recipe section and with the builders in training."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from leukemia.base.errors import UserError
from leukemia.config.optimizers import OPTIMIZERS, OptimizerName
from leukemia.config.sections import Optimizer
from leukemia.training.optim import BUILDERS

FIELDS = {field.name for field in dataclasses.fields(Optimizer)} - {"name"}


def test_every_optimizer_has_a_name_a_table_entry_and_builders() -> None:
    assert tuple(OPTIMIZERS) == typing.get_args(OptimizerName)
    assert set(BUILDERS) == set(OPTIMIZERS)


def test_table_and_section_have_the_same_fields() -> None:
    assert {field for spec in OPTIMIZERS.values() for field in spec.settings} == FIELDS
    assert all("learning_rate" in spec.settings for spec in OPTIMIZERS.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_has_its_defaults_and_rejects_other_settings(name: OptimizerName) -> None:
    settings = OPTIMIZERS[name].settings
    optimizer = Optimizer(name=name)
    for field in FIELDS:
        assert optimizer.has(field) == (field in settings)
        assert getattr(optimizer, field) == (settings[field].default if field in settings else None)
    for field, setting in settings.items():
        for value in (setting.low, setting.high):
            assert getattr(dataclasses.replace(optimizer, **{field: value}), field) == value
        with pytest.raises(UserError, match=f"^optimizer.{field}: expected a value from "):
            dataclasses.replace(optimizer, **{field: 2 * setting.high})
    for field in FIELDS - settings.keys():
        with pytest.raises(UserError, match=f"^optimizer.{field} has no effect with {name}; leave it out$"):
            dataclasses.replace(optimizer, **{field: 1})
