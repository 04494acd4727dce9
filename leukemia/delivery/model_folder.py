"""The folder of a delivered model: weights, recipe, metrics, predictions, model card and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from leukemia.base.files import atomic, write_text
from leukemia.base.record import read_record, write_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.data.view import view_of
from leukemia.delivery.appearance import Appearance
from leukemia.delivery.card import card
from leukemia.delivery.caveats import kept_on_training, on_test
from leukemia.delivery.evaluation import Evaluation
from leukemia.delivery.loading import Existing
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.delivery.replacement import replacing
from leukemia.delivery.results import Tested, all_tested, keep_results, make_way, name_for
from leukemia.delivery.seen import Seen
from leukemia.reporting.model_plots import plot_calibration, plot_confusion, plot_curves, plot_roc
from leukemia.reporting.page import Section, metrics_table, write_page
from leukemia.reporting.subclasses import subclass_sections
from leukemia.scoring.metrics import Interval, confusion_matrix, describe_difference, majority_rate
from leukemia.study import layout
from leukemia.study.epochs import write_epochs
from leukemia.study.models import MetricsRecord, ModelRecord
from leukemia.training.model import save_model
from leukemia.training.resnet import ResNet

Difference: TypeAlias = tuple[str, dict[str, Interval]]
"""Name of another model, and the paired difference on the test set by metric."""


def write_model(
    folder: Path, model: ResNet, recipe: Recipe, epochs: pd.DataFrame, training: Catalog, seen: Seen
) -> None:
    """Write the files that depend on the training alone; ``epochs`` has the fields of ``Epoch``."""
    save_model(model, folder / layout.WEIGHTS)
    recipe.save(folder / layout.RECIPE)
    write_epochs(folder / layout.EPOCHS, epochs)
    seen.write(folder)
    Appearance.of(open_images(training, view_of(recipe)), training.sizes).write(folder)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Scores, predictions and provenance of a model: all files of its folder but those of ``write_model``."""

    recipe: Recipe
    """As trained."""

    epochs: pd.DataFrame
    """Of the training, with the fields of ``Epoch``."""

    record: ModelRecord
    out_of_fold: OutOfFold
    training_caveats: tuple[str, ...]
    """Limitations that do not depend on a test set, one sentence each."""

    test_name: str
    """Of the folder for the results on the test set; empty without one."""

    evaluation: Evaluation | None
    difference: Difference | None

    def caveats(self) -> list[str]:
        """Limitations that affect the scores, one sentence each."""
        return [*self.training_caveats, *(() if self.evaluation is None else on_test(self.evaluation))]

    def write(self, folder: Path) -> None:
        """Write the files to a folder that has those of ``write_model``; the record is last."""
        write_record(folder / layout.METRICS, self._metrics())
        plot_curves(self.epochs, folder / layout.CURVES)
        if self.evaluation is not None:
            with atomic(folder / layout.PREDICTIONS) as temporary:
                self.evaluation.predictions().to_csv(temporary, index=False)
            if self.evaluation.scores is not None:
                labels = self.evaluation.catalog.table["label"].to_numpy()
                plot_confusion(confusion_matrix(labels, self.evaluation.probabilities), folder / layout.CONFUSION)
                plot_roc(labels, self.evaluation.probabilities, folder / layout.ROC)
                plot_calibration(labels, self.evaluation.probabilities, folder / layout.CALIBRATION)
        title = f"Model of study {self.record.study}, trial {self.record.trial}"
        write_page(folder / layout.REPORT, title, self.recipe.describe(), self._sections(folder))
        if self.test_name:
            keep_results(folder, self.test_name, self.record)
        write_text(folder / layout.CARD, self._card(all_tested(folder)))
        self.record.write(folder)

    def _metrics(self) -> dict[str, Any]:
        test: dict[str, Any] | None = None
        if self.evaluation is not None and self.evaluation.scores is not None:
            labels, left_out = self.evaluation.catalog.table["label"].to_numpy(), self.evaluation.left_out
            test = {
                "n": len(labels),
                "left_out": 0 if left_out is None else left_out.total,
                "left_out_reasons": [] if left_out is None else left_out.reasons(),
                "protocol": self.evaluation.protocol,
                "overlap": list(self.evaluation.overlap),
                "majority_rate": majority_rate(labels),
                "confusion": confusion_matrix(labels, self.evaluation.probabilities).tolist(),
                **{name: interval.to_dict() for name, interval in self.evaluation.scores.items()},
                "subclasses": [each.to_dict() for each in self.evaluation.subclasses],
            }
        difference = None
        if self.difference is not None:
            against, intervals = self.difference
            difference = {"against": against, **{name: interval.to_dict() for name, interval in intervals.items()}}
        return {
            "test": test,
            "out_of_fold": self.out_of_fold.to_dict(),
            "difference": difference,
            "caveats": self.caveats(),
        }

    def _describe_test(self) -> str:
        if self.evaluation is None:
            return "No test set was given; only the out-of-fold scores of the search are available."
        catalog = self.evaluation.catalog
        of_whom = f" of {catalog.table['subject'].nunique()} subjects" if catalog.has_subjects else ""
        images = f"{len(catalog.table)} test images{of_whom}"
        if self.evaluation.scores is None:
            return f"{images} without labels: predictions only, no scores."
        tta = self.recipe.evaluate.tta
        return f"{images}, predicted with test-time augmentation ({tta}); 95 % intervals."

    def _describe_difference(self) -> list[str]:
        if self.difference is None:
            return []
        against, intervals = self.difference
        differences = "; ".join(
            f"{name.replace('_', ' ')} {describe_difference(interval)}" for name, interval in intervals.items()
        )
        return [f"Compared with {against} on the same test images: {differences}."]

    def _sections(self, folder: Path) -> list[Section]:
        text = "\n\n".join([self._describe_test(), *self._describe_difference(), *self.caveats()])
        table, pictures = None, []
        if self.evaluation is not None and self.evaluation.scores is not None:
            table = metrics_table(
                self.evaluation.scores, majority_rate(self.evaluation.catalog.table["label"].to_numpy())
            )
            pictures = [
                (folder / layout.CONFUSION, "confusion matrix of the test set"),
                (folder / layout.ROC, "receiver operating characteristic of the test set"),
                (folder / layout.CALIBRATION, "calibration on the test set"),
            ]
        return [
            Section(title="Test set", text=text, table=table, pictures=pictures),
            *subclass_sections(() if self.evaluation is None else self.evaluation.subclasses, "of the test set"),
            Section(
                title="Out of fold",
                text=self.out_of_fold.describe(),
                table=metrics_table(self.out_of_fold.scores, self.out_of_fold.majority_rate),
            ),
            *subclass_sections(self.out_of_fold.subclasses, "out of fold"),
            Section(
                title="Training",
                text=f"Retrained on all {self.record.num_training_images} training images.",
                pictures=[(folder / layout.CURVES, "retraining")],
            ),
            Section(
                title="Recipe",
                text="All settings.",
                table=[("field", "value"), *((key, str(value)) for key, value in sorted(self.recipe.flat().items()))],
            ),
            Section(title="Provenance", text="", table=[("item", "value"), *self.record.provenance()]),
        ]

    def _card(self, tested: Sequence[Tested]) -> str:
        evaluation, out_of_fold = self.evaluation, self.out_of_fold
        scores, rate, scored_on = out_of_fold.scores, out_of_fold.majority_rate, "out of fold, from the search"
        if evaluation is not None and evaluation.scores is not None:
            labels = evaluation.catalog.table["label"].to_numpy()
            scores, rate, scored_on = evaluation.scores, majority_rate(labels), "on the test set"
        return card(
            self.recipe,
            scored_on=scored_on,
            sentences=[self._describe_test(), *self._describe_difference()],
            scores=metrics_table(scores, rate).to_numpy().tolist(),
            tested=tested,
            caveats=self.caveats(),
            provenance=self.record.provenance(),
        )


def add_results(
    existing: Existing,
    recipe: Recipe,
    epochs: pd.DataFrame,
    test: Path,
    evaluation: Evaluation,
    difference: Difference | None,
    command: str,
) -> Delivery:
    """Add the results on a test set to the folder of a delivered model, which the caller has ``claimed``.

    Args:
        test: the location of the test set, after which its results are named.
        command: the command line, for provenance.

    Raises:
        UserError: the model's metrics are damaged.
    """
    existing.record.check_files(existing.folder, [layout.METRICS])
    metrics = read_record(MetricsRecord, existing.folder / layout.METRICS)
    delivery = Delivery(
        recipe=recipe,
        epochs=epochs,
        record=existing.record.evaluated(evaluation.catalog, command),
        out_of_fold=OutOfFold.from_dict(metrics.out_of_fold),
        training_caveats=kept_on_training(metrics),
        test_name=name_for(test),
        evaluation=evaluation,
        difference=difference,
    )
    with replacing(existing.folder, keep=True) as new:
        make_way(new, existing.record, evaluation.catalog.fingerprint)
        delivery.write(new)
    return delivery
