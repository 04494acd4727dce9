"""``python -m leukemia.final --best``: retrain the winner on all training images and deliver it with its evidence."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from leukemia import __version__
from leukemia.base import provenance
from leukemia.base.errors import SUCCESS, UserError, listed, run_command
from leukemia.base.files import cache_dir, locked, require_space
from leukemia.config.fields import parse_settings
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.images import open_images
from leukemia.delivery.model_folder import Delivery, Tested
from leukemia.delivery.searched_data import training_data, view_of
from leukemia.scoring.metrics import describe_difference, majority_rate, paired_difference, scores
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.training.device import DEVICES, choose_device, describe_device
from leukemia.training.inference import predict
from leukemia.training.model import ResNet, build_model
from leukemia.training.train import NonFiniteLoss, Split, fit

COMPARED = ("accuracy", "balanced_accuracy")
"""Metrics in which the winner is compared with the starting recipe."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.final",
        description="Retrain a study's winner on all training images; deliver model, metrics, predictions, report.",
        epilog="example: python -m leukemia.final --best --test C-NMC_test_prelim_phase_data_labels.csv",
    )
    parser.add_argument(
        "--best",
        nargs="?",
        const="",
        required=True,
        metavar="STUDY",
        help="the study (default: the newest with a winner)",
    )
    parser.add_argument("--data", metavar="DATA", help="training data (default: where the search had them)")
    parser.add_argument("--base", type=Path, metavar="DIR", help="folder that a training CSV's paths are relative to")
    parser.add_argument("--subjects-from", type=Path, metavar="DIR", help="copy that tells the training subjects")
    parser.add_argument("--test", metavar="DATA", help="test set: C-NMC test folder or labels CSV, CSV, class folders")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie (default: runs)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: cuda, else mps, else cpu")
    parser.add_argument("--allow-overlap", action="store_true", help="accept test images that were trained on")
    parser.add_argument(
        "--against-start", action="store_true", help="also retrain the starting recipe and state the paired difference"
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Deliver the winner; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.against_start and arguments.test is None:
        raise UserError("--against-start: the two are compared on test images; give a labelled --test")
    study = Study.find(arguments.runs, arguments.best or None)
    best = Best.of(study)
    _check_wandb()
    catalog = training_data(
        study, best, data=arguments.data, base=arguments.base, subjects_from=arguments.subjects_from
    )
    test = _test_data(arguments)
    overlap = _overlap(catalog, test, arguments.allow_overlap)
    recipe = best.recipe.with_settings(parse_settings(arguments.set)).resolved(catalog.smallest_side_px)
    device = choose_device(arguments.device)
    _require_room(study, recipe)
    console = Console()
    _say(console, f"study {study.name}, trial {best.trial}: {recipe.describe()} on {describe_device(device)}")
    if test is not None:
        # What is wrong with the test images is said now, not after hours of training.
        open_images(test, view_of(recipe))
    unfinished = _unfinished(study)
    for note in unfinished:
        _say(console, f"warning: {note}")
    model, epochs = _retrain(console, study, recipe, catalog, device)
    tested = None if test is None else _test(model, recipe, catalog, test, overlap, device)
    difference = _against_start(console, study, catalog, tested, device) if arguments.against_start else None
    delivery = Delivery(
        best=best,
        recipe=recipe,
        model=model,
        epochs=epochs,
        num_training_images=len(catalog.table),
        tested=tested,
        difference=difference,
        device=describe_device(device),
        command=provenance.command_line("leukemia.final", argv),
        notes=unfinished,
    )
    with _replacing(study.folder / "final") as folder:
        delivery.write(folder)
    shutil.rmtree(_checkpoints(study), ignore_errors=True)
    _print_outcome(console, study.folder / "final", delivery)
    _tell(console, study)
    return SUCCESS


def _check_wandb() -> None:
    """Refuse settings of W&B's that cannot be meant now, not after hours of training."""
    with suppress(ModuleNotFoundError):
        from leukemia.tracking.account import check_settings

        check_settings()


def _tell(console: Console, study: Study) -> None:
    """Say it to W&B, too; a model can be trained and delivered where that is not installed."""
    try:
        from leukemia.tracking.tracker import tell_final
    except ModuleNotFoundError as error:
        _say(console, f"W&B: {error}")
        return
    for words in filter(None, [tell_final(study)]):
        _say(console, words)


def _unfinished(study: Study) -> tuple[str, ...]:
    """Whether the search would still have gone on, in words; empty when it is over."""
    wanted, ended = study.info.get("trials", 0), sum(study.end(number) is not None for number in study.trials())
    if ended >= wanted:
        return ()
    return (f"The search is not finished: {ended} of {wanted} trials have ended, and a later one may win.",)


def _test_data(arguments: argparse.Namespace) -> Catalog | None:
    if arguments.test is None:
        return None
    test = read_catalog(Path(arguments.test), labels=False)
    if arguments.against_start and not test.has_labels:
        raise UserError(
            "--against-start: the test set has no labels, so nothing can be compared; give a labelled --test"
        )
    return test


def _overlap(catalog: Catalog, test: Catalog | None, allowed: bool) -> tuple[str, ...]:
    """Test images (by pixels) and subjects that are in the training data.

    Raises:
        UserError: there are some and the user has not allowed them.
    """
    if test is None:
        return ()
    seen = test.table["pixel_sha256"].isin(set(catalog.table["pixel_sha256"]))
    images = [f"image {image_id}" for image_id in test.table["image_id"][seen]]
    subjects: list[str] = []
    if test.has_subjects and catalog.has_subjects:
        common = set(test.table["subject"]) & set(catalog.table["subject"])
        subjects = [f"subject {subject}" for subject in sorted(common)]
    if (images or subjects) and not allowed:
        raise UserError(
            f"--test: {len(images)} images and {len(subjects)} subjects of the test set are in the training data, so "
            "its scores would be too high; give other test data, or --allow-overlap (every output will then say so):\n"
            + listed([*images, *subjects])
        )
    words = [f"{len(images)} images"] if images else []
    return tuple([*words, f"{len(subjects)} subjects"] if subjects else words)


def _require_room(study: Study, recipe: Recipe) -> None:
    """Refuse before the training what the disks cannot hold: the delivery, and a checkpoint."""
    with torch.device("meta"):
        network = build_model(recipe.with_settings({"model.pretrained": None}))
    num_bytes = 4 * sum(parameter.numel() for parameter in network.parameters())
    require_space(study.folder, num_bytes + 20_000_000, "the delivered model")
    # Weights and up to five tensors of each; the next checkpoint is written beside the last.
    require_space(cache_dir(), 12 * num_bytes, "the training's checkpoints")


def _retrain(
    console: Console, study: Study, recipe: Recipe, catalog: Catalog, device: torch.device
) -> tuple[ResNet, pd.DataFrame]:
    """Train on all images; a retraining that was killed goes on from its last epoch."""
    images = open_images(catalog, view_of(recipe))
    split = Split(
        images=images,
        labels=catalog.table["label"].to_numpy(dtype=np.int64),
        training=np.arange(len(images)),
        validation=np.zeros(0, dtype=np.int64),
    )
    # The training images and the recipe name the checkpoint: other ones begin afresh.
    identity = hashlib.sha256((recipe.to_json() + catalog.fingerprint).encode()).hexdigest()[:16]
    fitting = fit(
        recipe, split, fold=study.info["folds"], device=device, checkpoint=_checkpoints(study) / f"{identity}.pt"
    )
    epochs: list[Epoch] = []
    with console.status("training") as status:
        while True:
            try:
                epochs.append(next(fitting))
            except StopIteration as end:
                return end.value, pd.DataFrame([dataclasses.asdict(epoch) for epoch in epochs])
            except NonFiniteLoss as error:
                raise UserError(f"retraining failed: {error} (--set optimizer.learning_rate=...)") from error
            words = f"epoch {epochs[-1].epoch}/{recipe.train.epochs}: loss {epochs[-1].train_loss:.4f}"
            status.update(words)
            if not console.is_terminal:
                _say(console, words)


def _checkpoints(study: Study) -> Path:
    return cache_dir() / "checkpoints" / f"{study.info['study_uid']}-final"


def _predicted(model: ResNet, recipe: Recipe, test: Catalog, device: torch.device) -> np.ndarray:
    images = open_images(test, view_of(recipe))
    return predict(model, recipe, images, range(len(images)), device=device, tta=recipe.evaluate.tta)


def _test(
    model: ResNet, recipe: Recipe, catalog: Catalog, test: Catalog, overlap: tuple[str, ...], device: torch.device
) -> Tested:
    probabilities = _predicted(model, recipe, test, device)
    found = (
        scores(test.table["label"].to_numpy(), probabilities, test.table["group"].to_numpy())
        if test.has_labels
        else None
    )
    return Tested(
        catalog=test,
        probabilities=probabilities,
        scores=found,
        overlap=overlap,
        subjects_compared=catalog.has_subjects and test.has_subjects,
    )


def _against_start(
    console: Console, study: Study, catalog: Catalog, tested: Tested | None, device: torch.device
) -> tuple[str, dict[str, Any]]:
    """Retrain trial 0's recipe the same way: winner minus start on the same test images, clustered by group."""
    assert tested is not None
    start = study.recipe(0).resolved(catalog.smallest_side_px)
    _say(console, f"starting recipe, trial 0000: {start.describe()}")
    model, _ = _retrain(console, study, start, catalog, device)
    probabilities = _predicted(model, start, tested.catalog, device)
    table = tested.catalog.table
    labels, groups = table["label"].to_numpy(), table["group"].to_numpy()
    return "the starting recipe (trial 0000) retrained", {
        metric: paired_difference(labels, tested.probabilities, probabilities, groups, metric) for metric in COMPARED
    }


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of ``folder`` when all is written, and vanishes when anything fails."""
    fresh, old = folder.with_name(f".{folder.name}-new"), folder.with_name(f".{folder.name}-old")
    with locked(folder.with_name(f".{folder.name}.lock")):
        if old.exists() and not folder.exists():
            # Killed between the two renames below.
            old.rename(folder)
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir()
        try:
            yield fresh
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False, soft_wrap=True)


def _print_outcome(console: Console, folder: Path, delivery: Delivery) -> None:
    tested = delivery.tested
    if tested is None:
        _say(console, "no --test: metrics.json holds the out-of-fold scores of the search only")
    elif tested.scores is None:
        _say(console, f"{len(tested.probabilities)} test images without labels: predictions only")
    else:
        for name in ("accuracy", "balanced_accuracy", "weighted_f1", "auroc"):
            interval = tested.scores[name]
            _say(console, f"test {name}: {interval.value:.4f}, 95 % interval {interval.low:.4f} to {interval.high:.4f}")
        _say(console, f"majority rate: {majority_rate(tested.catalog.table['label'].to_numpy()):.4f}")
    if delivery.difference is not None:
        against, intervals = delivery.difference
        for name, interval in intervals.items():
            _say(console, f"against {against}, {name}: {describe_difference(interval)}")
    for caveat in delivery.caveats():
        _say(console, f"caveat: {caveat}")
    _say(console, f"model: {folder}")
    _say(console, f"next: python -m leukemia.predict --model {folder} IMAGES...")


if __name__ == "__main__":
    run_command(main)
