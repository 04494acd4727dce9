"""The leak check: comparison, output, rejected input."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cells import draw_cells
from helpers.studies import change_info, info_of, tta_scores, without_checksums
from helpers.worlds import epoch_of
from sklearn.metrics import accuracy_score

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.protocol import Protocol
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import make_splits
from leukemia.delivery import leak_check
from leukemia.delivery.leak_check import LeakCheck
from leukemia.leakcheck import main
from leukemia.scoring.metrics import Interval, scores
from leukemia.scoring.selection import Correction
from leukemia.study.best import Best, Noise
from leukemia.study.best_score import BestScore, IntervalRecord
from leukemia.study.data_source import DataSource
from leukemia.study.folder import Study
from leukemia.training.inference import NonFiniteProbabilities
from leukemia.training.train import NonFiniteLoss

RECIPE = Recipe.from_flat(
    {
        "data.size_px": 32,
        "optimizer.name": "adamw",
        "train.epochs": 1,
        "train.batch_size": 16,
        "train.seed": 3,
        "train.precision": "float32",
        "evaluate.tta": "none",
    }
).resolved([(32, 32)])


def result_of(fold: int, rows: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> FoldResult:
    return FoldResult(
        seed=RECIPE.train.seed,
        fold=fold,
        rows=rows,
        probabilities=probabilities,
        scores=tta_scores(labels, probabilities),
        seconds=1.0,
        device="cpu",
        precision="float32",
    )


def searched(runs: Path, catalog: Catalog, uri: str, protocol: Protocol = "grouped") -> Study:
    """A study of two folds; its winner, trial 0, classifies all images of class 1 correctly and all others wrongly."""
    splits = make_splits(catalog, 2, 0, protocol)
    info = info_of(protocol=protocol, data=DataSource(uri=uri, fingerprint=catalog.fingerprint))
    study = Study.create(runs / "one", info)
    splits.save(study.folder / "splits.json")
    study.begin_trial(0, RECIPE)
    for fold, (_, rows) in enumerate(splits.rows(catalog)):
        labels = catalog.table["label"].to_numpy()[rows]
        study.write_epoch(0, epoch_of(fold, 1, seed=RECIPE.train.seed))
        study.write_fold(0, result_of(fold, rows, labels, np.full(len(rows), 0.9)), catalog.table)
    study.end_trial(0, "complete", "all 2 folds", 0.5)
    seen = study.out_of_fold(0, RECIPE.train.seed)
    found = scores(seen["label"], seen["probability_leukemic"], seen["group"])
    accuracy = found["accuracy"]
    Best(
        study="one",
        study_uid="abcd1234",
        trial="0000",
        recipe=RECIPE,
        objective="tta_accuracy",
        score=BestScore.of(
            0.5,
            Correction(winner=0, raw=accuracy, scored=accuracy, bootstrap=accuracy, leave_fold_out=accuracy),
            [0, 1],
        ),
        scores={metric: IntervalRecord.of(interval) for metric, interval in found.items()},
        noise=Noise(),
        num_complete=1,
        majority_rate=0.5,
        folds=2,
        folds_done=2,
        seeds=[RECIPE.train.seed],
        n=len(seen),
        protocol=protocol,
        data=info.data,
        splits_sha256=splits.sha256(),
        versions={},
        commit="unknown",
        hardware={},
        command="python -m search.run",
    ).save(study.folder / "best.json")
    return study


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog, tiny_folder: Path) -> Study:
    return searched(tmp_path / "runs", tiny_catalog, str(tiny_folder))


def check(study: Study, *arguments: str) -> int:
    return main(["one", "--runs", str(study.folder.parent), "--device", "cpu", *arguments])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[np.ndarray]]:
    """Replace training by perfect predictions; returns the list of requested validation rows."""
    folds_asked: list[list[np.ndarray]] = []

    def perfect(
        recipe: Recipe, images: np.ndarray, labels: np.ndarray, folds: Any, **settings: Any
    ) -> Iterator[FoldResult]:
        assert recipe == RECIPE
        assert images.shape == (len(labels), 32, 32, 3)
        folds_asked.append([validation for _, validation in folds])
        for fold, (training, validation) in enumerate(folds):
            assert not set(training) & set(validation)
            yield result_of(fold, validation, labels[validation], labels[validation].astype(float))

    monkeypatch.setattr(leak_check, "cross_validate", perfect)
    return folds_asked


def test_threads_are_those_of_the_study(
    study: Study, asked: list[list[np.ndarray]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU other threads would give other numbers than the search's, with which they are compared."""
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    change_info(study, cpu_threads=999)
    assert check(study) == 0
    assert threads == [999]
    assert "with the study's 999 threads on " in capsys.readouterr().out.splitlines()[0]


@pytest.mark.usefixtures("asked")
def test_paths_that_do_not_exist_as_written_are_noted(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(tiny_folder, tmp_path / "cells")
    study = searched(tmp_path / "runs", read_catalog(data), str(data))
    lines = [
        f"/content/cells/{path.relative_to(data)},{int(path.parent.name == 'all')},{path.name.split('_')[1]}"
        for path in sorted(data.rglob("*.png"))
    ]
    (data / "train.csv").write_text("\n".join(["Path,label,subject", *lines]) + "\n")
    assert check(study, "--data", str(data / "train.csv")) == 0
    note = f"48 of 48 paths in the CSV do not exist as written; their images were found below {data} by "
    assert f"note: {note}" in capsys.readouterr().out
    stored, folds, classes = json.loads((study.folder / "leakcheck.json").read_text())["notes"]
    assert stored.startswith(note)
    assert folds.startswith("the data have a split, in the folders (16 fold 0, 16 fold 1, 16 fold 2 images), that is")
    assert classes == "classes (images): normal = 0 (24); leukemic = 1 (24)"


@pytest.mark.usefixtures("asked")
def test_pretrained_weights_are_named_once(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leak_check, "describe_weights", lambda recipe: f"w.pt for {recipe.describe()}")
    assert check(study) == 0
    assert capsys.readouterr().out.count(f"\nweights: w.pt for {RECIPE.describe()}\n") == 1


def test_same_images_are_scored_on_both_kinds_of_folds(
    study: Study, asked: list[list[np.ndarray]], tiny_catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(study) == 0
    content = json.loads((study.folder / "leakcheck.json").read_text())
    labels, groups = (tiny_catalog.table[name].to_numpy() for name in ("label", "group"))
    assert content["grouped"] == scores(labels, np.full(48, 0.9), groups)["accuracy"].to_dict()
    assert content["grouped"]["value"] == accuracy_score(labels, np.ones(48)) == 0.5
    assert content["random_cell"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert content["gap_points"] == 50
    assert content["gap"]["value"] == 0.5
    assert content["gap"]["low"] > 0
    expected = {"metric": "accuracy", "n": 48, "trial": "0000", "seed": 3, "folds": 2, "folds_seed": 0}
    assert expected.items() <= content.items()
    assert Recipe.from_flat(content["recipe"]) == RECIPE
    (validations,) = asked
    assert sorted(np.concatenate(validations)) == list(range(48))
    assert set(groups[validations[0]]) & set(groups[validations[1]]), "patients are on both sides"
    lines = capsys.readouterr().out.splitlines()
    starts = ["study one, trial 0000", "note", "folds 1 to 2", "fold 1/2", "fold 2/2"]
    assert [line.partition(":")[0] for line in lines[:5]] == starts
    assert lines[5] == content["words"]
    assert lines[5].startswith("grouped 0.500, random cells 1.000: 50.0 points of a random split's accuracy come from")
    assert lines[6] == f"leak check: {study.folder / 'leakcheck.json'}"


def test_leak_check_with_real_training(study: Study) -> None:
    assert check(study) == 0
    content = json.loads((study.folder / "leakcheck.json").read_text())
    assert 0 <= content["random_cell"]["low"] <= content["random_cell"]["value"] <= content["random_cell"]["high"] <= 1
    assert content["gap_points"] == pytest.approx(100 * (content["random_cell"]["value"] - 0.5))


def test_insignificant_gap_is_not_claimed() -> None:
    same = Interval(0.9, 0.8, 0.95)
    found = LeakCheck(metric="balanced_accuracy", grouped=same, random_cell=same, gap=Interval(0.0, -0.02, 0.01), n=9)
    assert found.describe() == (
        "grouped 0.900, random cells 0.900: +0.0 points, 95 % interval -2.0 to 1.0: "
        "no evidence that knowing the patients helps"
    )


def test_study_split_by_image_is_rejected(
    tmp_path: Path, tiny_catalog: Catalog, tiny_folder: Path, asked: list[list[np.ndarray]]
) -> None:
    study = searched(tmp_path / "runs", tiny_catalog, str(tiny_folder), "random-cell")
    with pytest.raises(UserError, match=r"^study one was itself split by image \(random-cell\).*--protocol grouped"):
        check(study)
    assert asked == []


def test_other_data_are_rejected(study: Study, tmp_path: Path, asked: list[list[np.ndarray]]) -> None:
    other = draw_cells(tmp_path / "other", seed=9)
    with pytest.raises(
        UserError, match=r"^--data .*other: not the data of the search .*give the data that the search used"
    ):
        check(study, "--data", str(other))
    assert asked == []
    assert not (study.folder / "leakcheck.json").exists()


def test_moved_data_are_found_with_the_data_option(
    tmp_path: Path, tiny_catalog: Catalog, tiny_folder: Path, asked: list[list[np.ndarray]]
) -> None:
    study = searched(tmp_path / "runs", tiny_catalog, str(tmp_path / "where they were"))
    with pytest.raises(MissingFile, match="where they were"):
        check(study)
    assert check(study, "--data", str(tiny_folder)) == 0


@pytest.mark.parametrize(
    "error", [NonFiniteLoss("non-finite loss at fold 0"), NonFiniteProbabilities(np.array([3]), 24)]
)
def test_diverging_recipe_writes_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch, error: NonFiniteLoss | NonFiniteProbabilities
) -> None:
    def diverging(*arguments: Any, **settings: Any) -> Iterator[FoldResult]:
        raise error
        yield

    monkeypatch.setattr(leak_check, "cross_validate", diverging)
    with pytest.raises(UserError, match=rf"^the recipe diverges on random-cell folds, .*: {error}"):
        check(study)
    assert not (study.folder / "leakcheck.json").exists()


def test_a_study_that_cannot_be_written_is_refused_before_training(
    study: Study, asked: list[list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", refuse)
        with pytest.raises(UserError, match=r"^cannot write to .*one \(Read-only file system\); make it writable, or"):
            check(study)
    usage = shutil.disk_usage(study.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"^not enough disk space for leakcheck.json"):
        check(study)
    assert asked == []


def test_missing_predictions_are_reported(study: Study, asked: list[list[np.ndarray]]) -> None:
    (study.trial_folder(0) / "seed_3" / "fold_1.json").unlink()
    with pytest.raises(
        UserError, match=r"seed_3/fold_1.json: is missing, but trial 0000 is complete; restore the file from a"
    ):
        check(study)
    assert asked == [], "rejected before training"


def test_predictions_of_other_images_are_rejected_before_training(study: Study, asked: list[list[np.ndarray]]) -> None:
    path = without_checksums(study.trial_folder(0)) / "seed_3" / "fold_1.csv"
    head, first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([head, first, first, *rest]))
    assert first != second
    with pytest.raises(UserError, match=r"restore the f(ile|older) from a backup"):
        check(study)
    assert asked == []


def test_best_json_without_its_trial_is_rejected_before_training(study: Study, asked: list[list[np.ndarray]]) -> None:
    path = without_checksums(study.folder) / "best.json"
    path.write_text(path.read_text().replace('"trial": "0000"', '"trial": "0099"'))
    with pytest.raises(
        UserError, match=r"best.json: field 'trial': the study has no trial 0099; restore the file from a"
    ):
        check(study)
    assert asked == []


CTRL_C = """
from leukemia import leakcheck
from leukemia.delivery import leak_check
from leukemia.base.errors import run_command

def interrupted(*arguments, **settings):
    raise KeyboardInterrupt

leak_check.cross_validate = interrupted
run_command(leakcheck.main)
"""


def test_ctrl_c_has_status_130(study: Study) -> None:
    arguments = ["one", "--runs", str(study.folder.parent), "--device", "cpu"]
    ended = subprocess.run([sys.executable, "-c", CTRL_C, *arguments], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "\ninterrupted; run the same command again\n")
    assert not (study.folder / "leakcheck.json").exists()
