"""A search, its final model and a prediction on data as people have them: other layouts than that of C-NMC."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.command import Command
from helpers.course import draw_course
from helpers.layouts import draw_fields, write_patients
from helpers.searches import ONE_AT_A_TIME, RECIPE, ROOT
from helpers.subclasses import draw_folders

from leukemia import final, predict
from leukemia.config.recipe import Recipe
from leukemia.study.best import Best
from leukemia.study.folder import Study

pytestmark = pytest.mark.slow

SETTINGS = [
    argument for key, value in (RECIPE | {"train.epochs": 1}).items() for argument in ("--set", f"{key}={value}")
]
SEARCH = ["--trials=1", "--folds=2", "--repeats=0", "--quiet", *SETTINGS, *ONE_AT_A_TIME]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A data set, how it is searched and tested, and what the records must say of it."""

    options: list[str]
    """Arguments of the search, with paths below the test's own folder."""

    test: list[str]
    """Arguments of the final model."""

    new: str
    """What the model then classifies."""

    images: int
    """Number of training images."""

    protocol: str
    """How the search splits them."""

    tested: int | None
    """Number of test images that are scored; None if they have no labels."""

    notes: list[str]
    """Beginnings of notes on the training data, which are kept."""

    printed: str
    """What the search prints of the data, among other things."""


def draw_training_course(folder: Path) -> Case:
    draw_course(folder / "course", train=12, valid=4, test=5)
    return Case(
        options=["--data", "course"],
        test=["--test", "course/resnet_18_test.csv", "--submission", "submission.csv"],
        new="course/resnet_18_test.csv",
        images=16,
        protocol="random-cell",
        tested=None,
        notes=["the data have a split, in the names of the CSVs (12 train, 4 validation images)"],
        printed="without labels, never used for training: resnet_18_test.csv (5 rows)",
    )


def draw_stages(folder: Path) -> Case:
    draw_folders(folder / "stages", per_folder=4)
    draw_folders(folder / "later", per_folder=2, seed=1)
    return Case(
        options=["--data", "stages", "--classes", "normal=Benign", "leukemic=Early,Pre,Pro"],
        test=["--test", "later"],
        new="later/Pre",
        images=16,
        protocol="random-cell",
        tested=8,
        notes=["classes (images): normal = Benign (4); leukemic = Early (4), Pre (4), Pro (4)"],
        printed="leukemic = Early (4), Pre (4), Pro (4)",
    )


def draw_whole_fields(folder: Path) -> Case:
    draw_fields(folder / "fields", 16)
    draw_fields(folder / "later", 6, seed=1)
    return Case(
        options=["--data", "fields"],
        test=["--test", "later"],
        new="later/Im002_1.png",
        images=16,
        protocol="random-cell",
        tested=6,
        notes=["labels are read from the names, which are those of ALL-IDB"],
        printed="whole images, scaled down to 32 px",
    )


def write_list_of_patients(folder: Path) -> Case:
    write_patients(folder / "patients.csv", patients=8)
    write_patients(folder / "later.csv", patients=4, first=9, seed=1)
    return Case(
        options=["--data", "patients.csv", "--subject-column", "Patient ID"],
        test=["--test", "later.csv"],
        new="later.csv",
        images=16,
        protocol="grouped",
        tested=8,
        notes=[],
        printed="protocol: grouped, 2 folds",
    )


def check_course(study: Study, folder: Path) -> None:
    rows = list(csv.reader((folder / "submission.csv").open(newline="")))
    assert [row[0] for row in rows] == ["ID", *(f"new_dataset/test/{number}.bmp" for number in range(5))]
    assert {row[1] for row in rows[1:]} <= {"0", "1"}


def check_stages(study: Study, folder: Path) -> None:
    metrics = json.loads((study.folder / "final" / "metrics.json").read_text())
    assert {each["name"]: each["n"] for each in metrics["test"]["subclasses"]} == {"Early": 2, "Pre": 2, "Pro": 2}


def check_whole_fields(study: Study, folder: Path) -> None:
    delivered = Recipe.load(study.folder / "final" / "recipe.json")
    assert study.recipe(0).data.fit == delivered.data.fit == "resize"
    assert "\nInput: whole images, scaled down to 32 px" in (study.folder / "final" / "MODEL_CARD.md").read_text()


def check_patients(study: Study, folder: Path) -> None:
    assert study.info.data.subject_column == "Patient ID"
    groups = study.out_of_fold(0, 0).groupby("group")
    assert len(groups) == 8
    assert (groups["fold"].nunique() == 1).all()


@pytest.mark.parametrize(
    ("draw", "check"),
    [
        (draw_training_course, check_course),
        (draw_stages, check_stages),
        (draw_whole_fields, check_whole_fields),
        (write_list_of_patients, check_patients),
    ],
    ids=["course", "classes", "fields", "patients"],
)
def test_a_data_set_is_searched_tested_and_its_model_used(
    draw: Callable[[Path], Case],
    check: Callable[[Study, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    case = draw(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_ADDRESS": "local"}
    search = Command("search.run", [*case.options, "--study", "one", *SEARCH], tmp_path, environment)
    assert search.wait(300) == 0
    assert search.stderr == ""
    assert case.printed in search.stdout
    study = Study(tmp_path / "runs" / "one")
    assert study.info.protocol == case.protocol
    assert len(study.out_of_fold(0, 0)) == case.images
    best = Best.load(study.folder / "best.json")
    assert best.n == case.images
    assert 0 <= best.score.raw <= 1
    report = (study.folder / "report.html").read_text(encoding="utf-8")
    for note in case.notes:
        assert any(each.startswith(note) for each in study.info.data.notes), study.info.data.notes
        assert note in report

    monkeypatch.chdir(tmp_path)
    assert final.main(["--best", "one", "--device", "cpu", *case.test]) == 0
    test = json.loads((study.folder / "final" / "metrics.json").read_text())["test"]
    if case.tested is None:
        assert test is None
    else:
        assert test["n"] == case.tested
        assert all(0 <= test[score]["value"] <= 1 for score in ("accuracy", "balanced_accuracy", "auroc"))
    capsys.readouterr()
    assert predict.main(["--model", "runs/one/final", case.new, "--device", "cpu"]) == 0
    predicted = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert predicted
    assert all(math.isfinite(float(row["probability_leukemic"])) for row in predicted)
    check(study, tmp_path)
