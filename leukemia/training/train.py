"""Fit one split: epochs, mixed precision, a checkpoint after each, precise BatchNorm before each evaluation."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from leukemia.base.errors import UserError
from leukemia.base.files import atomic
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.data.augment import training_pipeline
from leukemia.data.images import ImageRows, Loader, training_batches
from leukemia.training.device import compute_dtype
from leukemia.training.inference import precise_batchnorm, predict, to_device
from leukemia.training.model import ResNet, build_model
from leukemia.training.optim import ScheduledOptimizer, build_optimizer

log = logging.getLogger(__name__)

PRECISE_BN_PART = 8
"""During training BatchNorm is made precise over at most one in so many training images; at the end over all."""

LOSS_CHECK_STEPS = 16
"""Losses are looked at every so many steps: looking at each would make a GPU wait for the processor each time."""


class NonFiniteLoss(RuntimeError):
    """Training diverged; the message names recipe, fold, epoch and step."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """What is trained on and validated on: rows into one array of images."""

    images: np.ndarray
    """uint8 (n, H, W, 3)."""

    labels: np.ndarray
    """int64 (n,), class order hem, all."""

    training: np.ndarray
    """int64 rows."""

    validation: np.ndarray
    """int64 rows; empty when all images are trained on."""


def fit(
    recipe: Recipe,
    split: Split,
    *,
    fold: int,
    device: torch.device,
    num_workers: int = 0,
    checkpoint: Path | None = None,
) -> Generator[Epoch, None, ResNet]:
    """Train a fresh model; yields after each epoch and returns the model of the last, BatchNorm precise over all.

    With ``checkpoint``, the state is kept there after each epoch, and a fit that finds one goes on from it to the same
    weights: bit for bit on a CPU with the same number of threads. Epochs that the checkpoint remembers are yielded
    again, since whoever listened before may have been killed before it heard the last.

    Args:
        recipe: resolved; ``train.seed`` and ``fold`` seed weights, order and augmentation.
        fold: number of the split; any constant where all images are trained on.

    Raises:
        NonFiniteLoss: the loss or a weight became infinite or NaN.
        UserError: the checkpoint is another recipe's, or images and batches are too small for BatchNorm.
    """
    make_deterministic(recipe.train.seed, fold)
    fitting = _Fitting(recipe, split, fold, device, num_workers)
    try:
        if checkpoint is not None:
            fitting.restore(checkpoint)
            yield from fitting.epochs
        for epoch in range(len(fitting.epochs) + 1, recipe.train.epochs + 1):
            fitting.epochs.append(fitting.run_epoch(epoch))
            if checkpoint is not None:
                fitting.save(checkpoint)
            yield fitting.epochs[-1]
        fitting.make_precise(recipe.train.epochs, everything=True)
    finally:
        fitting.loader.close()
    return fitting.model.eval()


def epochs_in(path: Path, recipe: Recipe, fold: int) -> int:
    """How many epochs of this recipe and fold a checkpoint remembers; 0 where it is absent, damaged or another's.

    Args:
        recipe: resolved, as given to ``fit``.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        is_same = state["recipe"] == recipe.to_json() and state["fold"] == fold
        return len(state["epochs"]) if is_same else 0
    except Exception:
        # As in ``restore``: parsers of damaged files raise anything.
        return 0


def make_deterministic(seed: int, fold: int) -> None:
    """Seed torch from (seed, fold) and keep cuDNN to algorithms that give the same numbers each time."""
    torch.manual_seed(int(np.random.SeedSequence((seed, fold)).generate_state(1)[0]))
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


class _Fitting:
    """The moving parts of one fit; everything that a checkpoint must hold is here."""

    def __init__(self, recipe: Recipe, split: Split, fold: int, device: torch.device, num_workers: int) -> None:
        self.recipe, self.split, self.fold, self.device = recipe, split, fold, device
        self.num_workers = num_workers
        self.epochs: list[Epoch] = []
        self.model = build_model(recipe).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = training_batches(recipe, split.training, fold, 1)
        _refuse_single(recipe, min(map(len, batches)))
        self.optimizer: ScheduledOptimizer = build_optimizer(self.model, recipe, len(batches))
        self.class_weight = _class_weight(recipe, split.labels[split.training]).to(device)
        self.dtype = compute_dtype(recipe, device)
        dataset = ImageRows(split.images, split.labels, training_pipeline(recipe))
        self.loader = Loader(dataset, num_workers=num_workers, pin_memory=device.type == "cuda")

    def run_epoch(self, epoch: int) -> Epoch:
        start = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        loss, accuracy, learning_rate = self._train(epoch)
        trained = time.perf_counter()
        validation_loss, validation_accuracy = self._validate(epoch)
        memory = torch.cuda.max_memory_allocated(self.device) / 1e6 if self.device.type == "cuda" else 0.0
        return Epoch(
            seed=self.recipe.train.seed,
            fold=self.fold,
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            learning_rate=learning_rate,
            seconds=time.perf_counter() - start,
            images_per_second=len(self.split.training) / (trained - start),
            device_memory_mb=memory,
        )

    def _train(self, epoch: int) -> tuple[float, float, float]:
        """One pass of steps: mean loss and accuracy, weighted by batch size, and the last step's learning rate."""
        self.model.train()
        learning_rate = 0.0
        losses: list[Tensor] = []
        weighted_loss = torch.zeros((), device=self.device, dtype=torch.float64)
        num_correct = torch.zeros((), device=self.device, dtype=torch.int64)
        for images, labels in self._batches(epoch):
            self.optimizer.zero_grad()
            with self._autocast():
                logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels, weight=self.class_weight)
            # A non-finite loss must not reach the optimizer's own arithmetic unnoticed for long.
            losses.append(loss.detach())
            if len(losses) % LOSS_CHECK_STEPS == 0:
                self._refuse_non_finite(losses, epoch)
            loss.backward()
            learning_rate = self.optimizer.learning_rate
            self._step(epoch, len(losses))
            weighted_loss += loss.detach().double() * len(labels)
            num_correct += (logits.argmax(dim=1) == labels).sum()
        self._refuse_non_finite(losses, epoch)
        self._refuse_broken(epoch, len(losses))
        num_images = len(self.split.training)
        return weighted_loss.item() / num_images, num_correct.item() / num_images, learning_rate

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.loader(training_batches(self.recipe, self.split.training, self.fold, epoch)):
            yield to_device(images, self.device), labels.to(self.device, non_blocking=True)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _step(self, epoch: int, step: int) -> None:
        try:
            self.optimizer.step()
        except FloatingPointError:
            # Ranger21 refuses gradients that are NaN.
            raise self._diverged("gradient", epoch, step) from None

    def _refuse_non_finite(self, losses: list[Tensor], epoch: int) -> None:
        finite = torch.isfinite(torch.stack(losses)).cpu().numpy()
        if not finite.all():
            raise self._diverged("loss", epoch, int(np.argmin(finite)) + 1)

    def _refuse_broken(self, epoch: int, step: int) -> None:
        """The damage that the last step does shows in no loss of its epoch, and after the last epoch in none at all."""
        tensors = [value for value in self.model.state_dict().values() if value.is_floating_point()]
        if not torch.stack([value.isfinite().all() for value in tensors]).all():
            raise self._diverged("weight", epoch, step)

    def _diverged(self, what: str, epoch: int, step: int) -> NonFiniteLoss:
        return NonFiniteLoss(
            f"non-finite {what} at fold {self.fold}, epoch {epoch}, step {step} "
            f"of {self.recipe.describe()}, seed {self.recipe.train.seed}; lower optimizer.learning_rate"
        )

    def make_precise(self, epoch: int, *, everything: bool) -> None:
        """Precise BatchNorm over the epoch's first batches: an eighth of the images, or all of them."""
        if not self.recipe.evaluate.precise_bn:
            return
        batches = training_batches(self.recipe, self.split.training, self.fold, epoch)
        count = len(batches) if everything else max(1, len(batches) // PRECISE_BN_PART)
        with self._autocast():
            precise_batchnorm(
                self.model, (to_device(images, self.device) for images, _ in self.loader(batches[:count]))
            )
        self._refuse_broken(epoch, len(batches))

    def _validate(self, epoch: int) -> tuple[float, float]:
        rows = self.split.validation
        if len(rows) == 0:
            return float("nan"), float("nan")
        self.make_precise(epoch, everything=False)
        self.model.eval()
        probability = predict(
            self.model,
            self.recipe,
            self.split.images,
            rows,
            device=self.device,
            tta="none",
            num_workers=self.num_workers,
        )
        labels = self.split.labels[rows]
        of_label = np.where(labels == 1, probability, 1.0 - probability)
        loss = float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean())
        return loss, float(((probability >= 0.5) == labels).mean())

    def save(self, path: Path) -> None:
        """Keep everything that decides the remaining epochs; tensors and plain values only."""
        state: dict[str, Any] = {
            "recipe": self.recipe.to_json(),
            "fold": self.fold,
            "epochs": [dataclasses.asdict(epoch) for epoch in self.epochs],
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_random": torch.get_rng_state(),
            "device_random": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            torch.save(state, temporary)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint where there is one."""
        if not path.is_file():
            return
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self._require_same(state, path)
        except UserError:
            raise
        except Exception as error:
            # Parsers of damaged files raise whatever the damage makes them stumble over. A checkpoint saves time only.
            log.warning("%s is damaged (%s); its fold is trained afresh", path, type(error).__name__)
            path.unlink()
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_random"])
        if self.device.type == "cuda" and state["device_random"] is not None:
            torch.cuda.set_rng_state(state["device_random"], self.device)
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]

    def _require_same(self, state: dict[str, Any], path: Path) -> None:
        if state["recipe"] != self.recipe.to_json() or state["fold"] != self.fold:
            raise UserError(f"{path}: this checkpoint belongs to another recipe or fold; remove it to train afresh")


def _refuse_single(recipe: Recipe, smallest_batch: int) -> None:
    """A ResNet divides the side by 32: of one image at most that large, one value a channel is left to normalize."""
    assert recipe.data.size_px is not None
    if smallest_batch == 1 and recipe.data.size_px <= 32:
        raise UserError(
            f"train.batch_size: {recipe.train.batch_size} leaves a batch of one image, of which BatchNorm takes no "
            f"variance at data.size_px {recipe.data.size_px}; set train.batch_size to at least 3"
        )


def _class_weight(recipe: Recipe, labels: np.ndarray) -> Tensor:
    """Weight of each class in the loss, float32 (2,): ones, or n / (2 n_class)."""
    if recipe.train.class_weight == "none":
        return torch.ones(2)
    return torch.from_numpy(len(labels) / (2.0 * np.bincount(labels, minlength=2))).float()
