"""A study's winner retrained on all training images, tested, and delivered with its evidence."""

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
from leukemia.delivery.evaluation import Tested, overlap_of, predicted, tested
from leukemia.delivery.messages import print_outcome, say
from leukemia.delivery.model_folder import Delivery
from leukemia.delivery.replacement import replacing
from leukemia.delivery.retraining import checkpoints_of, require_room, retrain
from leukemia.delivery.searched_data import training_data, view_of
from leukemia.scoring.metrics import Interval
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.training.device import choose_device, describe_device


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """What to retrain, on what, and what to test it on."""

    study: Study
    data: str | None
    """Training data; None: where the search found them. So with ``base`` and ``subjects_from``."""

    base: Path | None
    subjects_from: Path | None
    test: Path | None
    """Test data; None: nothing is tested."""

    settings: list[str]
    """Changes to the winner's recipe, each ``FIELD=VALUE``."""

    device: str
    """A name of ``leukemia.base.cli.DEVICES``."""

    allow_overlap: bool
    against_start: bool
    """Also retrain the starting recipe, and compare the two on the test set, which then needs labels."""

    command: str
    """The command line, for the evidence."""

    def run(self) -> None:
        """Retrain, test, and write the study's ``final/``.

        Raises:
            UserError: whatever is wrong with the study, the data or the settings; before the training where possible.
        """
        if self.against_start and self.test is None:
            raise UserError("--against-start: the two are compared on test images; give a labelled --test")
        study, best = self.study, Best.of(self.study)
        _check_wandb()
        catalog = training_data(study, best, data=self.data, base=self.base, subjects_from=self.subjects_from)
        test = self._test_data()
        overlap = () if test is None else overlap_of(catalog, test, allowed=self.allow_overlap)
        recipe = best.recipe.with_settings(parse_settings(self.settings)).resolved(catalog.smallest_side_px)
        device = choose_device(self.device)
        require_room(study, recipe)
        console = Console()
        say(console, f"study {study.name}, trial {best.trial}: {recipe.describe()} on {describe_device(device)}")
        if test is not None:
            # What is wrong with the test images is said now, not after hours of training.
            open_images(test, view_of(recipe))
        unfinished = _unfinished(study)
        for note in unfinished:
            say(console, f"warning: {note}")
        model, epochs = retrain(console, study, recipe, catalog, device)
        scored = None if test is None else tested(model, recipe, catalog, test, overlap, device)
        delivery = Delivery(
            best=best,
            recipe=recipe,
            model=model,
            epochs=epochs,
            num_training_images=len(catalog.table),
            tested=scored,
            difference=_against_start(console, study, catalog, scored, device) if self.against_start else None,
            device=describe_device(device),
            command=self.command,
            notes=unfinished,
        )
        with replacing(study.folder / layout.FINAL) as folder:
            delivery.write(folder)
        shutil.rmtree(checkpoints_of(study), ignore_errors=True)
        print_outcome(console, study.folder / layout.FINAL, delivery)
        _tell(console, study)

    def _test_data(self) -> Catalog | None:
        if self.test is None:
            return None
        test = read_catalog(self.test, labels=False)
        if self.against_start and not test.has_labels:
            raise UserError(
                "--against-start: the test set has no labels, so nothing can be compared; give a labelled --test"
            )
        return test


def _check_wandb() -> None:
    """Refuse settings of W&B's that cannot be meant now, not after hours of training."""
    with suppress(ModuleNotFoundError):
        from leukemia.tracking.account import check_settings

        check_settings()


def _tell(console: Console, study: Study) -> None:
    """Send it to W&B, too; a model can be trained and delivered where that is not installed."""
    try:
        from leukemia.tracking.tracker import tell_final
    except ModuleNotFoundError as error:
        say(console, f"W&B: {error}")
        return
    for words in filter(None, [tell_final(study)]):
        say(console, words)


def _unfinished(study: Study) -> tuple[str, ...]:
    """A warning where the search would still have gone on; empty when it is over."""
    info, ended = study.info, sum(study.end(number) is not None for number in study.trials())
    wanted = 0 if "trials" in info.absent else info.trials
    if ended >= wanted:
        return ()
    return (f"The search is not finished: {ended} of {wanted} trials have ended, and a later one may win.",)


def _against_start(
    console: Console, study: Study, catalog: Catalog, scored: Tested | None, device: torch.device
) -> tuple[str, dict[str, Interval]]:
    """Retrain trial 0's recipe the same way; the winner minus it on the same test images."""
    assert scored is not None
    start = study.recipe(0).resolved(catalog.smallest_side_px)
    say(console, f"starting recipe, trial 0000: {start.describe()}")
    model, _ = retrain(console, study, start, catalog, device)
    probabilities = predicted(model, start, scored.catalog, device)
    return "the starting recipe (trial 0000) retrained", scored.difference(probabilities)
