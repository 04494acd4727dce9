"""A submission: the predicted classes of a test list, ``ID,label``, with the list's own ids in its order."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leukemia.base.errors import UserError, listed
from leukemia.base.files import atomic
from leukemia.base.new_file import require_new
from leukemia.base.spreadsheet import cell_of
from leukemia.data.catalog import Catalog
from leukemia.study import layout


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The file of ``--submission``, which never replaces another one."""

    path: Path

    def require_new(self) -> None:
        """Check that the file can be written, before hours of training.

        Raises:
            UserError: as ``leukemia.base.new_file.require_new``.
        """
        require_new(self.path, "--submission")

    def check(self, ids: Sequence[str], num_left_out: int = 0) -> None:
        """Check that the test list can have a submission.

        Args:
            ids: of its images.
            num_left_out: how many others the options of reading leave out.

        Raises:
            UserError: an id is empty or occurs twice, or images are left out.
        """
        if num_left_out:
            raise UserError(
                f"--submission: expected a prediction for every image of the test list, but {num_left_out} of "
                f"{num_left_out + len(ids)} are left out by --split-column, or by ignore= of --classes, as in the "
                "study; remove them from the list, or give --submission a list of its own with --test"
            )
        twice = [name or "no ID" for name, number in Counter(ids).items() if number > 1 or not name]
        if twice:
            raise UserError(
                f"--submission: expected another ID in every row of the test list, these are not; correct the column "
                f"ID, or remove it for the paths:\n{listed(twice)}"
            )

    def write(self, ids: Sequence[str], labels: Sequence[int]) -> None:
        """Write the file.

        Args:
            ids: in the order of the test list, written as they are: whoever scores the file compares them.
            labels: 0 normal or 1 leukemic, one per id.
        """
        # Training may have taken hours.
        self.require_new()
        with atomic(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["ID", "label"])
            writer.writerows(zip(ids, labels, strict=True))

    def write_results(self, test: Catalog, results: Path) -> None:
        """Write the predictions of a test set that a model's folder has.

        Args:
            test: the test set.
            results: the folder of its results.
        """
        table = pd.read_csv(results / layout.PREDICTIONS, dtype={"image_id": str}, keep_default_na=False)
        predicted = dict(zip(table["image_id"], table["predicted"].tolist(), strict=True))
        rows = test.table.sort_values("position")
        self.write(rows["name"].tolist(), [int(predicted[cell_of(image_id)]) for image_id in rows["image_id"]])
