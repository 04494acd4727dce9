"""The limit: the same network on one constant batch in bfloat16, channels last, with fused AdamW; nothing else."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training.measuring.case import CPU, Case
from leukemia.training.device import compute_dtype
from leukemia.training.model import build_model
from leukemia.training.optim import build_optimizer


def limit(case: Case) -> Generator[float, None, None]:
    """Train on one batch; yields the seconds per image of each turn of ``case.num_batches`` steps.

    For Ranger21 this project's Ranger21 is in AdamW's place: the arithmetic of an optimizer is part of what a step
    needs. A CPU without native bfloat16 computes in float32, as a trial does.
    """
    recipe = case.recipe
    torch.manual_seed(0)
    model = build_model(recipe).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    channels = 1 if recipe.data.grayscale else 3
    images = torch.randn(recipe.train.batch_size, channels, case.size_px, case.size_px)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(recipe.train.batch_size) % 2
    optimizer = _optimizer(case, model)
    dtype = compute_dtype(recipe, CPU)
    while True:
        start = time.perf_counter()
        for _ in range(case.num_batches):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                logits = model(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
        yield (time.perf_counter() - start) / case.num_images


def _optimizer(case: Case, model: nn.Module) -> Any:
    if case.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=case.recipe.optimizer.learning_rate, fused=True)
    return build_optimizer(model, case.recipe, case.num_batches)
