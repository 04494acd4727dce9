"""Train a recipe on all images of a study; interrupted training resumes from its last checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from leukemia.base import interrupts
from leukemia.base.errors import UserError
from leukemia.base.files import cache_dir, require_space
from leukemia.base.locks import locked
from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.data.view import view_of
from leukemia.delivery.messages import print_line
from leukemia.study.folder import Study
from leukemia.training.device import compute_dtype
from leukemia.training.inference import NonFinite
from leukemia.training.model import build_model
from leukemia.training.resnet import ResNet
from leukemia.training.train import Split, fit


def check_disk_space(study: Study, recipe: Recipe) -> None:
    """Check the disk space for the delivered model and for checkpoints before training.

    Raises:
        UserError: there is not enough.
    """
    with torch.device("meta"):
        network = build_model(recipe.with_settings({"model.pretrained": None}))
    num_bytes = 4 * sum(parameter.numel() for parameter in network.parameters())
    require_space(study.folder, num_bytes + 20_000_000, "the delivered model")
    # Weights and optimizer state; a checkpoint is written before the previous one is deleted.
    require_space(
        cache_dir(), 2 * (1 + OPTIMIZERS[recipe.optimizer.name].num_states) * num_bytes, "the training's checkpoints"
    )


def retrain(
    console: Console, study: Study, recipe: Recipe, catalog: Catalog, device: torch.device
) -> tuple[ResNet, pd.DataFrame]:
    """Train on all images; returns the model and one row per epoch, with the fields of ``Epoch``.

    Args:
        recipe: resolved.

    Raises:
        UserError: training diverges, or another process has the same training.
    """
    images = open_images(catalog, view_of(recipe))
    split = Split(
        images=images,
        labels=catalog.table["label"].to_numpy(dtype=np.int64),
        training=np.arange(len(images)),
        validation=np.zeros(0, dtype=np.int64),
    )
    checkpoint = _checkpoint(study, recipe, catalog, device)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(_lock_of(checkpoint), wait=False))
        except BlockingIOError:
            raise UserError(
                f"another process is training this model of study {study.name}; wait for it, then run the same "
                "command again"
            ) from None
        return _finish(console, recipe, fit(recipe, split, fold=study.info.folds, device=device, checkpoint=checkpoint))


def _finish(console: Console, recipe: Recipe, fitting: Generator[Epoch, None, ResNet]) -> tuple[ResNet, pd.DataFrame]:
    """Train to the end, and show the progress."""
    epochs: list[Epoch] = []
    how = "run the same command again to continue from the last finished epoch, or one a few seconds before it"
    with interrupts.resumable(how), console.status("training") as status, closing(fitting), _interrupting(fitting):
        while True:
            interrupts.check()
            try:
                epochs.append(next(fitting))
            except StopIteration as end:
                return end.value, pd.DataFrame([dataclasses.asdict(epoch) for epoch in epochs])
            except NonFinite as error:
                raise UserError(f"retraining failed: {error} (--set optimizer.learning_rate=...)") from error
            progress = f"epoch {epochs[-1].epoch}/{recipe.train.epochs}: loss {epochs[-1].train_loss:.4f}"
            status.update(progress)
            if not console.is_terminal:
                print_line(console, progress)


@contextmanager
def _interrupting(fitting: Generator[Epoch, None, ResNet]) -> Iterator[None]:
    """Raise an interrupt in the training, which then stores its last epoch, also if it came between two epochs."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        fitting.throw(interrupt)
        raise


def remove_checkpoint(study: Study, recipe: Recipe, catalog: Catalog, device: torch.device) -> None:
    """Delete the checkpoint of a training whose model was delivered, unless another process continues it."""
    path = _checkpoint(study, recipe, catalog, device)
    with suppress(BlockingIOError), locked(_lock_of(path), wait=False):
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()


def _lock_of(checkpoint: Path) -> Path:
    """A file to lock while a checkpoint is used; outside of its folder, which is removed at the end."""
    folder = checkpoint.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.with_name(f".{folder.name}-{checkpoint.stem}.lock")


def _checkpoint(study: Study, recipe: Recipe, catalog: Catalog, device: torch.device) -> Path:
    # The file is named by all that determines the weights, so that all epochs of a model agree in it.
    # On a GPU, the number of threads changes no numbers.
    threads = torch.get_num_threads() if device.type == "cpu" else None
    determining = [recipe.identity(), catalog.fingerprint, device.type, threads, torch.__version__]
    if recipe.train.precision == "auto" and compute_dtype(recipe, device) == torch.float32:
        # Machines that share a cache may differ in what ``auto`` is. In bfloat16, names are those of earlier versions.
        determining.append("float32")
    identity = hashlib.sha256("\n".join(map(str, determining)).encode()).hexdigest()[:16]
    return cache_dir() / "checkpoints" / f"{study.info.study_uid}-final" / f"{identity}.pt"
