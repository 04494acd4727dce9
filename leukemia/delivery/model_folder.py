"""The folder of a delivered model: weights, recipe, metrics, predictions, model card and report."""

from __future__ import annotations

import dataclasses
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leukemia import CLASS_NAMES
from leukemia.base.files import atomic, write_text
from leukemia.base.printable import escaped
from leukemia.base.record import write_record
from leukemia.base.spreadsheet import cell_of
from leukemia.config.protocol import WARNINGS
from leukemia.config.recipe import Recipe
from leukemia.config.results import num_folds_text
from leukemia.config.sections import Data
from leukemia.data.catalog import Catalog
from leukemia.data.images import open_images
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.data.view import view_of
from leukemia.delivery.appearance import Appearance
from leukemia.delivery.evaluation import Evaluation
from leukemia.delivery.seen import Seen
from leukemia.reporting.model_plots import plot_calibration, plot_confusion, plot_curves, plot_roc
from leukemia.reporting.page import Section, metrics_table, write_page
from leukemia.reporting.subclasses import subclass_sections
from leukemia.scoring.metrics import Interval, confusion_matrix, describe_difference, majority_rate
from leukemia.scoring.subclasses import SubclassScore
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.epochs import write_epochs
from leukemia.study.models import ModelRecord, results_folder
from leukemia.training.model import save_model
from leukemia.training.resnet import ResNet

TEST_FILES = (
    layout.METRICS,
    layout.PREDICTIONS,
    layout.CARD,
    layout.REPORT,
    layout.CONFUSION,
    layout.ROC,
    layout.CALIBRATION,
)
"""Files that depend on the test set."""


def write_model(
    folder: Path, model: ResNet, recipe: Recipe, epochs: pd.DataFrame, training: Catalog, seen: Seen
) -> None:
    """Write the files that depend on the training alone; ``epochs`` has the fields of ``Epoch``."""
    save_model(model, folder / layout.WEIGHTS)
    recipe.save(folder / layout.RECIPE)
    write_epochs(folder / layout.EPOCHS, epochs)
    seen.write(folder)
    Appearance.of(open_images(training, view_of(recipe)), training.sizes).write(folder)


def set_aside(folder: Path, earlier: ModelRecord, fingerprint: str) -> None:
    """Make way for the results on the test set of this fingerprint; those on others, and other files, are kept.

    Args:
        earlier: the record of the results that are in the folder; it is kept with them, to check them by.
    """
    replaced = results_folder(folder, fingerprint)
    for name in (*TEST_FILES, layout.MODEL):
        (replaced / name).unlink(missing_ok=True)
    if replaced.is_dir() and not any(replaced.iterdir()):
        replaced.rmdir()
    evaluation, kept = earlier.evaluation, None
    if evaluation is not None and evaluation.fingerprint != fingerprint:
        kept = results_folder(folder, evaluation.fingerprint)
        kept.mkdir(parents=True, exist_ok=True)
        earlier.keep(kept)
    for path in [folder / name for name in TEST_FILES]:
        if path.is_file():
            path.unlink() if kept is None else path.rename(kept / path.name)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Scores, predictions and provenance of a model: all files of its folder but those of ``write_model``."""

    best: Best
    recipe: Recipe
    """The winner's recipe with the user's settings, as retrained."""

    epochs: pd.DataFrame
    """Of the training, with the fields of ``Epoch``."""

    record: ModelRecord
    evaluation: Evaluation | None
    difference: tuple[str, dict[str, Interval]] | None
    """Name of the other model, and the paired difference on the test set by metric."""

    subclasses: tuple[SubclassScore, ...] = ()
    """Out-of-fold scores of the search."""

    notes: tuple[str, ...] = ()
    """Additional caveats, one sentence each."""

    def caveats(self) -> list[str]:
        """Limitations that affect the scores, one sentence each."""
        found = list(self.notes)
        if self.best.data.uri == SAMPLE:
            found.append(f"{SAMPLE_WARNING[0].upper()}{SAMPLE_WARNING[1:]}.")
        if self.best.protocol in WARNINGS:
            found.append(f"Out-of-fold scores: {WARNINGS[self.best.protocol]}.")
        left_out = self.evaluation.left_out if self.evaluation is not None else None
        if left_out is not None and left_out.total:
            found.append(f"{left_out.describe()}.")
        if self.evaluation is not None and self.evaluation.overlap:
            found.append(
                f"The test set overlaps the training data ({'; '.join(self.evaluation.overlap)}): "
                "its scores are too optimistic."
            )
        elif self.evaluation is not None and not self.evaluation.subjects_compared:
            found.append(
                "Not all subjects are known in both data sets: patients of the test set may be in the training data."
            )
        if self.recipe != self.best.recipe:
            found.append(
                "The recipe was changed after the search: out-of-fold scores are those of the original recipe."
            )
        return found

    def write(self, folder: Path) -> None:
        """Write the files to a folder that has those of ``write_model``; the record is last."""
        write_record(folder / layout.METRICS, self._metrics())
        plot_curves(self.epochs, folder / layout.CURVES)
        if self.evaluation is not None:
            self._write_predictions(folder / layout.PREDICTIONS, self.evaluation)
            if self.evaluation.scores is not None:
                labels = self.evaluation.catalog.table["label"].to_numpy()
                plot_confusion(confusion_matrix(labels, self.evaluation.probabilities), folder / layout.CONFUSION)
                plot_roc(labels, self.evaluation.probabilities, folder / layout.ROC)
                plot_calibration(labels, self.evaluation.probabilities, folder / layout.CALIBRATION)
        write_text(folder / layout.CARD, self._card())
        title = f"Model of study {self.best.study}, trial {self.best.trial}"
        write_page(folder / layout.REPORT, title, self.recipe.describe(), self._sections(folder))
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
        out_of_fold = {
            "n": self.best.n,
            "protocol": self.best.protocol,
            "majority_rate": self.best.majority_rate,
            **{name: dataclasses.asdict(record) for name, record in self.best.scores.items()},
            "subclasses": [each.to_dict() for each in self.subclasses],
        }
        difference = None
        if self.difference is not None:
            against, intervals = self.difference
            difference = {"against": against, **{name: interval.to_dict() for name, interval in intervals.items()}}
        return {"test": test, "out_of_fold": out_of_fold, "difference": difference, "caveats": self.caveats()}

    @staticmethod
    def _write_predictions(path: Path, evaluation: Evaluation) -> None:
        columns = ["image_id", "subject", "label", *(["subclass"] if evaluation.subclasses else [])]
        table = evaluation.catalog.table[columns].assign(
            image_id=evaluation.catalog.table["image_id"].map(cell_of),
            probability_leukemic=evaluation.probabilities,
            predicted=(evaluation.probabilities >= 0.5).astype(int),
        )
        if not evaluation.catalog.has_labels:
            table["label"] = ""
        with atomic(path) as temporary:
            table.to_csv(temporary, index=False)

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
        out_of_fold = {name: record.interval for name, record in self.best.scores.items()}
        return [
            Section(title="Test set", text=text, table=table, pictures=pictures),
            *subclass_sections(() if self.evaluation is None else self.evaluation.subclasses, "of the test set"),
            Section(
                title="Out of fold",
                text=f"{self.best.n} images, {num_folds_text(self.best.folds)} of the search, protocol "
                f"{self.best.protocol}.",
                table=metrics_table(out_of_fold, self.best.majority_rate),
            ),
            *subclass_sections(self.subclasses, "out of fold"),
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

    def _card(self) -> str:
        """A model card (Mitchell et al., 2019, arXiv:1810.03993) in Markdown."""
        test_scores = self.evaluation.scores if self.evaluation is not None else None
        scores = test_scores or {name: record.interval for name, record in self.best.scores.items()}
        rate = self.best.majority_rate
        if test_scores is not None and self.evaluation is not None:
            rate = majority_rate(self.evaluation.catalog.table["label"].to_numpy())
        rows = metrics_table(scores, rate).to_numpy().tolist()
        lines = [
            f"# {self.recipe.describe()}",
            "",
            f"Classifies an image of a blood cell: 0 = normal (`{CLASS_NAMES[0]}`), 1 = leukemic (`{CLASS_NAMES[1]}`).",
            "A research model: not a medical device, not for diagnosis.",
            "",
            f"Input: {_describe_input(self.recipe.data)}.",
            "",
            "## Use",
            "",
            "    python -m leukemia.predict --model FOLDER IMAGES...",
            "",
            f"## Scores {'on the test set' if test_scores else 'out of fold, from the search'}",
            "",
            self._describe_test(),
            "",
            "| score | value (95 % interval) |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            *(line for sentence in self._describe_difference() for line in (sentence, "")),
            "## Caveats",
            "",
            *(
                f"- {caveat}"
                for caveat in [
                    *self.caveats(),
                    "Not tested on stains, cameras and hospitals other than those of the training data.",
                ]
            ),
            "",
            "## Provenance",
            "",
            # Markdown passes HTML through, and a command may contain any text, such as line breaks.
            *(f"- {item}: {html.escape(escaped(value))}" for item, value in self.record.provenance()),
            "",
        ]
        return "\n".join(lines)


def _describe_input(data: Data) -> str:
    gray, small = ", in gray" if data.grayscale else "", "padded with black" if data.small == "pad" else "refused"
    if data.crop_px is None:
        return f"whole images, scaled down to {data.size_px} px{gray}; smaller ones are {small}"
    return (
        f"one cell per image, at least {data.crop_px} px on each side, of which the central {data.crop_px} px are "
        f"used, resized to {data.size_px} px{gray}; smaller ones are {small}"
    )
