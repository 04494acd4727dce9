"""Train the networks of a delivered model; interrupted training resumes from its last checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import nn

from leukemia.base import interrupts
from leukemia.base.errors import UserError
from leukemia.base.files import cache_dir, require_space
from leukemia.base.locks import locked
from leukemia.config.optimizers import spec_of
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.data.images import open_images
from leukemia.data.view import view_of
from leukemia.delivery.loading import Existing
from leukemia.delivery.messages import print_line
from leukemia.delivery.training_run import TrainingRun
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.training.device import compute_dtype
from leukemia.training.ensemble import Ensemble, members_of
from leukemia.training.inference import NonFinite, model_to_device
from leukemia.training.model import build_model
from leukemia.training.train import Split, fit


def check_disk_space(study: Study, runs: Sequence[TrainingRun]) -> None:
    """Check the disk space for the delivered model and for checkpoints before training.

    Args:
        runs: all trainings of the model, of recipes that differ in their seeds only.

    Raises:
        UserError: there is not enough.
    """
    recipe = runs[0].recipe
    with torch.device("meta"):
        network = build_model(recipe.with_settings({"model.pretrained": None}))
    num_bytes = 4 * sum(parameter.numel() for parameter in network.parameters())
    require_space(study.folder, len(runs) * num_bytes + 20_000_000, "the delivered model")
    # Weights and optimizer state. A checkpoint is written before the previous one is deleted, and those of finished
    # trainings are kept until the model is delivered.
    of_one = (1 + spec_of(recipe.optimizer.name).num_states) * num_bytes
    require_space(cache_dir(), (len(runs) + 1) * of_one, "the training's checkpoints")


def retrain_all(
    console: Console,
    study: Study,
    runs: Sequence[TrainingRun],
    catalog: Catalog,
    device: torch.device,
    single: Existing | None,
) -> tuple[nn.Module, pd.DataFrame]:
    """The network of one run, or the ensemble of those of several, and the epochs of all, with the fields of ``Epoch``.

    If it is interrupted, finished runs are not trained again: their checkpoints are kept.

    Args:
        single: the model of the recipe trained on all images, if it exists: it is not trained again as a member.

    Raises:
        UserError: as ``retrain``.
    """
    if len(runs) == 1:
        return retrain(console, study, runs[0], catalog, device)
    networks: list[nn.Module] = []
    epochs: list[pd.DataFrame] = []
    for number, run in enumerate(runs, 1):
        name = f"model {number}/{len(runs)}, "
        if single is not None and run == TrainingRun(recipe=runs[0].recipe):
            print_line(console, f"{name.rstrip(', ')}: that of {single.folder}")
            found = members_of(single.model)[0], single.epochs()
        else:
            found = retrain(console, study, run, catalog, device, name)
        # One at a time is on the device.
        networks.append(found[0].cpu())
        epochs.append(found[1])
    return model_to_device(Ensemble(networks).eval(), device), pd.concat(epochs, ignore_index=True)


def retrain(
    console: Console, study: Study, run: TrainingRun, catalog: Catalog, device: torch.device, name: str = ""
) -> tuple[nn.Module, pd.DataFrame]:
    """Train; returns the network and one row per epoch, with the fields of ``Epoch``.

    Without one fold of the search, the network is trained and validated as in the search: on the same kind of machine
    it is the network that gave the out-of-fold predictions of that fold.

    Args:
        name: what the lines of the progress begin with.

    Raises:
        UserError: training diverges, the study's split is damaged, or another process has the same training.
    """
    images = open_images(catalog, view_of(run.recipe))
    training = np.arange(len(images))
    validation = training[:0]
    if run.fold is not None:
        splits = Splits.load(study.folder / layout.SPLITS, catalog.fingerprint)
        training, validation = list(splits.rows(catalog))[run.fold]
    split = Split(
        images=images,
        labels=catalog.table["label"].to_numpy(dtype=np.int64),
        training=training,
        validation=validation,
    )
    fold = study.info.folds if run.fold is None else run.fold
    checkpoint = _checkpoint(study, run.recipe, catalog, device, run.fold)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(_lock_of(checkpoint), wait=False))
        except BlockingIOError:
            raise UserError(
                f"another process is training this model of study {study.name}; wait for it, then run the same "
                "command again"
            ) from None
        fitting = fit(run.recipe, split, fold=fold, device=device, checkpoint=checkpoint)
        return _finish(console, run.recipe, fitting, name)


def _finish(
    console: Console, recipe: Recipe, fitting: Generator[Epoch, None, nn.Module], name: str
) -> tuple[nn.Module, pd.DataFrame]:
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
            progress = f"{name}epoch {epochs[-1].epoch}/{recipe.train.epochs}: loss {epochs[-1].train_loss:.4f}"
            status.update(progress)
            if not console.is_terminal:
                print_line(console, progress)


@contextmanager
def _interrupting(fitting: Generator[Epoch, None, nn.Module]) -> Iterator[None]:
    """Raise an interrupt in the training, which then stores its last epoch, also if it came between two epochs."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        fitting.throw(interrupt)
        raise


def remove_checkpoint(study: Study, run: TrainingRun, catalog: Catalog, device: torch.device) -> None:
    """Delete the checkpoint of a training whose model was delivered, unless another process continues it."""
    path = _checkpoint(study, run.recipe, catalog, device, run.fold)
    with suppress(BlockingIOError), locked(_lock_of(path), wait=False):
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()


def _lock_of(checkpoint: Path) -> Path:
    """A file to lock while a checkpoint is used; outside of its folder, which is removed at the end."""
    folder = checkpoint.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.with_name(f".{folder.name}-{checkpoint.stem}.lock")


def _checkpoint(study: Study, recipe: Recipe, catalog: Catalog, device: torch.device, fold: int | None = None) -> Path:
    # The file is named by all that determines the weights, so that all epochs of a model agree in it.
    # On a GPU, the number of threads changes no numbers.
    threads = torch.get_num_threads() if device.type == "cpu" else None
    determining = [recipe.identity(), catalog.fingerprint, device.type, threads, torch.__version__]
    if recipe.train.precision == "auto" and compute_dtype(recipe, device) == torch.float32:
        # Machines that share a cache may differ in what ``auto`` is. In bfloat16, names are those of earlier versions.
        determining.append("float32")
    if fold is not None:
        determining.append(f"without fold {fold}")
    identity = hashlib.sha256("\n".join(map(str, determining)).encode()).hexdigest()[:16]
    return cache_dir() / "checkpoints" / f"{study.info.study_uid}-final" / f"{identity}.pt"
