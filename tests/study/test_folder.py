"""The study folder: one driver, atomic writes, exact round trips, and a committed example study that still loads."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.studies import change_info, info_of, tta_scores, without_checksums

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import write_json
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.config.sections import Model
from leukemia.data.folds import Splits
from leukemia.scoring.metrics import point_scores
from leukemia.study import folder as folder_module
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import EPOCH_COLUMNS, Study
from leukemia.study.models import ModelRecord, delivered_models
from leukemia.study.records import FOLD_COLUMNS
from leukemia.study.schema import Origin
from leukemia.study.table import trial_table

EXAMPLE = Path(__file__).parents[1] / "example_study"

TABLE = pd.DataFrame(
    {
        "image_id": ["a/NA", "b/é, 2.png", "c/null", 'd/"4".png'],
        "subject": ["007", "1e5", "NA", "H3"],
        "group": ["007+1e5", "007+1e5", "NA", "H3"],
        "label": [1, 0, 1, 0],
    }
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study.create(tmp_path / "runs" / "one", info_of())
    study.begin_trial(3, Recipe())
    return study


def epoch_of(epoch: int, fold: int = 0, seed: int = 0, **changes: float) -> Epoch:
    values: dict[str, float] = {
        "train_loss": 0.1 + 0.2,
        "train_accuracy": 2 / 3,
        "validation_loss": 1e-17 / 3,
        "validation_accuracy": float("nan"),
        "learning_rate": 3e-5 / 7,
        "seconds": 12345.678901234567,
        "images_per_second": 1 / 3,
        "device_memory_mb": 0.0,
        **changes,
    }
    return Epoch(seed=seed, fold=fold, epoch=epoch, **values)


def result_of(fold: int, score: float | None = None, rows: tuple[int, ...] = (0, 1, 3), seed: int = 0) -> FoldResult:
    """A fold with the scores of its predictions; its accuracy may be another one if they are never read."""
    probabilities = np.array([0.1 + 0.2, 1 / 3, 5e-324, 1.0])[: len(rows)]
    found = tta_scores(TABLE["label"][list(rows)], probabilities)
    return FoldResult(
        seed=seed,
        fold=fold,
        rows=np.array(rows),
        probabilities=probabilities,
        scores={
            "tta_accuracy": found["tta_accuracy"] if score is None else score,
            "tta_weighted_f1": found["tta_weighted_f1"] if score is None else score / 2,
            "tta_auroc": float("nan"),
        },
        seconds=1.25,
        device="cpu (test)",
        precision="float32",
    )


def test_study_is_created_and_opened(study: Study) -> None:
    opened = Study.open(study.folder)
    assert opened.info == info_of()
    assert opened.name == "one"
    assert opened.trials() == [3]
    assert opened.recipe(3) == Recipe()
    assert opened.end(3) is None


def test_existing_study_is_not_overwritten(study: Study) -> None:
    with pytest.raises(AssertionError):
        Study.create(study.folder, info_of(folds=9))
    assert study.info.folds == 2


def test_folder_without_a_valid_study_is_rejected(study: Study, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^no study at .*none; --runs and the study's name must point to a folder"):
        Study.open(tmp_path / "none")
    (study.folder / "study.json").write_text('{"schema": 99}')
    with pytest.raises(UserError, match=r"study.json: expected schema 1, got 99; use the version that wrote it"):
        Study.open(study.folder)


def test_newest_study_with_a_winner_is_found(tmp_path: Path) -> None:
    # The oldest study's folder is created last: file times must not matter.
    for name, day, won in [("c", 3, True), ("d", 4, False), ("b", 2, True), ("a", 1, True)]:
        created = Study.create(tmp_path / name, info_of(created=f"2026-01-0{day}T00:00:00Z"))
        if won:
            (created.folder / "best.json").write_text("{}")
    # Of something else: the name of the file is a common one.
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "best.json").write_text("{}")
    assert Study.find(tmp_path, None).name == "c"
    assert Study.find(tmp_path, "d").name == "d"
    with pytest.raises(MissingFile, match=r"^no study at .*e; "):
        Study.find(tmp_path, "e")
    with pytest.raises(MissingFile, match=r"^no study with a best.json in .*empty; run a search first, or name the"):
        Study.find(tmp_path / "empty", None)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "-x\n", "<b>"])
def test_names_that_are_not_portable_are_rejected(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--study: expected letters, digits, '.', '_' or '-', got "):
        layout.check_name(name)
    with pytest.raises(UserError, match=r"^--study: "):
        Study.find(tmp_path, name)


@pytest.mark.parametrize("name", ["20261124-101500-amber", "a.b_C-1", "..."])
def test_portable_names_are_accepted(name: str) -> None:
    layout.check_name(name)


def test_lock_names_the_other_driver_and_is_released_when_it_is_killed(study: Study) -> None:
    code = (
        "import sys, time; from pathlib import Path; from leukemia.study.folder import Study\n"
        "with Study(Path(sys.argv[1])).lock():\n    print('held', flush=True); time.sleep(3600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(study.folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        name = f"process {holder.pid} on {socket.gethostname()}"
        message = rf"^study one is being run by {name}; wait for it, stop it, or start"
        with pytest.raises(UserError, match=message), study.lock():
            pass
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with study.lock():
        assert (study.folder / "driver.lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    with study.lock():
        pass


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("seconds", "", r"expected seconds from 0 to 1e\+09, got nan; restore"),
        ("seconds", "-2.0", r"expected seconds from 0 to 1e\+09, got -2.0; restore"),
        ("seconds", "1e308", r"expected seconds from 0 to 1e\+09, got 1e\+308; restore"),
        ("epoch", "1.5", "expected integers in column epoch; restore"),
        ("epoch", "0", "expected epoch >= 1, got 0; restore"),
        ("device_memory_mb", "1,2,3", "expected the columns seed, fold, epoch, .*; restore"),
        ("train_loss", "low", r"cannot be read \(could not convert string to float: 'low'\); restore"),
    ],
)
def test_invalid_epochs_are_rejected(study: Study, column: str, value: str, message: str) -> None:
    study.write_epoch(3, epoch_of(1))
    path = without_checksums(study.trial_folder(3)) / "epochs.csv"
    header, row = (line.split(",") for line in path.read_text().splitlines())
    row[header.index(column)] = value
    path.write_text(f"{','.join(header)}\n{','.join(row)}\n")
    with pytest.raises(UserError, match=rf"epochs.csv: {message}"):
        Study(study.folder).epochs(3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("folds", True),
        ("folds", 1),
        ("seed", -1),
        ("objective", "nonsense"),
        ("protocol", "nonsense"),
        ("trials", 0),
        ("racing", 1),
        ("versions", {"torch": 2.13}),
    ],
)
def test_invalid_study_json_is_rejected(study: Study, field: str, value: object) -> None:
    change_info(study, **{field: value})
    with pytest.raises(UserError, match=rf"study.json: field '{field}.*': expected .*, got .*; restore the file"):
        Study.open(study.folder)


def test_epochs_are_exact_sorted_and_written_once(study: Study) -> None:
    written = [epoch_of(2), epoch_of(1, fold=1), epoch_of(1)]
    assert [study.write_epoch(3, epoch) for epoch in written] == [True, True, True]
    before = (study.trial_folder(3) / "epochs.csv").read_bytes()
    assert not study.write_epoch(3, epoch_of(2, train_loss=9.0))
    # As read by another process after this one was killed.
    again = Study(study.folder)
    assert not again.write_epoch(3, epoch_of(1, train_loss=9.0))
    assert (study.trial_folder(3) / "epochs.csv").read_bytes() == before
    assert again.write_epoch(3, epoch_of(2, fold=1))
    table = again.epochs(3)
    assert tuple(table.columns) == EPOCH_COLUMNS
    assert list(zip(table["fold"], table["epoch"], strict=True)) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    for name in EPOCH_COLUMNS[3:]:
        expected = getattr(epoch_of(1), name)
        assert all(value == expected or (np.isnan(value) and np.isnan(expected)) for value in table[name]), name
    assert study.epochs(9).empty


def test_fold_is_exact_and_written_once(study: Study) -> None:
    assert study.write_fold(3, result_of(1), TABLE)
    assert not study.write_fold(3, result_of(1, score=0.1), TABLE)
    assert study.folds_done(3, 0) == [1]
    assert study.folds_done(3, 1) == []
    fold = study.fold(3, 0, 1)
    assert fold.scores == {**result_of(1).scores, "tta_auroc": None}
    assert fold.scores["tta_accuracy"] == 2 / 3
    assert (fold.n, fold.device, fold.precision, fold.seconds) == (3, "cpu (test)", "float32", 1.25)
    seen = study.out_of_fold(3, 0)
    assert tuple(seen.columns) == (*FOLD_COLUMNS, "fold")
    assert seen["probability_leukemic"].tolist() == result_of(1).probabilities.tolist()
    for name in ("image_id", "subject", "group", "label"):
        assert seen[name].tolist() == TABLE[name].iloc[[0, 1, 3]].tolist()


def test_folds_are_joined_in_order_and_subjects_may_be_unknown(study: Study) -> None:
    table = TABLE.assign(subject=None)
    study.write_fold(3, result_of(1, rows=(0, 1)), table)
    study.write_fold(3, result_of(0, rows=(2, 3)), table)
    seen = study.out_of_fold(3, 0)
    assert seen["image_id"].tolist() == [TABLE["image_id"][row] for row in (2, 3, 0, 1)]
    assert seen["fold"].tolist() == [0, 0, 1, 1]
    assert seen["subject"].tolist() == [""] * 4


def test_fold_is_committed_by_its_json(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path, *arguments: Any) -> None:
        assert path.with_suffix(".csv").is_file()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("leukemia.study.folder.write_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            study.write_fold(3, result_of(0), TABLE)
    assert study.folds_done(3, 0) == []
    assert study.out_of_fold(3, 0).empty
    assert study.write_fold(3, result_of(0), TABLE)
    assert study.folds_done(3, 0) == [0]


def test_trials_are_sorted_complete_first_then_by_score(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "many", info_of())
    ended: list[tuple[int, Any, list[float]]] = [
        (0, "complete", [0.5, 0.75]),
        (1, "stopped", [0.875]),
        (2, "complete", [0.75, 0.75]),
        (3, "failed", []),
        (4, "complete", [0.75, 0.5]),
        (5, None, [0.25]),
        (6, "failed", [float("nan")]),
    ]
    for number, state, scores in ended:
        study.begin_trial(number, Recipe(model=Model(depth=50)))
        for fold, score in enumerate(scores):
            study.write_fold(number, result_of(fold, score), TABLE)
        if state:
            study.end_trial(number, state, f"why {number}", None)
    table = trial_table(study)
    assert table["trial"].tolist() == ["0002", "0000", "0004", "0001", "0005", "0003", "0006"]
    assert table["state"].tolist() == ["complete"] * 3 + ["stopped", "running", "failed", "failed"]
    assert table["score"].tolist()[:5] == [0.75, 0.625, 0.625, 0.875, 0.25]
    assert table["weighted_f1"].tolist()[:5] == [0.375, 0.3125, 0.3125, 0.4375, 0.125]
    assert table["score"].isna().tolist()[5:] == [True, True]
    assert table["folds"].tolist() == ["2/2", "2/2", "2/2", "1/2", "1/2", "0/2", "1/2"]
    assert table["seconds"].tolist() == [2.5, 2.5, 2.5, 1.25, 1.25, 0, 1.25]
    assert table["reason"].tolist()[3:5] == ["why 1", ""]
    assert set(table["recipe"]) == {"ResNet-50 add, color, ranger21 1.0e-03"}
    assert trial_table(Study.create(tmp_path / "none", info_of())).empty


def test_seeds_are_those_that_were_started(study: Study) -> None:
    assert study.seeds(3) == []
    for seed in (10, 2):
        study.begin_repeat(3, seed)
    study.begin_repeat(3, 2)
    study.write_fold(3, result_of(0), TABLE)
    (study.trial_folder(3) / "seed_x").mkdir()
    assert study.seeds(3) == [0, 2, 10]
    assert study.folds_done(3, 2) == []
    assert study.seeds(9) == []


def test_failed_repeat_has_a_reason(study: Study) -> None:
    study.begin_repeat(3, 1)
    assert study.repeat_failure(3, 1) is None
    study.fail_repeat(3, 1, "NonFiniteLoss: é")
    assert study.repeat_failure(3, 1) == "NonFiniteLoss: é"
    assert study.folds_done(3, 1) == []
    (study.trial_folder(3) / "seed_1" / "failed.json").write_text("{}")
    with pytest.raises(UserError, match=r"failed.json: expected a field 'reason'"):
        study.repeat_failure(3, 1)


def test_folds_of_a_repeat_are_separate_from_the_trials_own(study: Study) -> None:
    assert study.write_fold(3, result_of(0, 0.5), TABLE)
    assert study.write_fold(3, result_of(0, 0.75, seed=1), TABLE)
    assert not study.write_fold(3, result_of(0, 0.75, seed=1), TABLE)
    assert [study.fold(3, seed, 0).scores["tta_accuracy"] for seed in (0, 1)] == [0.5, 0.75]
    assert [study.write_epoch(3, epoch_of(1, seed=seed)) for seed in (1, 0)] == [True, True]
    assert study.epochs(3)["seed"].tolist() == [0, 1]


def test_only_epochs_that_were_trained_again_are_recorded_as_repeated(study: Study) -> None:
    first = epoch_of(1)
    study.write_epoch(3, first)
    # Epochs restored from a checkpoint have the same seconds.
    assert not study.write_epoch(3, first)
    assert study.repeated(3).empty
    assert not study.write_epoch(3, epoch_of(1, seconds=0.1 + 0.2))
    # As read by another process after this one was killed.
    again = Study(study.folder)
    assert not again.write_epoch(3, first)
    assert not again.write_epoch(3, epoch_of(1, seconds=7.5))
    again.write_epoch(3, epoch_of(2, fold=1, seed=1))
    again.write_epoch(3, epoch_of(2, fold=1, seed=1, seconds=2.0))
    assert again.repeated(3).to_dict("list") == {
        "seed": [0, 0, 1],
        "fold": [0, 0, 1],
        "epoch": [1, 1, 2],
        "seconds": [0.1 + 0.2, 7.5, 2.0],
    }
    assert again.epochs(3)["seconds"].tolist() == [first.seconds] * 2


def test_an_epoch_of_a_second_training_that_is_restored_is_counted_once(study: Study) -> None:
    """A process was killed twice; the checkpoint is of its second training."""
    trainings = [epoch_of(1, seconds=seconds) for seconds in (1.5, 0.1 + 0.2, 2.5)]
    added = [study.write_epoch(3, epoch) for epoch in (*trainings, *trainings)]
    assert added == [True, *[False] * 5]
    assert not Study(study.folder).write_epoch(3, trainings[1])
    assert study.repeated(3)["seconds"].tolist() == [0.1 + 0.2, 2.5]
    assert study.epochs(3)["seconds"].tolist() == [1.5]


def test_reused_trials_have_an_origin(study: Study) -> None:
    assert study.origin(3) is None
    origin = {"study": "old", "study_uid": "00000001", "trial": "0002", "seeds": [0]}
    (study.trial_folder(3) / "origin.json").write_text(json.dumps(origin))
    assert study.origin(3) == Origin(**origin)
    (study.trial_folder(3) / "origin.json").write_text('{"study": "old"}')
    with pytest.raises(UserError, match=r"origin.json: expected a field 'study_uid'"):
        study.origin(3)


def test_trials_are_listed_with_their_finished_seeds(study: Study) -> None:
    for fold, score in enumerate((0.5, 0.75)):
        study.write_fold(3, result_of(fold, score), TABLE)
        study.write_fold(3, result_of(fold, score + 0.125, seed=1), TABLE)
        study.write_fold(3, result_of(fold, 0.0, seed=2), TABLE)
    study.write_fold(3, result_of(0, 1.0, seed=4), TABLE)
    study.fail_repeat(3, 2, "undefined")
    study.end_trial(3, "complete", "all 2 folds", 0.625)
    (row,) = trial_table(study).to_dict("records")
    assert (row["seeds"], row["folds"], row["seconds"]) == (2, "2/2", 2.5)
    assert row["score"] == pytest.approx((0.5 + 0.75 + 0.625 + 0.875) / 4)
    assert row["weighted_f1"] == pytest.approx(row["score"] / 2)


def test_copies_under_another_spelling_of_a_number_are_not_read(study: Study) -> None:
    study.write_fold(3, result_of(0), TABLE)
    folder = study.trial_folder(3)
    for name in ("fold_0.json", "fold_0.csv"):
        shutil.copy(folder / "seed_0" / name, folder / "seed_0" / name.replace("0", "00"))
    shutil.copytree(folder / "seed_0", folder / "seed_00")
    shutil.copytree(folder, folder.with_name("00003"))
    assert (study.trials(), study.seeds(3), study.folds_done(3, 0)) == ([3], [0], [0])


def test_trials_of_two_objectives_are_listed_by_score(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "two", info_of(objective="tta_accuracy,cost"))
    study.begin_trial(0, Recipe())
    study.write_fold(0, result_of(0, 0.75), TABLE)
    assert trial_table(study)["score"].tolist() == [0.75]


def test_example_study_loads(tmp_path: Path) -> None:
    # Load a copy: a study may be moved.
    study = Study.open(Path(shutil.copytree(EXAMPLE, tmp_path / "moved")))
    best = Best.load(study.folder / "best.json")
    splits = Splits.load(study.folder / "splits.json", study.info.data.fingerprint)
    assert splits.sha256() == best.splits_sha256
    assert (len(splits.folds), splits.protocol) == (study.info.folds, study.info.protocol)
    assert best.study_uid == study.info.study_uid
    assert study.trials() == [0, 1]
    number = int(best.trial)
    assert study.recipe(number) == best.recipe
    assert Recipe.from_flat(study.info.start) == study.recipe(0)
    end, epochs, seen = study.end(number), study.epochs(number), study.out_of_fold(number, 0)
    assert end is not None
    assert (end.state, end.score) == ("complete", best.score.raw)
    assert len(epochs) == study.info.folds * best.recipe.train.epochs
    for fold, split in enumerate(splits.folds):
        assert tuple(seen.loc[seen["fold"] == fold, "image_id"]) == split.validation
    scores = point_scores(seen["label"], seen["probability_leukemic"])
    assert {name: record.value for name, record in best.scores.items()} == pytest.approx(scores)


def test_example_delivery_loads() -> None:
    best = Best.load(EXAMPLE / "best.json")
    metrics = json.loads((EXAMPLE / "final" / "metrics.json").read_text())
    predictions = pd.read_csv(EXAMPLE / "final" / "predictions.csv")
    assert Recipe.from_json((EXAMPLE / "final" / "recipe.json").read_text()) == best.recipe
    assert list(predictions.columns) == ["image_id", "subject", "label", "probability_leukemic", "predicted"]
    assert metrics["test"]["n"] == len(predictions)
    assert metrics["test"]["accuracy"]["value"] == (predictions["label"] == predictions["predicted"]).mean()
    assert metrics["out_of_fold"]["accuracy"] == dataclasses.asdict(best.scores["accuracy"])
    assert delivered_models(Study.open(EXAMPLE)) == ["final"]
    record = ModelRecord.read(EXAMPLE / "final")
    assert record is not None
    assert (record.trial, record.fingerprint) == (best.trial, best.data.fingerprint)
    assert {"recipe.json", "metrics.json", "predictions.csv"} == set(record.files)
    record.check_files(EXAMPLE / "final", record.files)


def test_example_journal_loads_in_optuna(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    backend = optuna.storages.journal.JournalFileBackend(shutil.copy(EXAMPLE / "optuna.journal", tmp_path))
    (summary,) = optuna.get_all_study_summaries(optuna.storages.JournalStorage(backend))
    trials = optuna.load_study(
        study_name=summary.study_name, storage=optuna.storages.JournalStorage(backend)
    ).get_trials()
    study = Study.open(EXAMPLE)
    for trial in trials:
        end = study.end(trial.number)
        assert end is not None
        assert (trial.state.name.lower(), trial.value) == (end.state, end.score)


def test_example_study_has_no_paths_of_a_machine() -> None:
    for path in EXAMPLE.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "/tmp" not in text
            assert "/home" not in text
            assert Path.home().as_posix() not in text or Path.home() == Path("/")


def test_study_json_round_trip(tmp_path: Path) -> None:
    info = info_of(warm_start=["old"], budget_hours=1.5)
    path = Study.create(tmp_path / "one", info).folder / "study.json"
    content = json.loads(path.read_text())
    assert list(content)[:4] == ["schema", "study_uid", "created", "command"]
    assert (content["budget_hours"], "storage" in content, "absent" in content) == (1.5, False, False)
    assert Study.open(path.parent).info == info
    example = json.loads((EXAMPLE / "study.json").read_text())
    added = {"sampler": "tpe", "starts": 1}
    assert example.keys().isdisjoint(added)
    assert Study.open(EXAMPLE).info.to_dict() == example | added


def test_study_json_is_updated_in_place(study: Study) -> None:
    path = study.folder / "study.json"
    change_info(study, later=1, storage="here")
    before = path.read_bytes()
    study = Study.open(study.folder)
    assert study.updated(study.info) is study
    assert path.read_bytes() == before, "rewritten without a change"
    study = study.updated(dataclasses.replace(study.info, trials=9, storage=None))
    assert (study.info.trials, Study.open(study.folder).info.storage) == (9, None)
    content = json.loads(before) | {"trials": 9}
    del content["storage"], content["sha256"]
    assert list(json.loads(path.read_text()).items())[:-1] == list(content.items()), "unknown fields are kept"


def test_studies_of_older_versions_with_missing_fields_are_read(study: Study) -> None:
    path = study.folder / "study.json"
    content = json.loads((without_checksums(study.folder) / "study.json").read_text())
    old = {name: value for name, value in content.items() if name not in ("patience", "space", "hardware")}
    write_json(path, old)
    info = Study.open(study.folder).info
    assert (set(info.absent), info.to_dict()) == ({"patience", "space", "hardware"}, old)
    for name in ("folds", "seed", "objective", "protocol", "data"):
        write_json(path, {key: value for key, value in old.items() if key != name})
        with pytest.raises(UserError, match=rf"study.json: expected a field '{name}', found none; restore the file"):
            Study.open(study.folder)
    write_json(path, {**old, "schema": 2})
    with pytest.raises(UserError, match=r"study.json: expected schema 1, got 2; use the version that wrote it"):
        Study.open(study.folder)


@pytest.mark.parametrize("uid", ["../../victim", "/tmp/victim", "abcd123", "ABCD1234"])
def test_study_uid_with_a_path_is_rejected(study: Study, uid: str) -> None:
    change_info(study, study_uid=uid)
    with pytest.raises(UserError, match=r"study.json: field 'study_uid': expected text that matches .*, got '"):
        Study.open(study.folder)


@pytest.mark.parametrize("text", ["[]", "null", '{"schema": 1}', "[" * 100_000])
def test_study_json_without_a_study_is_rejected(study: Study, text: str) -> None:
    (study.folder / "study.json").write_text(text)
    with pytest.raises(UserError, match=r"study.json: expected"):
        Study.open(study.folder)


def test_damaged_records_of_a_trial_are_reported(study: Study) -> None:
    study.begin_trial(0, Recipe())
    study.write_fold(0, result_of(0, 0.75), TABLE)
    folder = without_checksums(study.trial_folder(0)) / "seed_0"
    whole = (folder / "fold_0.csv").read_text()
    (folder / "fold_0.csv").write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"fold_0.csv: expected \d+ rows, got \d+; restore"):
        study.out_of_fold(0, 0)
    (folder / "fold_0.csv").write_text("")
    with pytest.raises(UserError, match=r"fold_0.csv: cannot be read"):
        study.out_of_fold(0, 0)
    (folder / "fold_0.json").write_text("[]")
    with pytest.raises(UserError, match=r"fold_0.json: expected a JSON object, got list"):
        trial_table(study)
    (study.trial_folder(0) / "state.json").write_text("5")
    with pytest.raises(UserError, match=r"state.json: expected a JSON object, got int"):
        study.end(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"scores": {"tta_auroc": 0.5}},
            "expected a field 'scores.tta_accuracy', found none; restore",
        ),
        ({"scores": {"tta_accuracy": 1.5}}, "field 'scores.tta_accuracy': expected at most 1, got 1.5; restore"),
        ({"scores": {"tta_accuracy": -0.5}}, "field 'scores.tta_accuracy': expected at least 0, got -0.5; restore"),
        (
            {"scores": {"tta_accuracy": float("nan")}},
            "field 'scores.tta_accuracy': expected a finite number, got nan",
        ),
        (
            {"scores": {"tta_accuracy": 1, "tta_ece": "low"}},
            "field 'scores.tta_ece': expected a number, got 'low'",
        ),
        ({"scores": {"tta_accuracy": True}}, "field 'scores.tta_accuracy': expected a number, got True; restore"),
        ({"seconds": -1.0}, "field 'seconds': expected at least 0, got -1.0; restore"),
        ({"seconds": float("inf")}, "field 'seconds': expected a finite number, got inf; restore"),
    ],
)
def test_invalid_values_of_a_fold_are_rejected(study: Study, changes: dict[str, Any], message: str) -> None:
    study.write_fold(3, result_of(0), TABLE)
    path = without_checksums(study.trial_folder(3)) / "seed_0" / "fold_0.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UserError, match=rf"fold_0.json: {message}"):
        study.fold(3, 0, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("H3,0,", "H3,2,", "expected labels 0 and 1, got 2; restore"),
        ("H3,0,", "H3,,", "expected labels 0 and 1, got ; restore"),
        ("H3,0,", "H3,0.5,", r"expected labels 0 and 1, got (0|1).\d; restore"),
        (",5e-324", ",1.5", "expected probabilities from 0 to 1, got 1.5; restore"),
        (",5e-324", ",", "expected probabilities from 0 to 1, got nan; restore"),
        (",5e-324", ",high", "cannot be read"),
    ],
)
def test_invalid_predictions_are_rejected(study: Study, old: str, new: str, message: str) -> None:
    study.write_fold(3, result_of(0), TABLE)
    path = without_checksums(study.trial_folder(3)) / "seed_0" / "fold_0.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=rf"fold_0.csv: {message}"):
        study.out_of_fold(3, 0)


def test_unknown_state_is_rejected(study: Study) -> None:
    path = study.trial_folder(3) / "state.json"
    path.write_text('{"state": "won", "reason": "", "score": 0.5}')
    with pytest.raises(
        UserError, match=r"state.json: field 'state': expected 'complete', 'stopped' or 'failed', got 'won'; restore"
    ):
        study.end(3)
    path.write_text('{"state": "complete", "reason": "", "score": 50}')
    with pytest.raises(UserError, match=r"state.json: field 'score': expected at most 1, got 50; restore"):
        study.end(3)


def test_traceback_is_written_before_the_end_and_a_stale_one_is_removed(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.begin_trial(3, Recipe())
    study.begin_repeat(3, 1)
    paths = [study.trial_folder(3) / "traceback.txt", study.trial_folder(3) / "seed_1" / "traceback.txt"]

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            study.end_trial(3, "failed", "why", None, traceback="Traceback ü\n")
        with pytest.raises(KeyboardInterrupt):
            study.fail_repeat(3, 1, "why", traceback="Traceback ü\n")
    assert [path.read_text(encoding="utf-8") for path in paths] == ["Traceback ü\n"] * 2
    assert (study.end(3), study.repeat_failure(3, 1)) == (None, None)
    study.end_trial(3, "complete", "all 2 folds", 0.5)
    study.fail_repeat(3, 1, "its process crashed repeatedly")
    assert not [path for path in paths if path.exists()]


@pytest.mark.parametrize("name", ["trials", "trials/0001", "trials/0001/seed_0"])
def test_a_folder_that_cannot_be_read_is_not_taken_for_empty(tmp_path: Path, name: str) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "one")
    study = Study.open(tmp_path / "one")
    shutil.rmtree(study.folder / name)
    # As with missing permissions, which root does not need.
    (study.folder / name).symlink_to(study.folder / name)
    with pytest.raises(OSError, match=rf"{name}"):
        [study.folds_done(number, seed) for number in study.trials() for seed in study.seeds(number)]


@pytest.mark.parametrize("name", ["driver.lock", "search.log", "optuna.journal"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_link_is_not_followed_to_change_a_file_elsewhere(
    study: Study, tmp_path: Path, name: str, dry_run: bool
) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    (study.folder / name).symlink_to(tmp_path / "notes.txt")
    with (
        pytest.raises(UserError, match=rf"{name}: expected a file, got a link, whose target would be changed; remove"),
        study.lock(dry_run=dry_run),
    ):
        pass
    assert (tmp_path / "notes.txt").read_text() == "precious"
