"""The results on each test set in the folder of a delivered model: where they are, and a list of all of them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukemia.base.record import read_record
from leukemia.data.layouts.tables import is_table
from leukemia.delivery.overlap import HeldOut
from leukemia.reporting.page import describe_interval
from leukemia.scoring.metrics import THRESHOLD, Interval
from leukemia.study import layout
from leukemia.study.decision import Decision
from leukemia.study.model_metrics import MetricsRecord
from leukemia.study.models import RESULTS, ModelRecord, kept_results, results_folders, unnamed_results

RESULT_FILES = (
    layout.METRICS,
    layout.PREDICTIONS,
    layout.PATIENTS,
    layout.REPORT,
    layout.CONFUSION,
    layout.ROC,
    layout.PRECISION_RECALL,
    layout.CALIBRATION,
)
"""Files on a test set: in its own folder, and those on the latest one in the model's folder, too."""

TEST_FILES = (*RESULT_FILES, layout.CARD)
"""Files of a model's folder that depend on the test sets."""

LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A test set that a model was scored on."""

    name: str
    """Of its folder."""

    created: str
    """When, UTC, in ISO 8601; empty if an earlier version kept the results."""

    test: dict[str, Any] | None
    """As ``MetricsRecord.test``; None without labels."""

    def row(self) -> tuple[str, ...]:
        """As a row below ``HEADER``."""
        if self.test is None:
            return (self.name, self.created, "–", "–", "–", "no labels", "no labels")
        found = [describe_interval(Interval.from_dict(self.test[name])) for name in ("accuracy", "balanced_accuracy")]
        threshold = f"{self.test.get('threshold', THRESHOLD):.3g}"
        return (self.name, self.created, str(self.test["n"]), self.test["protocol"], threshold, *found)


HEADER = (
    "test set",
    "scored",
    "images",
    "protocol",
    "threshold",
    "accuracy (95 % interval)",
    "balanced accuracy (95 % interval)",
)


def all_tested(folder: Path) -> list[Tested]:
    """All test sets that a model was scored on, the first one first."""
    found = []
    for each in results_folders(folder):
        if (each / layout.METRICS).is_file():
            record = ModelRecord.read(each)
            created = "" if record is None or record.evaluation is None else record.evaluation.created
            test = read_record(MetricsRecord, each / layout.METRICS).test
            found.append(Tested(name=each.name, created=created, test=test))
    return sorted(found, key=lambda tested: (tested.created, tested.name))


def name_for(test: Path) -> str:
    """A name for the results on a test set, from its path.

    >>> name_for(Path("cells/Hospital 2 (new).csv")), name_for(Path("cells/C-NMC_test")), name_for(Path("/"))
    ('Hospital-2-new', 'C-NMC_test', 'test')
    """
    text = test.stem if is_table(test) else test.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:LONGEST_NAME].strip(".-") or "test"


def keep_results(folder: Path, name: str, record: ModelRecord) -> None:
    """Put the results that are in a model's folder into a folder of their own, too.

    Args:
        name: of this folder; with ``-2``, ``-3``, ... if it is that of another test set.
        record: of the model, with this test set; it is kept with the results, to check them by.
    """
    place, number = folder / layout.TESTS / name, 1
    while place.exists():
        number += 1
        place = folder / layout.TESTS / f"{name}-{number}"
    place.mkdir(parents=True)
    for path in [folder / each for each in RESULT_FILES if (folder / each).is_file()]:
        # Not a link: a file system may have none, and these are small.
        shutil.copy2(path, place / path.name)
    record.write(place)


def make_way(folder: Path, earlier: ModelRecord, fingerprint: str) -> None:
    """Remove the results on the test set of this fingerprint, and those in the model's folder itself.

    Results on other test sets have their own folder by now, or get one: earlier versions kept the latest in the model's
    folder only. Other files are left alone.

    Args:
        earlier: the record of the results that are in the model's folder.
    """
    replaced = kept_results(folder, fingerprint)
    if replaced is not None:
        for name in (*TEST_FILES, layout.MODEL):
            (replaced / name).unlink(missing_ok=True)
        if not any(replaced.iterdir()):
            replaced.rmdir()
    latest, kept = earlier.evaluation, None
    if latest is not None and latest.fingerprint != fingerprint:
        known = kept_results(folder, latest.fingerprint) or unnamed_results(folder, latest.fingerprint)
        if not (known / layout.METRICS).is_file():
            kept = known
            kept.mkdir(parents=True, exist_ok=True)
            earlier.keep(kept)
    for name in TEST_FILES:
        path = folder / name
        if path.is_file():
            path.unlink() if kept is None else path.rename(kept / name)


def are_known(results: Path, held_out: HeldOut, decision: Decision, prevalence: float | None) -> bool:
    """Whether a folder has all scores of a test set that its options ask for; they are of its fingerprint.

    Args:
        decision: of the model, with which the images must have been classified.
        prevalence: at which predictive values are asked for; None if any will do.

    Raises:
        UserError: they were changed.
    """
    path = results / layout.METRICS
    if not path.is_file():
        return False
    # Earlier versions kept some without a record.
    if (tested := ModelRecord.read(results)) is not None:
        tested.check_files(results, RESULTS)
    test = read_record(MetricsRecord, path).test
    if decision != (_decision_of(test, decision.rule) if tested is None else tested.decision):
        return False
    if test is None:
        return True
    if prevalence not in (None, test.get("prevalence")):
        return False
    left_out = [] if held_out.left_out is None else held_out.left_out.reasons()
    subclasses = {each["name"] for each in test.get("subclasses", [])}
    return test.get("left_out_reasons", []) == left_out and subclasses == set(
        held_out.catalog.table["subclass"].dropna()
    )


def _decision_of(test: dict[str, Any] | None, rule: str) -> Decision:
    """The decision behind results without a record; those of earlier versions had no other than the default."""
    if test is None:
        return Decision()
    temperature = test.get("calibration", {}).get("temperature", 1.0)
    return Decision(rule=rule, threshold=test.get("threshold", THRESHOLD), temperature=temperature)
