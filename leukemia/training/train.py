"""Train on one split: mixed precision, checkpoints by time, precise BatchNorm before each evaluation."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leukemia.base.errors import UserError
from leukemia.base.faults import is_machine_fault
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, fold_name
from leukemia.data.augmentation.kept import KeepingLoader
from leukemia.data.augmentation.loaders import TrainingLoader, training_loader
from leukemia.data.images import training_batches
from leukemia.training.checkpoint import DamagedCheckpoint, load_checkpoint, unusable
from leukemia.training.checkpoint_writer import BY_TIME, CheckpointSchedule, CheckpointWriter
from leukemia.training.device import compute_dtype, is_device_fault, is_out_of_memory
from leukemia.training.inference import NonFinite, precise_batchnorm, predict, to_device
from leukemia.training.model import build_model
from leukemia.training.optim import ScheduledOptimizer, build_optimizer
from leukemia.training.snapshot import Snapshot, restore

log = logging.getLogger(__name__)

PRECISE_BN_PART = 8
"""During training, precise BatchNorm uses at most 1/8 of the training images; at the end, all of them."""

LOSS_CHECK_STEPS = 16
"""Losses are checked every so many steps: checking each one would synchronize GPU and CPU at every step."""


class NonFiniteLoss(NonFinite):
    """Training diverged; the message gives recipe, fold, epoch and step."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Training and validation rows of an array of images."""

    images: np.ndarray
    """uint8 (n, H, W, 3)."""

    labels: np.ndarray
    """int64 (n,), 0 ``hem``, 1 ``all``."""

    training: np.ndarray
    """int64 rows."""

    validation: np.ndarray
    """int64 rows; empty to train on all images."""


def fit(
    recipe: Recipe,
    split: Split,
    *,
    fold: int,
    device: torch.device,
    loader: TrainingLoader | None = None,
    checkpoint: Path | None = None,
    schedule: CheckpointSchedule = BY_TIME,
) -> Generator[Epoch, None, nn.Module]:
    """Train a new model; yields after each epoch, and returns the model of the last epoch with precise BatchNorm.

    With ``checkpoint``, the state is saved there by ``schedule``, and an existing checkpoint is resumed to the same
    weights: bit for bit on a CPU with the same number of threads. Epochs in the checkpoint are yielded again, since a
    killed caller may not have received the last one; epochs after it are trained again, with equal numbers except for
    times. Closing the generator finishes a checkpoint that is being written, and an interrupt (``KeyboardInterrupt``)
    stores the last epoch that was copied.

    Args:
        recipe: resolved; ``train.seed`` and ``fold`` seed weights, order and augmentation.
        fold: number of the split; any constant if all images are trained on.
        loader: of the same recipe, images, labels and device, which other folds may use as well; left open. None: one
            of this fit's own, without processes.

    Raises:
        NonFinite: a loss, gradient, weight or probability became infinite or NaN.
        OSError: a checkpoint could not be written; at the end of a later epoch, since that is done beside the training.
        UserError: the checkpoint belongs to another recipe, fold or version, or images and batches are too small for
            BatchNorm.
    """
    make_deterministic(recipe.train.seed, fold)
    with ExitStack() as stack:
        if loader is None:
            loader = stack.enter_context(closing(training_loader(recipe, split.images, split.labels, device, 0)))
        state = _Fit(recipe, split, fold, device, loader)
        writer = None
        if checkpoint is not None:
            writer = stack.enter_context(CheckpointWriter(checkpoint, recipe, fold, schedule))
            state.restore(checkpoint)
            yield from state.epochs
        for epoch in range(len(state.epochs) + 1, recipe.train.epochs + 1):
            if writer is not None:
                writer.before_epoch()
            state.epochs.append(state.run_epoch(epoch))
            if writer is not None:
                writer.after_epoch(epoch, state.snapshot)
            yield state.epochs[-1]
        state.make_precise(recipe.train.epochs, all_images=True)
    return state.model.eval()


def make_deterministic(seed: int, fold: int) -> None:
    """Seed torch from (seed, fold) and restrict cuDNN to deterministic algorithms."""
    torch.manual_seed(int(np.random.SeedSequence((seed, fold)).generate_state(1)[0]))
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


class _Fit:
    """The mutable state of one fit, including everything that a checkpoint contains."""

    def __init__(self, recipe: Recipe, split: Split, fold: int, device: torch.device, loader: TrainingLoader) -> None:
        self.recipe, self.split, self.fold, self.device = recipe, split, fold, device
        self.epochs: list[Epoch] = []
        self.model = build_model(recipe).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = training_batches(recipe, split.training, fold, 1)
        check_batch_size(recipe, len(split.training))
        self.num_batches = len(batches)
        self.optimizer: ScheduledOptimizer = build_optimizer(self.model, recipe, self.num_batches)
        self.class_weight = _class_weight(recipe, split.labels[split.training]).to(device)
        self.dtype = compute_dtype(recipe, device)
        self.batches = KeepingLoader(loader)
        self.num_precise = max(1, self.num_batches // PRECISE_BN_PART) if recipe.evaluate.precise_bn else 0

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
        """Train one epoch: mean loss and accuracy over images, and the last step's learning rate."""
        self.model.train()
        learning_rate = 0.0
        losses: list[Tensor] = []
        sizes: list[int] = []
        num_correct = torch.zeros((), device=self.device, dtype=torch.int64)
        for images, labels in self._batches(epoch):
            self.optimizer.zero_grad()
            with self._autocast():
                logits = self.model(images)
            smoothing = self.recipe.train.label_smoothing
            loss = F.cross_entropy(logits.float(), labels, weight=self.class_weight, label_smoothing=smoothing)
            # A non-finite loss must not go unnoticed for long.
            losses.append(loss.detach())
            if len(losses) % LOSS_CHECK_STEPS == 0:
                self._require_finite_losses(losses, epoch)
            loss.backward()
            learning_rate = self.optimizer.learning_rate
            self._step(epoch, len(losses))
            sizes.append(len(labels))
            num_correct += (logits.argmax(dim=1) == labels).sum()
        self._require_finite_losses(losses, epoch)
        self._require_finite_weights(epoch, len(losses))
        sum_of_losses = 0.0
        # In float64, which MPS lacks.
        for loss_of_batch, size in zip(torch.stack(losses).tolist(), sizes, strict=True):
            sum_of_losses += loss_of_batch * size
        return sum_of_losses / sum(sizes), num_correct.item() / sum(sizes), learning_rate

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        batches = training_batches(self.recipe, self.split.training, self.fold, epoch)
        for images, labels in self.batches.keeping(batches, self.num_precise):
            yield to_device(images, self.device), labels.to(self.device, non_blocking=self.device.type == "cuda")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _step(self, epoch: int, step: int) -> None:
        try:
            self.optimizer.step()
        except FloatingPointError:
            # The package's Ranger21 rejects NaN gradients.
            raise self._diverged("gradient", epoch, step) from None

    def _require_finite_losses(self, losses: list[Tensor], epoch: int) -> None:
        finite = torch.isfinite(torch.stack(losses)).cpu().numpy()
        # Gradients of the losses so far.
        failed = self.optimizer.failed_step() - (epoch - 1) * self.num_batches
        if failed > 0 and finite[: failed - 1].all():
            raise self._diverged("gradient", epoch, failed)
        if not finite.all():
            raise self._diverged("loss", epoch, int(np.argmin(finite)) + 1)

    def _require_finite_weights(self, epoch: int, step: int) -> None:
        """Check the weights: damage done by the last step does not show in any loss of the epoch."""
        tensors = [value for value in self.model.state_dict().values() if value.is_floating_point()]
        if not torch.stack([value.isfinite().all() for value in tensors]).all():
            raise self._diverged("weight", epoch, step)

    def _diverged(self, quantity: str, epoch: int, step: int) -> NonFiniteLoss:
        return NonFiniteLoss(
            f"non-finite {quantity} at {fold_name(self.fold)}, epoch {epoch}, step {step} "
            f"of {self.recipe.describe()}, seed {self.recipe.train.seed}; lower optimizer.learning_rate"
        )

    def make_precise(self, epoch: int, *, all_images: bool) -> None:
        """Precise BatchNorm over the epoch's first batches (1/8 of them), or over all."""
        if not self.num_precise:
            return
        batches = training_batches(self.recipe, self.split.training, self.fold, epoch)
        count = len(batches) if all_images else self.num_precise
        images = (to_device(images, self.device) for images, _ in self.batches(batches[:count]))
        with self._autocast():
            precise_batchnorm(self.model, images)
        self._require_finite_weights(epoch, len(batches))

    def _validate(self, epoch: int) -> tuple[float, float]:
        rows = self.split.validation
        if len(rows) == 0:
            return float("nan"), float("nan")
        self.make_precise(epoch, all_images=False)
        probability = predict(self.model, self.recipe, self.split.images, rows, device=self.device, tta="none")
        labels = self.split.labels[rows]
        of_true_class = np.where(labels == 1, probability, 1.0 - probability)
        loss = float(-np.log(np.maximum(of_true_class, np.finfo(np.float32).tiny)).mean())
        return loss, float(((probability >= 0.5) == labels).mean())

    def snapshot(self) -> Snapshot:
        """A copy of everything that the remaining epochs depend on."""
        return Snapshot.take(self.model, self.optimizer, self.device, self.epochs)

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint, if present; without an intact one, training begins again.

        Raises:
            UserError: an intact one belongs to another recipe, fold or version.
        """
        if not path.is_file():
            return
        try:
            state = load_checkpoint(path, self.recipe, self.fold)
        except DamagedCheckpoint as damage:
            log.warning("%s; retraining this fold from scratch", damage)
            path.unlink()
            return
        try:
            self.epochs = restore(state, self.model, self.optimizer, self.device)
        except Exception as error:
            if is_machine_fault(error) or is_device_fault(error) or is_out_of_memory(error):
                raise
            # Of entries that differ, torch and the optimizers may raise anything.
            raise unusable(path, error) from error


def check_batch_size(recipe: Recipe, num_images: int) -> None:
    """A ResNet divides the side by 32: a single image of at most 32 px leaves BatchNorm one value per channel. Of the
    network of a plug-in this is not known at any size.

    Args:
        recipe: resolved.
        num_images: that the recipe is trained on.

    Raises:
        UserError: a batch has a single image, of that size or for the network of a plug-in.
    """
    assert recipe.data.size_px is not None
    num_batches = math.ceil(num_images / recipe.train.batch_size)
    if num_images // num_batches == 1 and (recipe.data.size_px <= 32 or not recipe.model.is_resnet):
        raise UserError(
            f"train.batch_size: {recipe.train.batch_size} leaves a batch of one image, for which BatchNorm has no "
            f"variance at data.size_px {recipe.data.size_px}; set train.batch_size to at least 3"
        )


def _class_weight(recipe: Recipe, labels: np.ndarray) -> Tensor:
    """Weight of each class in the loss, float32 (2,): 1, or n / (2 n_class) if balanced."""
    if recipe.train.class_weight == "none":
        return torch.ones(2)
    return torch.from_numpy((len(labels) / (2.0 * np.bincount(labels, minlength=2))).astype(np.float32))
