"""Score a delivered model on a test set, and add the results to its folder; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.data.location import absolute
from leukemia.data.reading import Reading
from leukemia.delivery.delivered_model import DeliveredModel
from leukemia.delivery.evaluation import evaluate
from leukemia.delivery.loading import Existing
from leukemia.delivery.messages import print_known, print_line, print_next, print_outcome, print_remarks
from leukemia.delivery.model_folder import add_results
from leukemia.delivery.overlap import Rule
from leukemia.delivery.replacement import claimed
from leukemia.delivery.results import are_known
from leukemia.delivery.submission import Submission
from leukemia.study import layout


@dataclass(frozen=True, kw_only=True)
class Testing:
    """The options of ``leukemia.evaluate``."""

    model: Path
    """Folder of the model."""

    test: Path
    test_base: str | None
    """Absolute path of the base folder for relative paths in the test data; None: the folder of the CSV."""

    reading: Reading
    """How the test data are read."""

    device: str
    """One of ``leukemia.base.cli.DEVICES``."""

    overlap: Rule
    """What happens to a test set that overlaps the training data."""

    prevalence: float | None
    """Share of leukemic cells at which predictive values are computed as well, between 0 and 1."""

    submission: Submission | None
    """Where to write the classes of the test images, too."""

    command: str
    """The command line, for provenance."""

    plugins: Sequence[Path] = ()
    """Files of ``--plugin``, as of ``DeliveredModel``."""

    def run(self) -> None:
        """Score the model, unless its folder has these results already.

        Raises:
            UserError: the model or the test set is invalid, or they overlap.
        """
        if self.submission is not None:
            self.submission.require_new()
        console, folder = Console(), Path(absolute(self.model))
        model = DeliveredModel(folder, self.device, self.plugins)
        if model.record is None:
            raise UserError(
                f"--model {folder}: no {layout.MODEL}, since an early version delivered it, so no results are added; "
                "deliver it again (leukemia.final --replace), or use leukemia.load(...).evaluate(...) in Python"
            )
        held_out = model.held_out(self.test, self.test_base, self.reading, self.overlap)
        test = held_out.catalog
        if self.submission is not None:
            self.submission.check(test.table["name"].tolist(), test.num_left_out)
        print_remarks(console, None, test)
        with claimed(folder):
            results = model.record.results(folder, test.fingerprint)
            delivery = None
            if are_known(results, held_out, model.decision, self.prevalence):
                print_known(console, results)
                # As the user has typed it, not the absolute path.
                shown = self.model / results.relative_to(folder)
                print_line(console, f"already tested on these data: {shown / layout.METRICS}")
            else:
                existing = Existing(folder=folder, model=model.network, record=model.record)
                epochs = existing.epochs()
                choice = model.choice(self.prevalence)
                delivery = add_results(
                    existing,
                    model.recipe,
                    epochs,
                    choice.decision,
                    out_of_fold=None,
                    test=self.test,
                    evaluation=evaluate(model.network, model.recipe, held_out, model.device, choice, explain=True),
                    difference=None,
                    command=self.command,
                )
                results = folder
            if self.submission is not None:
                self.submission.write_results(test, results)
                print_line(console, f"submission: {self.submission.path}")
        if delivery is None:
            print_next(console, self.model)
        else:
            print_outcome(console, self.model, delivery)
