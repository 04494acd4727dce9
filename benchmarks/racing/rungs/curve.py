"""Train one fold of one recipe, and measure it often: plain weights and averages of weights, by image."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.racing.rungs.average import PowerAverage
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.data.augmentation.loaders import TrainingLoader, training_loader
from leukemia.data.images import training_batches
from leukemia.training.device import compute_dtype
from leukemia.training.inference import NonFinite, precise_batchnorm, predict, to_device
from leukemia.training.model import build_model
from leukemia.training.optim import build_optimizer
from leukemia.training.train import PRECISE_BN_PART, Split, make_deterministic

EXPONENTS = {"average_2": 2.0, "average_7": 7.0}
"""Averages of the weights, by name: over about the last fifth and the last tenth of the steps so far (the standard
deviation of a step's place in them)."""

DEVICE = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Probabilities after one epoch."""

    epoch: int
    form: str
    """``plain``, a name of ``EXPONENTS``, or ``tta``: the fold's result."""

    extent: Literal["all", "sample"]
    """Of the validation rows."""

    probabilities: np.ndarray
    """float64 (n,), of class 1, in the order of the rows."""

    seconds: float
    """CPU time of precise BatchNorm and prediction."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What became of one fold."""

    measurements: list[Measurement]
    """In the order of the training; none after it diverged."""

    seconds: list[float]
    """CPU time of each epoch's steps, with loading and augmentation."""

    train_losses: list[float]


def train_curve(recipe: Recipe, split: Split, fold: int, *, full: Collection[int], sample: np.ndarray) -> Curve:
    """Train as ``leukemia.training.train.fit`` does, to the same weights.

    Args:
        recipe: resolved.
        full: epochs after which all forms are measured on all validation rows; the last is one of them.
        sample: rows on which plain weights are measured after all other epochs.
    """
    run = _Run(recipe, split, fold)
    curve = Curve(measurements=[], seconds=[], train_losses=[])
    try:
        for epoch in range(1, recipe.train.epochs + 1):
            seconds, loss = run.train(epoch)
            if not np.isfinite(loss):
                break
            curve.seconds.append(seconds)
            curve.train_losses.append(loss)
            curve.measurements.extend(run.measure(epoch, full, sample))
    except NonFinite:
        # Of the network's output: the recipe diverged, and its curve ends.
        pass
    finally:
        run.loader.close()
    return curve


class _Run:
    """A training in progress."""

    def __init__(self, recipe: Recipe, split: Split, fold: int) -> None:
        make_deterministic(recipe.train.seed, fold)
        self.recipe, self.split, self.fold = recipe, split, fold
        self.model: nn.Module = build_model(recipe).to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches: Callable[[int], list] = lambda epoch: training_batches(recipe, split.training, fold, epoch)
        self.optimizer = build_optimizer(self.model, recipe, len(self.batches(1)))
        self.averages = {name: PowerAverage(self.model, exponent) for name, exponent in EXPONENTS.items()}
        self.loader: TrainingLoader = training_loader(recipe, split.images, split.labels, DEVICE, 0)
        self.dtype = compute_dtype(recipe, DEVICE)

    def train(self, epoch: int) -> tuple[float, float]:
        """CPU seconds and the mean loss of one epoch's steps; the averages of weights are not counted."""
        seconds, losses = 0.0, []
        self.model.train()
        start = time.process_time()
        for images, labels in self.loader(self.batches(epoch)):
            self.optimizer.zero_grad()
            with self._autocast():
                logits = self.model(to_device(images, DEVICE))
            loss = F.cross_entropy(logits.float(), labels)
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()) * len(labels))
            seconds += time.process_time() - start
            for average in self.averages.values():
                average.update(self.model)
            start = time.process_time()
        return seconds, sum(losses) / len(self.split.training)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(DEVICE.type, self.dtype, enabled=self.dtype != torch.float32)

    def measure(self, epoch: int, full: Collection[int], sample: np.ndarray) -> list[Measurement]:
        validation = self.split.validation
        if epoch not in full:
            return [self._measurement(epoch, "plain", self.model, sample, "sample", PRECISE_BN_PART)]
        found = [self._measurement(epoch, "plain", self.model, validation, "all", PRECISE_BN_PART)]
        found += [
            self._measurement(epoch, name, average.model, validation, "all") for name, average in self.averages.items()
        ]
        if epoch == self.recipe.train.epochs:
            found.append(self._measurement(epoch, "tta", self.model, validation, "all", tta=self.recipe.evaluate.tta))
        return found

    def _measurement(
        self,
        epoch: int,
        form: str,
        model: nn.Module,
        rows: np.ndarray,
        extent: Literal["all", "sample"],
        part: int = 1,
        tta: Tta = "none",
    ) -> Measurement:
        """Predict after precise BatchNorm over the first ``1 / part`` of the epoch's batches."""
        start = time.process_time()
        batches = self.batches(epoch)
        if self.recipe.evaluate.precise_bn:
            used = batches[: max(1, len(batches) // part)]
            with self._autocast():
                precise_batchnorm(model, (to_device(images, DEVICE) for images, _ in self.loader(used)))
        found = predict(model, self.recipe, self.split.images, rows, device=DEVICE, tta=tta)
        seconds = time.process_time() - start
        return Measurement(epoch=epoch, form=form, extent=extent, probabilities=found, seconds=seconds)
