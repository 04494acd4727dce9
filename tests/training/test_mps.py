"""What torch lacks on Apple's GPUs is not used: seen without one, by the operations that torch dispatches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.training import train
from leukemia.training.checkpoint_writer import CheckpointSchedule
from leukemia.training.crossval import cross_validate


class WithoutFloat64(TorchDispatchMode):
    """Rejects all tensors of float64, as MPS does."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if any(isinstance(each, Tensor) and each.dtype == torch.float64 for each in tree_leaves(found)):
            raise TypeError(f"{func}: cannot convert a tensor to float64")
        return found


class Tiny(nn.Sequential):
    """A network of a hundred weights."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, stride=2, bias=False),
            nn.BatchNorm2d(4),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 2),
        )


def trained(optimizer: str, pipeline: str, checkpoints: Path) -> list[Epoch | FoldResult]:
    """Two epochs, checkpoints and test-time augmentation."""
    recipe = Recipe.from_flat(
        {
            "optimizer.name": optimizer,
            "train.pipeline": pipeline,
            "train.epochs": 2,
            "train.batch_size": 5,
            "train.class_weight": "balanced",
        }
    ).resolved([(32, 32)])
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    folds = [(np.arange(12), np.arange(12, 16))]
    schedule = CheckpointSchedule(seconds=0)
    device = torch.device("cpu")
    return list(
        cross_validate(
            recipe, images, np.arange(16) % 2, folds, device=device, checkpoints=checkpoints, schedule=schedule
        )
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "build_model", lambda recipe: Tiny())


@pytest.mark.parametrize("pipeline", ["batch", "reference"])
@pytest.mark.parametrize(
    "optimizer", ["ranger21", "adamw", "ranger21_cosine", "ranger21_package", "ranger21_package_cosine"]
)
def test_nothing_is_computed_in_float64(optimizer: str, pipeline: str, tmp_path: Path) -> None:
    with WithoutFloat64():
        begun = trained(optimizer, pipeline, tmp_path)
        # From the checkpoint.
        assert trained(optimizer, pipeline, tmp_path)[:2] == begun[:2]
    result = begun[-1]
    assert isinstance(result, FoldResult)
    assert result.probabilities.dtype == np.float64


def test_a_copy_to_another_device_than_cuda_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On MPS it may read memory that another tensor has by then (pytorch issues 139550 and 189690)."""
    to, calls = Tensor.to, []

    def recorded(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(kwargs.get("non_blocking", False))
        return to(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "to", recorded)
    trained("adamw", "batch", tmp_path)
    assert calls
    assert not any(calls)
