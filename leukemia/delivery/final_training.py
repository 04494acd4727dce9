"""Retrain a study's winner on all training images, test it, and write the delivered model."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.config.fields import parse_settings
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.images import open_images
from leukemia.delivery.evaluation import Evaluation, evaluate, find_overlap, predict_test_set
from leukemia.delivery.messages import print_line, print_outcome
from leukemia.delivery.model_folder import Delivery
from leukemia.delivery.replacement import replacing
from leukemia.delivery.retraining import check_disk_space, checkpoint_folder, retrain
from leukemia.delivery.training_data import load_training_data, view_of
from leukemia.scoring.metrics import Interval
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.verification import verify
from leukemia.training.device import choose_device, describe_device, use_threads


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """The options of ``leukemia.final``."""

    study: Study
    data: str | None
    """Training data; None: as recorded in the study. Likewise ``base`` and ``subjects_from``."""

    base: Path | None
    subjects_from: Path | None
    test: Path | None
    """Test data; None to skip testing."""

    settings: list[str]
    """Changes to the winner's recipe, each ``FIELD=VALUE``."""

    device: str
    """One of ``leukemia.base.cli.DEVICES``."""

    allow_overlap: bool
    against_start: bool
    """Also retrain the starting recipe, and compare both models on the test set, which must have labels."""

    command: str
    """The command line, for provenance."""

    def run(self) -> None:
        """Retrain, test, and write the study's ``final/``.

        Raises:
            UserError: the study, the data or the settings are invalid; raised before training if possible.
        """
        if self.against_start and self.test is None:
            raise UserError("--against-start: the models are compared on test images; add a labelled --test")
        study, best = self.study, Best.of(self.study)
        verify(study)
        _check_wandb()
        catalog = load_training_data(study, best, data=self.data, base=self.base, subjects_from=self.subjects_from)
        test = self._test_data()
        overlap = () if test is None else find_overlap(catalog, test, allowed=self.allow_overlap)
        recipe = best.recipe.with_settings(parse_settings(self.settings)).resolved(catalog.smallest_side_px)
        device = choose_device(self.device)
        excess = use_threads(study.info.cpu_threads)
        check_disk_space(study, recipe)
        console = Console()
        where = describe_device(device) + excess
        print_line(console, f"study {study.name}, trial {best.trial}: {recipe.describe()} on {where}")
        if test is not None:
            # Detect unreadable test images now, not after hours of training.
            open_images(test, view_of(recipe))
        unfinished = _unfinished(study)
        for note in unfinished:
            print_line(console, f"warning: {note}")
        model, epochs = retrain(console, study, recipe, catalog, device)
        evaluation = None if test is None else evaluate(model, recipe, catalog, test, overlap, device)
        delivery = Delivery(
            best=best,
            recipe=recipe,
            model=model,
            epochs=epochs,
            num_training_images=len(catalog.table),
            evaluation=evaluation,
            difference=_against_start(console, study, catalog, evaluation, device) if self.against_start else None,
            device=describe_device(device),
            command=self.command,
            notes=unfinished,
        )
        with replacing(study.folder / layout.FINAL) as folder:
            delivery.write(folder)
        shutil.rmtree(checkpoint_folder(study), ignore_errors=True)
        print_outcome(console, study.folder / layout.FINAL, delivery)
        _track(console, study)

    def _test_data(self) -> Catalog | None:
        if self.test is None:
            return None
        test = read_catalog(self.test, labels=False)
        if self.against_start and not test.has_labels:
            raise UserError(
                "--against-start: the test set has no labels, so the models cannot be compared; use a labelled --test"
            )
        return test


def _check_wandb() -> None:
    """Check W&B's settings now, not after hours of training."""
    with suppress(ModuleNotFoundError):
        from leukemia.tracking.account import check_settings

        check_settings()


def _track(console: Console, study: Study) -> None:
    """Log the model to W&B, which is optional: it may not be installed."""
    try:
        from leukemia.tracking.tracker import track_final
    except ModuleNotFoundError as error:
        print_line(console, f"W&B: {error}")
        return
    if message := track_final(study):
        print_line(console, message)


def _unfinished(study: Study) -> tuple[str, ...]:
    """A warning if the search is not finished; else empty."""
    info, ended = study.info, sum(study.end(number) is not None for number in study.trials())
    wanted = 0 if "trials" in info.absent else info.trials
    if ended >= wanted:
        return ()
    return (f"The search is not finished: {ended} of {wanted} trials have ended; a later trial may be better.",)


def _against_start(
    console: Console, study: Study, catalog: Catalog, evaluation: Evaluation | None, device: torch.device
) -> tuple[str, dict[str, Interval]]:
    """Retrain trial 0's recipe the same way; returns its name, and winner minus start on the test set."""
    assert evaluation is not None
    start = study.recipe(0).resolved(catalog.smallest_side_px)
    print_line(console, f"starting recipe, trial 0000: {start.describe()}")
    model, _ = retrain(console, study, start, catalog, device)
    probabilities = predict_test_set(model, start, evaluation.catalog, device)
    return "the starting recipe (trial 0000) retrained", evaluation.difference(probabilities)
