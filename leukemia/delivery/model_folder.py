"""The delivered model: weights, recipe, metrics, predictions, card and page, in one folder."""

from __future__ import annotations

import dataclasses
import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leukemia import CLASS_NAMES
from leukemia.base import provenance
from leukemia.base.files import atomic, write_json, write_text
from leukemia.config.protocol import RANDOM_CELL_WARNING
from leukemia.config.recipe import Recipe
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.delivery.evaluation import Tested
from leukemia.reporting.model_plots import plot_calibration, plot_confusion, plot_curves, plot_roc
from leukemia.reporting.page import Section, metrics_table, write_page
from leukemia.scoring.metrics import Interval, confusion_matrix, describe_difference, majority_rate
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.training.model import ResNet, save_model


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Everything that ``final/`` is written from."""

    best: Best
    recipe: Recipe
    """As retrained: the winner's, with what the user set."""

    model: ResNet
    epochs: pd.DataFrame
    num_training_images: int
    tested: Tested | None
    difference: tuple[str, dict[str, Interval]] | None
    """Against what, and per metric the paired difference on the test set."""

    device: str
    command: str
    notes: tuple[str, ...] = ()
    """What else a reader must know, one sentence each."""

    def caveats(self) -> list[str]:
        """What a reader of any number must know, one sentence each."""
        found = list(self.notes)
        if self.best.data.uri == SAMPLE:
            found.append(f"{SAMPLE_WARNING[0].upper()}{SAMPLE_WARNING[1:]}.")
        if self.best.protocol == "random-cell":
            found.append(f"Out-of-fold scores: {RANDOM_CELL_WARNING}.")
        if self.tested is not None and self.tested.overlap:
            found.append(
                f"The test set overlaps the training data ({'; '.join(self.tested.overlap)}): its scores are too high."
            )
        elif self.tested is not None and not self.tested.subjects_compared:
            found.append("Subjects are not known on both sides: patients of the test set may have been trained on.")
        if self.recipe != self.best.recipe:
            found.append(
                "The recipe was changed after the search: out-of-fold scores are those of the recipe as searched."
            )
        return found

    def write(self, folder: Path) -> None:
        """Write every file of the delivery into an existing, empty folder."""
        save_model(self.model, folder / layout.WEIGHTS)
        write_text(folder / layout.RECIPE, self.recipe.to_json())
        write_json(folder / layout.METRICS, self._metrics())
        write_text(folder / layout.EPOCHS, self.epochs.to_csv(index=False))
        plot_curves(self.epochs, folder / layout.CURVES)
        if self.tested is not None:
            self._write_predictions(folder / layout.PREDICTIONS, self.tested)
            if self.tested.scores is not None:
                labels = self.tested.catalog.table["label"].to_numpy()
                plot_confusion(confusion_matrix(labels, self.tested.probabilities), folder / layout.CONFUSION)
                plot_roc(labels, self.tested.probabilities, folder / layout.ROC)
                plot_calibration(labels, self.tested.probabilities, folder / layout.CALIBRATION)
        write_text(folder / layout.CARD, self._card())
        title = f"Model of study {self.best.study}, trial {self.best.trial}"
        write_page(folder / layout.REPORT, title, self.recipe.describe(), self._sections(folder))

    def _metrics(self) -> dict[str, Any]:
        test: dict[str, Any] | None = None
        if self.tested is not None and self.tested.scores is not None:
            labels = self.tested.catalog.table["label"].to_numpy()
            test = {
                "n": len(labels),
                "protocol": self.tested.protocol,
                "overlap": list(self.tested.overlap),
                "majority_rate": majority_rate(labels),
                "confusion": confusion_matrix(labels, self.tested.probabilities).tolist(),
                **{name: interval.to_dict() for name, interval in self.tested.scores.items()},
            }
        out_of_fold = {
            "n": self.best.n,
            "protocol": self.best.protocol,
            "majority_rate": self.best.majority_rate,
            **{name: dataclasses.asdict(record) for name, record in self.best.scores.items()},
        }
        difference = None
        if self.difference is not None:
            against, intervals = self.difference
            difference = {"against": against, **{name: interval.to_dict() for name, interval in intervals.items()}}
        return {"test": test, "out_of_fold": out_of_fold, "difference": difference, "caveats": self.caveats()}

    @staticmethod
    def _write_predictions(path: Path, tested: Tested) -> None:
        table = tested.catalog.table[["image_id", "subject", "label"]].assign(
            probability_leukemic=tested.probabilities, predicted=(tested.probabilities >= 0.5).astype(int)
        )
        if not tested.catalog.has_labels:
            table["label"] = ""
        with atomic(path) as temporary:
            table.to_csv(temporary, index=False)

    def evidence(self) -> list[tuple[str, str]]:
        """Where the model comes from, as rows."""
        best = self.best
        return [
            ("study, trial", f"{best.study} ({best.study_uid}), {best.trial}"),
            ("training images", f"{self.num_training_images}"),
            ("training data fingerprint", best.data.fingerprint),
            ("split SHA-256", best.splits_sha256),
            ("device", self.device),
            ("commit", provenance.commit()),
            ("command", self.command),
            *((f"version of {name}", version) for name, version in provenance.versions().items()),
        ]

    def _test_words(self) -> str:
        if self.tested is None:
            return "No test set was given: the out-of-fold scores of the search are all there is."
        number = len(self.tested.catalog.table)
        if self.tested.scores is None:
            return f"{number} test images without labels: predictions only, nothing can be scored."
        tta = self.recipe.evaluate.tta
        return f"{number} test images, predicted under test-time augmentation ({tta}); 95 % intervals."

    def _difference_words(self) -> list[str]:
        if self.difference is None:
            return []
        against, intervals = self.difference
        words = "; ".join(
            f"{name.replace('_', ' ')} {describe_difference(interval)}" for name, interval in intervals.items()
        )
        return [f"Against {against} on the same test images: {words}."]

    def _sections(self, folder: Path) -> list[Section]:
        text = "\n\n".join([self._test_words(), *self._difference_words(), *self.caveats()])
        table, pictures = None, []
        if self.tested is not None and self.tested.scores is not None:
            table = metrics_table(self.tested.scores, majority_rate(self.tested.catalog.table["label"].to_numpy()))
            pictures = [
                (folder / layout.CONFUSION, "confusion matrix of the test set"),
                (folder / layout.ROC, "receiver operating characteristic of the test set"),
                (folder / layout.CALIBRATION, "calibration on the test set"),
            ]
        out_of_fold = {name: record.interval for name, record in self.best.scores.items()}
        return [
            Section(title="Test set", text=text, table=table, pictures=pictures),
            Section(
                title="Out of fold",
                text=f"{self.best.n} images, {self.best.folds} folds of the search, protocol {self.best.protocol}.",
                table=metrics_table(out_of_fold, self.best.majority_rate),
            ),
            Section(
                title="Training",
                text=f"Retrained on all {self.num_training_images} training images.",
                pictures=[(folder / layout.CURVES, "retraining")],
            ),
            Section(
                title="Recipe",
                text="Every setting.",
                table=[("field", "value"), *((key, str(value)) for key, value in sorted(self.recipe.flat().items()))],
            ),
            Section(title="Evidence", text="", table=[("what", "value"), *self.evidence()]),
        ]

    def _card(self) -> str:
        """A model card (Mitchell et al., 2019, arXiv:1810.03993) in Markdown."""
        tested = self.tested.scores if self.tested is not None else None
        scores = tested or {name: record.interval for name, record in self.best.scores.items()}
        rate = self.best.majority_rate
        if tested is not None and self.tested is not None:
            rate = majority_rate(self.tested.catalog.table["label"].to_numpy())
        rows = metrics_table(scores, rate).to_numpy().tolist()
        lines = [
            f"# {self.recipe.describe()}",
            "",
            f"Classifies an image of a blood cell: 0 = normal (`{CLASS_NAMES[0]}`), 1 = leukemic (`{CLASS_NAMES[1]}`).",
            "A research model: not a medical device, not for diagnosis.",
            "",
            "## Use",
            "",
            "    python -m leukemia.predict --model FOLDER IMAGES...",
            "",
            f"## Scores {'on the test set' if tested else 'out of fold, from the search'}",
            "",
            self._test_words(),
            "",
            "| score | value (95 % interval) |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            *self._difference_words(),
            "",
            "## Caveats",
            "",
            *(
                f"- {caveat}"
                for caveat in [
                    *self.caveats(),
                    "Other stains, cameras and hospitals than the training data's were not tested.",
                ]
            ),
            "",
            "## Evidence",
            "",
            # Markdown lets HTML through, and a command may hold anything.
            *(f"- {what}: {html.escape(value)}" for what, value in self.evidence()),
            "",
        ]
        return "\n".join(lines)
