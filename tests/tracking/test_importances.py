"""W&B gets importances from at least 20 complete trials, and otherwise the reason why there are none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.harness.recorded_runs import recorded_runs
from leukemia.base.record import write_record
from leukemia.study.folder import Study
from leukemia.tracking.study_run import StudyRun

EXAMPLE = Path(__file__).parents[1] / "example_study"
SHARES = {"model.depth": 0.8, "data.grayscale": 0.2}


@pytest.mark.parametrize(
    ("num_trials", "is_sent", "text"),
    [
        (2, False, "importances of recipe fields need 20 trials that finished all folds; there are 2"),
        (20, True, "importance of recipe fields for the score, from the 20 trials that finished all folds"),
    ],
)
def test_importances_come_with_their_trials(tmp_path: Path, num_trials: int, is_sent: bool, text: str) -> None:
    study = Study.open(Path(shutil.copytree(EXAMPLE, tmp_path / "example")))
    for number in range(2, num_trials):
        shutil.copytree(study.trial_folder(0), study.trial_folder(number))
    # As an earlier version wrote it, for any number of trials.
    write_record(study.folder / "hindsight.json", {"lines": [], "importances": SHARES})
    with recorded_runs() as runs:
        run = StudyRun(study)
        run.open("offline", None)
        run.close(finished=True)
    rows: list[dict[str, Any]] = [each[1] for each in runs[0].content if isinstance(each, tuple) and len(each) == 2]
    assert ("model.depth" in str(rows)) == is_sent
    assert runs[0].summary["importances_from"] == text
