"""When trials, folds and epochs ended: as recorded, and in folders of older versions by the times of the files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from helpers.tracked import RECIPE, REPORTS, make_study, run_trial, write

from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.study.folder import Study
from leukemia.study.times import epochs_ended, fold_ended, search_ended, trial_ended
from leukemia.tracking.tracker import NoTracker


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = make_study(tmp_path / "my-study")
    run_trial(study, NoTracker(), 0)
    return study


def change(path: Path, ended: str | None) -> None:
    """Set or remove the time in a record."""
    content = json.loads(path.read_text())
    content.pop("ended")
    write_record(path, content | ({} if ended is None else {"ended": ended}))


def test_times_are_recorded(study: Study) -> None:
    fold, trial = fold_ended(study, 0, study.fold(0, 0, 1)), trial_ended(study, 0)
    assert trial is not None
    assert time.time() - 600 < fold <= trial <= time.time()
    assert search_ended(study) == trial
    assert trial_ended(study, 1) is None


def test_recorded_times_survive_a_copy(study: Study) -> None:
    """A mirror does not keep the times of files."""
    change(study.fold_file(0, 0, 1), "2026-01-01T00:01:00.500Z")
    assert fold_ended(study, 0, study.fold(0, 0, 1)) == pytest.approx(1767225660.5)
    # The fold took 12.5 s in all, its two epochs 1.5 s each.
    assert epochs_ended(study, 0, [1.5, 1.5], study.fold(0, 0, 1)) == pytest.approx([1767225649.5, 1767225651.0])


def test_older_folders_have_the_times_of_their_files(study: Study) -> None:
    fold, trial = study.fold_file(0, 0, 1), study.trial_folder(0) / "state.json"
    for path, seconds in ((fold, 1000), (trial, 2000)):
        change(path, None)
        os.utime(path, (seconds, seconds))
    assert (fold_ended(study, 0, study.fold(0, 0, 1)), trial_ended(study, 0)) == (1000, 2000)


def test_epochs_of_an_unfinished_fold_end_with_the_last_one_written(tmp_path: Path) -> None:
    study = make_study(tmp_path / "my-study")
    study.begin_trial(0, RECIPE)
    for report in REPORTS[:2]:
        write(study, NoTracker(), 0, report)
    os.utime(study.trial_folder(0) / "epochs.csv", (1000, 1000))
    assert epochs_ended(study, 0, [1.5, 1.5], None) == [998.5, 1000]


@pytest.mark.parametrize("ended", ["yesterday", "2026-02-31T00:00:00Z"])
def test_damaged_time_is_reported(study: Study, ended: str) -> None:
    change(study.trial_folder(0) / "state.json", ended)
    with pytest.raises(UserError, match=r"state\.json: field 'ended': expected a time in ISO 8601, got "):
        trial_ended(study, 0)
