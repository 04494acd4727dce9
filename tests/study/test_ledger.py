"""The ledger: every second has one kind, and the estimate of what early stopping saved."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.studies import info_of

from leukemia.base.errors import UserError
from leukemia.base.files import write_json
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.reporting import search_figures
from leukemia.study.duration import duration, durations
from leukemia.study.folder import Study
from leukemia.study.ladder import LadderRecord, Place
from leukemia.study.ledger import KIND_NAMES, KINDS, ledger_of
from leukemia.study.schema import State

TABLE = pd.DataFrame({"image_id": ["a", "b"], "subject": ["1", "2"], "group": ["1", "2"], "label": [0, 1]})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path / "one", info_of(folds=3))


def run(study: Study, number: int, folds: dict[tuple[int, int], tuple[list[float], float | None]]) -> None:
    """Write a trial; ``folds`` maps (seed, fold) to the seconds of its epochs and, if finished, of the fold."""
    study.begin_trial(number, Recipe())
    for (seed, fold), (epochs, seconds) in folds.items():
        for epoch, spent in enumerate(epochs, start=1):
            study.write_epoch(
                number,
                Epoch(
                    seed=seed,
                    fold=fold,
                    epoch=epoch,
                    train_loss=0.5,
                    train_accuracy=0.5,
                    validation_loss=0.5,
                    validation_accuracy=0.5,
                    learning_rate=0.1,
                    seconds=spent,
                    images_per_second=1.0,
                    device_memory_mb=0.0,
                ),
            )
        if seconds is not None:
            result = FoldResult(
                seed=seed,
                fold=fold,
                rows=np.array([0, 1]),
                probabilities=np.array([0.25, 0.75]),
                scores={"tta_accuracy": 1.0, "tta_weighted_f1": 1.0},
                seconds=seconds,
                device="cpu (test)",
                precision="float32",
            )
            study.write_fold(number, result, TABLE)


def end(study: Study, number: int, state: State) -> None:
    study.end_trial(number, state, "", None)


def full(study: Study) -> None:
    """One trial of each state."""
    # The second fold was interrupted: its own seconds exclude an epoch of 30 s.
    run(study, 0, {(0, 0): ([40.0, 40.0], 100.0), (0, 1): ([30.0, 60.0], 70.0), (0, 2): ([], 110.0)})
    run(study, 0, {(1, 0): ([50.0], 60.0), (1, 1): ([25.0], None)})
    end(study, 0, "complete")
    run(study, 1, {(0, 0): ([80.0], 90.0), (0, 1): ([], 50.0)})
    end(study, 1, "stopped")
    run(study, 2, {(0, 0): ([7.0], None)})
    end(study, 2, "failed")
    run(study, 3, {(0, 0): ([10.0], 20.0), (0, 1): ([5.0], None)})
    (study.trial_folder(3) / "repeated.csv").write_text("seed,fold,epoch,seconds\n0,0,1,8.0\n0,0,2,4.5\n")


def test_every_second_has_one_kind(study: Study) -> None:
    full(study)
    ledger = ledger_of(study)
    expected = {
        "useful": 100.0 + 90.0 + 110.0,
        "repeats": 60.0,
        "stopped": 140.0,
        "failed": 7.0,
        "waiting": 0.0,
        "redone": 12.5,
        "unfinished": 25.0 + 20.0 + 5.0,
    }
    assert ledger.seconds == expected
    assert ledger.total == sum(expected.values()) == 569.5
    assert [trial.total for trial in ledger.trials] == [385.0, 140.0, 7.0, 37.5]
    assert [trial.cost for trial in ledger.trials] == [300.0, 140.0, 0.0, 20.0]
    assert [trial.seeds for trial in ledger.trials] == [2, 1, 0, 1]
    # Finished folds: 100, 90, 110 and 60; 90 and 50; none; 20.
    assert ledger.fold_seconds == pytest.approx(520 / 7)


def test_only_stopped_trials_save_folds(study: Study) -> None:
    full(study)
    ledger = ledger_of(study)
    # One of three folds, at the mean of 90 and 50; the failed trial ran none of its three folds and saves nothing.
    assert [trial.folds_left_out for trial in ledger.trials] == [0, 1, 0, 0]
    assert (ledger.folds_left_out, ledger.folds_wanted, ledger.seconds_left_out) == (1, 6, 70.0)


def test_ledger_is_described(study: Study) -> None:
    assert ledger_of(study).describe() == "device time: none yet"
    full(study)
    assert ledger_of(study).describe() == (
        "device time: 9 min (5 min useful, 1 min repeats with other seeds, 2 min stopped, 7 s failed, "
        "12 s redone without a checkpoint, 1 min unfinished); early stopping saved 1 of 6 folds, about 1 min"
    )


def test_stopped_trial_without_a_fold_has_no_estimate(study: Study) -> None:
    run(study, 0, {(0, 0): ([30.0], None)})
    end(study, 0, "stopped")
    text = "device time: 30 s (30 s stopped); early stopping saved 3 of 3 folds"
    assert ledger_of(study).describe() == text


def test_failed_repeat_counts_as_failed(study: Study) -> None:
    run(study, 0, {(seed, fold): ([], 10.0) for seed, fold in [(0, 0), (0, 1), (0, 2), (1, 0)]})
    end(study, 0, "complete")
    study.fail_repeat(0, 1, "NonFiniteLoss")
    (trial,) = ledger_of(study).trials
    assert (trial.seconds["useful"], trial.seconds["repeats"], trial.seconds["failed"]) == (30.0, 0.0, 10.0)
    assert trial.seeds == 1


def test_reused_trial_costs_nothing_here(study: Study) -> None:
    run(study, 0, {(0, fold): ([], 10.0) for fold in range(3)})
    end(study, 0, "complete")
    run(study, 1, {(0, 0): ([], 10.0)})
    end(study, 1, "stopped")
    for number in (0, 1):
        origin = {"study": "old", "study_uid": "00000000", "trial": "0000", "seeds": [0]}
        write_json(study.trial_folder(number) / "origin.json", origin)
    ledger = ledger_of(study)
    assert (ledger.total, ledger.folds_left_out, ledger.folds_wanted) == (0.0, 0, 0)
    assert [trial.cost for trial in ledger.trials] == [30.0, 10.0]
    assert ledger.describe() == "device time: none yet; trials reused from earlier studies: 2"


def test_table_has_a_row_per_trial(study: Study) -> None:
    full(study)
    table = ledger_of(study).table()
    columns = ["trial", "state", "folds", "seeds", "taken_over", "cost", *KINDS, "total", "fold", "left_out"]
    assert list(table.columns) == columns
    assert table["trial"].tolist() == ["0000", "0001", "0002", "0003"]
    assert table["state"].tolist() == ["complete", "stopped", "failed", "running"]
    assert table["folds"].tolist() == ["3/3", "2/3", "0/3", "1/3"]
    assert table["left_out"].tolist() == [0.0, 70.0, 0.0, 0.0]
    assert table["fold"].tolist()[:2] == [90.0, 70.0]
    assert math.isnan(table["fold"][2])
    assert table[list(KINDS)].sum(axis=1).tolist() == table["total"].tolist()
    assert list(ledger_of(Study.create(study.folder.parent / "none", info_of(folds=3))).table().columns) == columns


def test_ledger_as_json(study: Study) -> None:
    full(study)
    content = ledger_of(study).to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["seconds"]["total"] == 569.5
    assert content["left_out"] == {"folds": 1, "of": 6, "seconds": 70.0}
    assert content["trials"][2] == {
        "trial": "0002",
        "state": "failed",
        "folds_done": 0,
        "folds": 3,
        "seeds": 0,
        "taken_over": False,
        "cost": 0.0,
        "seconds": {**dict.fromkeys(KINDS, 0.0), "failed": 7.0, "total": 7.0},
        "fold_seconds": None,
        "left_out": {"folds": 0, "seconds": 0.0},
        "postponed": 0.0,
    }


def test_trials_that_wait_have_their_own_kind_and_postpone_the_rest(study: Study) -> None:
    full(study)
    place = Place(share=1.0, rank=1, reached=1)
    waiting = {f"{number:04d}": place for number in (1, 3)}
    study.write(study.folder / "ladder.json", dataclasses.asdict(LadderRecord(waiting=waiting)))
    ledger = ledger_of(study)
    assert [trial.state for trial in ledger.trials] == ["complete", "stopped", "failed", "waiting"], "1 has ended since"
    assert ledger.seconds["waiting"] == 25.0
    assert ledger.seconds["unfinished"] == 25.0, "of a repeat of trial 0"
    # Two of its three times 30 epochs have been trained, in 15 s.
    assert ledger.num_waiting == 1
    assert ledger.seconds_postponed == (3 * Recipe().train.epochs - 2) * 7.5
    assert ledger.table()["left_out"].tolist() == [0.0, 70.0, 0.0, ledger.seconds_postponed]
    assert ledger.to_dict()["postponed"] == {"trials": 1, "seconds": ledger.seconds_postponed}
    assert (ledger.folds_left_out, ledger.seconds_left_out) == (1, 70.0), "of the stopped trial only"
    assert ", 25 s waiting, " in ledger.describe()


def test_damaged_list_of_repeated_epochs_is_reported(study: Study) -> None:
    full(study)
    (study.trial_folder(3) / "repeated.csv").write_text("seed,fold\n0,0\n")
    with pytest.raises(UserError, match=r"repeated.csv: expected the columns seed, fold, epoch, seconds; restore"):
        ledger_of(study)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 s"), (59.0, "59 s"), (59.6, "1 min"), (3599.0, "1.0 h"), (3600.0, "1.0 h")]
)
def test_durations_round_into_the_next_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rounded_parts_add_up_to_the_rounded_total() -> None:
    assert (duration(852), durations([516, 336])) == ("14 min", ["8 min", "6 min"])
    assert (duration(11330), durations([5580, 5580, 170])) == ("3.1 h", ["1.6 h", "1.5 h", "3 min"])
    assert durations([]) == []


def test_every_kind_has_a_name_and_a_colour() -> None:
    assert set(KIND_NAMES) == set(search_figures.SPENDING) == set(KINDS)
