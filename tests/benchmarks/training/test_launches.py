"""The counter of kernel launches, which needs no GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.training.measuring.launches import Launches
from benchmarks.training.measuring.ranger21_step import launches_of_a_step


def test_launches_and_synchronizations_are_counted() -> None:
    with Launches() as launches:
        values = torch.ones(3)
        # At most 110 tensors per launch.
        torch._foreach_mul_([values] * 120, 2.0)
        values.view(1, 3)[0].sum().item()
    assert (launches.count, launches.synchronizations) == (1 + 2 + 1, 1)


def test_large_tensors_take_more_launches() -> None:
    large = torch.empty(321 * 65_536, device="meta")
    with Launches() as launches:
        torch._foreach_mul_([large], 2.0)
    assert launches.count == 2


def test_views_launch_nothing_and_copies_do() -> None:
    values, row = torch.ones(2, 3, 4), torch.zeros(1, 3, 4)
    with Launches() as launches:
        values.transpose(0, 1).reshape(3, 2, 4).unsqueeze(0).split(1, dim=1)
        torch.empty(5)
    assert launches.count == 0
    with Launches() as launches:
        values.transpose(0, 1).reshape(-1)
        torch.slice_scatter(values, row, 0, 0, 1)
    assert launches.count == 2


SELECTIONS: dict[str, Callable[[Tensor], object]] = {
    "nonzero": Tensor.nonzero,
    "unique": Tensor.unique,
    "mask": lambda values: values[values > 0],
    "masked_select": lambda values: values.masked_select(values > 0),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_result_of_unknown_shape_synchronizes(name: str) -> None:
    values = torch.ones(3)
    with Launches() as launches:
        SELECTIONS[name](values)
    assert launches.synchronizations == 1


def test_selecting_by_position_does_not_synchronize() -> None:
    values, rows = torch.ones(3), torch.tensor([2, 0])
    with Launches() as launches:
        values[rows]
    assert (launches.count, launches.synchronizations) == (1, 0)


def test_a_step_of_ranger21_takes_about_as_many_launches_at_any_depth() -> None:
    assert launches_of_a_step(18) <= launches_of_a_step(50) <= launches_of_a_step(152) <= 300
