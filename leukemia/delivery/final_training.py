"""Retrain a study's winner, as one network or as an ensemble, test it, and write the delivered model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from leukemia.base.errors import UserError, listed
from leukemia.base.record import read_record
from leukemia.config.fields import parse_settings
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.data.reading import Reading
from leukemia.data.survival import viewed
from leukemia.data.view import view_of
from leukemia.delivery.caveats import on_training
from leukemia.delivery.choice import Choice
from leukemia.delivery.comparison import Comparison
from leukemia.delivery.delivery import Delivery
from leukemia.delivery.evaluation import evaluate, read_test_set
from leukemia.delivery.inputs import Inputs, require_plugins
from leukemia.delivery.loading import Existing, find_existing
from leukemia.delivery.messages import print_known, print_line, print_next, print_outcome, print_remarks, unfinished
from leukemia.delivery.model_folder import add_results, write_model, write_results
from leukemia.delivery.out_of_fold import PREVALENCE, OutOfFold
from leukemia.delivery.overlap import Rule, compare
from leukemia.delivery.replacement import claimed, free_name, replacing
from leukemia.delivery.results import are_known, name_for
from leukemia.delivery.retraining import check_disk_space, remove_checkpoint, retrain_all
from leukemia.delivery.seen import Seen
from leukemia.delivery.submission import Submission
from leukemia.delivery.training_data import load_training_data
from leukemia.delivery.training_run import TrainingRun, asked_for
from leukemia.delivery.upload import check_wandb, remember_wandb_ids, track
from leukemia.plugins.plugin_file import PluginFile
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.ensemble import describe_model
from leukemia.study.folder import Study
from leukemia.study.model_metrics import MetricsRecord
from leukemia.study.models import ModelRecord, is_model, model_folder
from leukemia.study.verification import verify
from leukemia.training.device import choose_device, describe_device, use_threads
from leukemia.training.inference import model_to_device
from leukemia.training.pretrained import describe_weights


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """The options of ``leukemia.final``."""

    study: Study
    data: str | None
    """Training data; None: as recorded in the study."""

    reading: Reading
    """Options that replace those recorded in the study; those on classes are for the test set."""

    test: Path | None
    """Test data; None to skip testing."""

    test_base: str | None
    """Absolute path of the base folder for relative paths in the test data; None: the folder of the CSV."""

    settings: list[str]
    """Changes to the winner's recipe, each ``FIELD=VALUE``."""

    device: str
    """One of ``leukemia.base.cli.DEVICES``."""

    overlap: Rule
    """What happens to a test set that overlaps the training data."""

    against_start: bool
    """Also retrain the starting recipe, and compare both models on the test set, which must have labels."""

    wandb_ids: bool | None
    """Whether W&B gets the names of images and patients; None: as stored in the study."""

    command: str
    """The command line, for provenance."""

    submission: Submission | None = None
    """Where to write the classes of the test images, too."""

    out: str = layout.FINAL
    """Name of the model's folder in the study."""

    threshold: str | None = None
    """How the model's threshold is chosen, as of ``leukemia.scoring.thresholds.parse_rule``; None for the one that the
    model has if it exists, else 0.5."""

    prevalence: float | None = None
    """Share of leukemic cells at which predictive values are computed as well, between 0 and 1."""

    plugins: tuple[PluginFile, ...] = ()
    """The files of ``--plugin``, which have been run."""

    replace: bool = False
    """Keep another model that is in this folder under the first free name of ``NAME.1``, ``NAME.2``, ..."""

    ensemble: Literal["folds"] | None = None
    """Average the networks of the search's folds, trained again, in the place of one on all images."""

    num_seeds: int | None = None
    """Average so many networks with different seeds."""

    def run(self) -> None:
        """Retrain, test, and write the model's folder; if the same model is there already, only test it.

        An ensemble is compared on test images with labels with the single model, which is delivered to ``final/``
        first if it is not there.

        In any case it is uploaded to W&B, which an earlier command may not have finished.

        Raises:
            UserError: the study, the data or the settings are invalid, the folder has something else, or a search of
                the study is running and ``wandb_ids`` is given; raised before training if possible.
        """
        inputs, console = self._inputs(), Console()
        if self.against_start:
            require_plugins(inputs.study, inputs.start)
        print_remarks(console, inputs.catalog, inputs.test)
        with claimed(inputs.folder):
            existing = self._find_existing(inputs)
            remember_wandb_ids(self.study, self.wandb_ids)
            is_complete = existing is not None and self._is_complete(console, inputs, existing.record)
            delivery = None if is_complete else self._deliver(console, inputs, existing)
            self._submit(console, inputs)
        if delivery is not None:
            for trained in (*inputs.runs, *([TrainingRun(recipe=inputs.start)] if self.against_start else [])):
                remove_checkpoint(inputs.study, trained, inputs.catalog, inputs.device)
            print_outcome(console, inputs.folder, delivery)
        # As it is now: the search may have been resumed, or the names' option changed, during training.
        track(console, Study.open(inputs.study.folder), self.out)

    def _inputs(self) -> Inputs:
        if self.submission is not None:
            self.submission.require_new()
        study, best, folder = self.study, Best.of(self.study), model_folder(self.study, self.out)
        ensemble = asked_for(self.ensemble, self.num_seeds, best)
        verify(study)
        check_wandb()
        catalog = load_training_data(study, best, data=self.data, reading=self.reading.without_classes())
        test, device = self._test_data(best), choose_device(self.device)
        recipe = best.recipe.with_settings(parse_settings(self.settings)).resolved(catalog.sizes)
        require_plugins(study, recipe, self.plugins)
        catalog, seen = viewed(catalog, view_of(recipe)), Seen.of(catalog, recipe.model.pretrained)
        test = None if test is None else viewed(test, view_of(recipe))
        record = ModelRecord.of(best, catalog, describe_device(device), self.command, describe_weights(recipe))
        return Inputs(
            study=study,
            best=best,
            folder=folder,
            recipe=recipe,
            catalog=catalog,
            seen=seen,
            held_out=None if test is None else compare(recipe, seen, test, self.overlap),
            device=device,
            excess=use_threads(study.info.cpu_threads),
            record=dataclasses.replace(record, ensemble=ensemble),
        )

    def _submit(self, console: Console, inputs: Inputs) -> None:
        """Write the submission from the results that the model's folder has by now."""
        record = ModelRecord.read(inputs.folder)
        if self.submission is None or inputs.test is None or record is None:
            return
        self.submission.write_results(inputs.test, record.results(inputs.folder, inputs.test.fingerprint))
        print_line(console, f"submission: {self.submission.path}")

    def _find_existing(self, inputs: Inputs) -> Existing | None:
        """The model in the folder if it is the one asked for; None if it is to be trained.

        Raises:
            UserError: the folder has something else, and it is not to be replaced.
        """
        folder = inputs.folder
        existing, differences = find_existing(folder, inputs.recipe, inputs.record)
        if differences and not self.replace:
            raise UserError(
                f"{folder} does not have the model asked for; choose another --out, or add --replace, which moves it "
                f"to {free_name(folder).name}:\n{listed(differences)}"
            )
        return existing

    def _is_complete(self, console: Console, inputs: Inputs, record: ModelRecord) -> bool:
        """Print what the folder has; returns whether it is all that is asked for."""
        folder, test = inputs.folder, inputs.test
        if self.threshold not in (None, record.decision.rule):
            return False
        print_line(console, f"already delivered: {folder} has {describe_model(inputs.recipe, record.ensemble)}")
        results = folder
        if test is not None:
            results = record.results(folder, test.fingerprint)
            path = results / layout.METRICS
            if inputs.held_out is None or not are_known(results, inputs.held_out, record.decision, self.prevalence):
                return False
            if (self.against_start or inputs.has_single) and read_record(MetricsRecord, path).difference is None:
                return False
            print_line(console, f"already tested on these data: {path}")
        else:
            known = read_record(MetricsRecord, folder / layout.METRICS).out_of_fold.get(PREVALENCE)
            if self.prevalence not in (None, known):
                return False
        print_known(console, results)
        print_next(console, folder)
        return True

    def _deliver(self, console: Console, inputs: Inputs, existing: Existing | None) -> Delivery:
        """Train unless the model exists, test, and write."""
        study, recipe, catalog, test = inputs.study, inputs.recipe, inputs.catalog, inputs.test
        if test is not None:
            # Detect unreadable test images now, not after hours of training.
            open_images(test, view_of(recipe))
        notes = unfinished(study, inputs.best)
        for note in notes:
            print_line(console, f"warning: {note}")
        out_of_fold, choice = inputs.chosen(
            self.threshold, None if existing is None else existing.record.decision, self.prevalence
        )
        if existing is None:
            check_disk_space(study, inputs.runs)
        comparison = Comparison.prepared(
            console, inputs, with_start=self.against_start, replace=self.replace, deliver_single=self._deliver_single
        )
        if existing is not None:
            return self._add_results(inputs, existing, comparison, out_of_fold, choice)
        device = inputs.record.device + inputs.excess
        model_name = describe_model(recipe, inputs.record.ensemble)
        print_line(console, f"study {study.name}, trial {inputs.best.trial}: {model_name} on {device}")
        if inputs.record.weights is not None:
            print_line(console, f"weights: {inputs.record.weights}")
        model, epochs = retrain_all(console, study, inputs.runs, catalog, inputs.device, comparison.single)
        record, evaluation = dataclasses.replace(inputs.record, decision=choice.decision), None
        if inputs.held_out is not None:
            evaluation = evaluate(model, recipe, inputs.held_out, inputs.device, choice, explain=True)
        delivery = Delivery(
            recipe=recipe,
            epochs=epochs,
            record=record if test is None else record.evaluated(test, str(self.test), self.command),
            out_of_fold=out_of_fold,
            training_caveats=on_training(inputs.best, recipe, notes, record.ensemble),
            test_name="" if self.test is None else name_for(self.test),
            evaluation=evaluation,
            difference=comparison.difference(evaluation),
        )
        moved = free_name(inputs.folder) if is_model(inputs.folder) else None
        with replacing(inputs.folder, keep=False) as new:
            write_model(new, model, recipe, epochs, catalog, inputs.seen)
            write_results(new, delivery)
        if moved is not None:
            print_line(console, f"earlier model: {moved}")
        return delivery

    def _add_results(
        self, inputs: Inputs, existing: Existing, comparison: Comparison, out_of_fold: OutOfFold, choice: Choice
    ) -> Delivery:
        """Test a model that exists, as ``leukemia.evaluate`` does, or give it another threshold; or both."""
        epochs, evaluation = existing.epochs(), None
        if inputs.held_out is not None:
            model = model_to_device(existing.model, inputs.device)
            evaluation = evaluate(model, inputs.recipe, inputs.held_out, inputs.device, choice, explain=True)
        return add_results(
            existing,
            inputs.recipe,
            epochs,
            choice.decision,
            out_of_fold=out_of_fold,
            test=self.test,
            evaluation=evaluation,
            difference=comparison.difference(evaluation),
            command=self.command,
        )

    def _deliver_single(self) -> None:
        """Deliver the single model beside the ensemble, with the same options."""
        dataclasses.replace(self, ensemble=None, num_seeds=None, out=layout.FINAL, submission=None).run()

    def _test_data(self, best: Best) -> Catalog | None:
        if self.test is None:
            return None
        reading = dataclasses.replace(best.data, **self.reading.given())
        test = read_test_set(self.test, reading, best.recipe, self.test_base)
        if self.against_start and not test.has_labels:
            raise UserError(
                "--against-start: the test set has no labels, so the models cannot be compared; give one with labels"
            )
        if self.submission is not None:
            self.submission.check(test.table["name"].tolist(), test.num_left_out)
        return test
