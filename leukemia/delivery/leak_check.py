"""Estimate how much of a random split's score comes from having the same patients in training and validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from leukemia.base import interrupts, provenance
from leukemia.base.errors import UserError
from leukemia.base.files import require_space, require_writable
from leukemia.base.printable import printable
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult, fold_name, score_name
from leukemia.data.balance import describe_balance
from leukemia.data.catalog import Catalog
from leukemia.data.folds import make_splits
from leukemia.data.images import open_images
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.data.reading import Reading
from leukemia.data.survival import viewed
from leukemia.data.view import view_of
from leukemia.delivery.inputs import require_plugins
from leukemia.delivery.training_data import load_training_data
from leukemia.plugins.plugin_file import PluginFile
from leukemia.scoring.metrics import Interval, paired_difference, scores
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.verification import verify
from leukemia.training.crossval import cross_validate
from leukemia.training.device import choose_device, describe_device, use_threads
from leukemia.training.inference import NonFinite
from leukemia.training.pretrained import describe_weights


@dataclass(frozen=True, kw_only=True)
class LeakCheck:
    """One recipe and seed, cross-validated on folds split by patient and on folds split by image."""

    metric: str
    """The objective's name in ``leukemia.scoring.metrics``."""

    grouped: Interval
    """Out-of-fold score of the study, interval over groups; not corrected for selecting the best of several trials."""

    random_cell: Interval
    """The score on random-cell folds, interval over images, as reported when patients are ignored."""

    gap: Interval
    """``random_cell`` minus ``grouped`` on the same images, in -1..1, interval over groups."""

    n: int
    """Number of images; each is scored once per split."""

    @property
    def gap_points(self) -> float:
        """The gap in percentage points."""
        return 100 * self.gap.value

    def describe(self) -> str:
        """The result as one line of text.

        >>> few, many, gap = Interval(0.862, 0.8, 0.9), Interval(0.949, 0.93, 0.96), Interval(0.087, 0.051, 0.123)
        >>> text = LeakCheck(metric="accuracy", grouped=few, random_cell=many, gap=gap, n=300).describe()
        >>> text.partition(" (")[0]
        "grouped 0.862, random cells 0.949: 8.7 points of a random split's accuracy come from knowing the patients"
        """
        points, low, high = (round(100 * number, 1) + 0.0 for number in (self.gap.value, self.gap.low, self.gap.high))
        both = f"grouped {self.grouped.value:.3f}, random cells {self.random_cell.value:.3f}"
        interval = f"95 % interval {low:.1f} to {high:.1f}"
        if self.gap.low > 0:
            name = self.metric.replace("_", " ")
            return f"{both}: {points:.1f} points of a random split's {name} come from knowing the patients ({interval})"
        return f"{both}: {points:+.1f} points, {interval}: no evidence that knowing the patients helps"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        intervals = {name: getattr(self, name).to_dict() for name in ("grouped", "random_cell", "gap")}
        return {"metric": self.metric, **intervals, "gap_points": self.gap_points, "n": self.n}


def check(
    study: Study,
    *,
    data: str | None,
    reading: Reading,
    device_name: str,
    command: str,
    plugins: Sequence[PluginFile] = (),
) -> tuple[LeakCheck, Path]:
    """Cross-validate the winner on random-cell folds; writes ``leakcheck.json``, returns its content and path.

    Args:
        data: ``data`` and ``reading`` as for ``load_training_data``.
        device_name: as for ``choose_device``.
        command: the command line, for provenance.
        plugins: the files of ``--plugin``, which have been run.

    Raises:
        UserError: the study has no winner or no known patients, the data differ, or the recipe diverges.
    """
    best = Best.of(study)
    verify(study)
    if best.protocol != "grouped":
        how = "itself split by image" if best.protocol == "random-cell" else "split as its data are"
        raise UserError(
            f"study {study.name} was {how} ({best.protocol}), so it has no grouped score to compare; "
            "search with --protocol grouped on data with known subjects"
        )
    catalog = load_training_data(study, best, data=data, reading=reading)
    grouped = _grouped(study, best, catalog)
    recipe = best.recipe.resolved(catalog.sizes)
    require_plugins(study, recipe, plugins)
    catalog = viewed(catalog, view_of(recipe))
    weights, device = describe_weights(recipe), choose_device(device_name)
    excess = use_threads(study.info.cpu_threads)
    require_writable(study.folder)
    require_space(study.folder, 1_000_000, layout.LEAKCHECK)
    print(
        f"study {study.name}, trial {best.trial}: {recipe.describe()} on {describe_device(device)}, "
        f"{best.folds} folds of random cells{excess}",
        flush=True,
    )
    for remark in catalog.remarks:
        print(printable(f"note: {remark}"))
    if weights is not None:
        print(printable(f"weights: {weights}"))
    if best.data.uri == SAMPLE:
        print(f"note: {SAMPLE_WARNING}")
    random_cells = _random_cells(recipe, catalog, best.folds, study.info.seed, device)
    found = _compare(best, catalog, grouped, random_cells)
    path = study.folder / layout.LEAKCHECK
    study.write(
        path,
        found.to_dict()
        | {
            "study": study.name,
            "study_uid": best.study_uid,
            "trial": best.trial,
            "recipe": recipe.flat(),
            "seed": recipe.train.seed,
            "folds": best.folds,
            "folds_seed": study.info.seed,
            "fingerprint": catalog.fingerprint,
            "notes": list(catalog.recorded),
            "words": found.describe(),
            "created": provenance.now(),
            "command": command,
            "hardware": provenance.hardware(describe_device(device)),
            "versions": provenance.versions(),
            "commit": provenance.commit(),
        },
    )
    return found, path


def _grouped(study: Study, best: Best, catalog: Catalog) -> np.ndarray:
    """The winner's out-of-fold probabilities (n,) in the catalogue's order.

    Raises:
        UserError: they are not for the catalogue's images, each once.
    """
    predictions, wanted = best.out_of_fold(study), catalog.table["image_id"]
    if sorted(predictions["image_id"]) != sorted(wanted):
        raise UserError(
            f"{study.trial_folder(int(best.trial))}: expected one prediction for each of the {len(wanted)} images "
            "of the data; restore the folder from a backup"
        )
    return predictions.set_index("image_id")["probability_leukemic"].reindex(wanted).to_numpy()


def _random_cells(recipe: Recipe, catalog: Catalog, num_folds: int, seed: int, device: torch.device) -> np.ndarray:
    """Out-of-fold probabilities (n,) in the catalogue's order, from folds that ignore patients."""
    splits = make_splits(catalog, num_folds, seed, "random-cell")
    for line in describe_balance(splits.validation(catalog), "random-cell"):
        print(printable(line))
    labels = catalog.table["label"].to_numpy(dtype=np.int64)
    probabilities = np.full(len(labels), np.nan)
    reports = cross_validate(
        recipe, open_images(catalog, view_of(recipe)), labels, list(splits.rows(catalog)), device=device
    )
    try:
        for report in reports:
            interrupts.check()
            if isinstance(report, FoldResult):
                probabilities[report.rows] = report.probabilities
                accuracy = report.scores["tta_accuracy"]
                print(
                    f"{fold_name(report.fold)}/{num_folds}: accuracy {accuracy:.4f}, {report.seconds:.0f} s", flush=True
                )
    except NonFinite as error:
        raise UserError(f"the recipe diverges on random-cell folds, so there is nothing to compare: {error}") from error
    return probabilities


def _compare(best: Best, catalog: Catalog, grouped: np.ndarray, random_cells: np.ndarray) -> LeakCheck:
    """Score both arrays of probabilities (n,), in the catalogue's order."""
    labels, groups = catalog.table["label"].to_numpy(), catalog.table["group"].to_numpy()
    metric = score_name(best.objective).removeprefix("tta_")
    return LeakCheck(
        metric=metric,
        grouped=scores(labels, grouped, groups)[metric],
        random_cell=scores(labels, random_cells, np.arange(len(labels)))[metric],
        gap=paired_difference(labels, random_cells, grouped, groups, metric),
        n=len(labels),
    )
