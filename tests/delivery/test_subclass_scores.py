"""Subclasses from the data to the report of a study, and to the metrics, predictions and report of its model."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from helpers.deliveries import deliver, metrics_of, searched
from helpers.studies import change_info
from helpers.subclasses import draw_folders

from leukemia.base.errors import UserError
from leukemia.base.record import read_content, write_record
from leukemia.data.catalog import read_catalog
from leukemia.data.folds import Splits
from leukemia.data.reading import Reading
from leukemia.report import main as report
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.subclasses import subclasses_of
from leukemia.tracking.names import files
from search.launch.study_folder import created
from search.planning.plan import plan_new
from search.planning.request import Request
from search.planning.resumption import plan_resumed

NAMES = ("normoblast", "stage 1", "stage 2")
CLASSES = ("normal=normoblast", "leukemic=stage 1,stage 2")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folders(tmp_path_factory.mktemp("cells"), names=NAMES)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set without one of the words."""
    return draw_folders(tmp_path_factory.mktemp("fields"), names=NAMES[:2], seed=1, per_folder=4)


@pytest.fixture
def study(tmp_path: Path, cells: Path) -> Study:
    """A finished study that records ``--classes``."""
    study = searched(tmp_path / "runs", read_catalog(cells, Reading(classes=CLASSES)), str(cells), "random-cell")
    data = dataclasses.replace(study.info.data, classes=CLASSES)
    best = Best.of(study)
    change_info(study, data=data.to_dict())
    dataclasses.replace(best, data=data).save(study.folder / "best.json")
    return Study.open(study.folder)


@pytest.mark.usefixtures("untrained")
def test_a_model_has_scores_per_subclass(study: Study, fields: Path) -> None:
    deliver(study, "--test", fields)
    metrics = metrics_of(study)
    # Mapped to a class with several words, although this test set has only one of them.
    (tested,) = metrics["test"]["subclasses"]
    assert (tested["name"], tested["label"], tested["n"]) == ("stage 1", 1, 4)
    with (study.folder / "final" / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["subclass"] for row in rows] == [""] * 4 + ["stage 1"] * 4
    correct = [row["predicted"] == row["label"] for row in rows if row["subclass"]]
    assert tested["accuracy"]["value"] == sum(correct) / 4
    assert [(each["name"], each["n"]) for each in metrics["out_of_fold"]["subclasses"]] == [
        ("stage 1", 6),
        ("stage 2", 6),
    ]
    # What W&B gets.
    sent = files(study, [study.folder / "final"])["predictions.csv"]
    assert str(sent).splitlines()[0] == "row,label,subclass,probability_leukemic,predicted"
    page = (study.folder / "final" / "report.html").read_text()
    assert "Subclasses of the test set" in page
    assert "Subclasses out of fold" in page


@pytest.mark.usefixtures("no_training")
def test_the_classes_of_a_test_set_can_be_given_at_the_second_try(study: Study, tmp_path: Path) -> None:
    data = draw_folders(tmp_path / "other", names=("neg", "pos"), seed=2, per_folder=2)
    with pytest.raises(UserError, match="found images in folders with other names") as caught:
        deliver(study, "--test", data)
    assert "write each of neg,pos after its class" in str(caught.value)
    typed = ["--classes", "normal=neg", "leukemic=pos"]
    with pytest.raises(UserError, match=r"^--classes and --label-column say here how a test set is read"):
        deliver(study, *typed)
    # Training is the next step.
    with pytest.raises(NameError, match="fit"):
        deliver(study, "--test", data, *typed)


def test_the_report_of_a_study_has_scores_per_subclass(study: Study) -> None:
    assert report([study.name, "--runs", str(study.folder.parent)]) == 0
    page, seen = (study.folder / "report.html").read_text(), study.out_of_fold(0, 0)
    rows = seen[seen["image_id"].str.startswith("stage 2")]
    share = ((rows["probability_leukemic"] >= 0.5) == rows["label"]).mean()
    assert f'<td>stage 2</td><td>leukemic</td><td class="number">6</td><td>{share:.3f} (' in page


def test_a_split_without_subclasses_is_as_before(study: Study) -> None:
    """Those of earlier versions, and of data without subclasses."""
    path = study.folder / "splits.json"
    known = Splits.load(path, study.info.data.fingerprint)
    assert known.subclasses is not None
    content = read_content(path)
    del content["subclasses"]
    write_record(path, content)
    without = Splits.load(path, study.info.data.fingerprint)
    assert without.sha256() == known.sha256()
    without.save(path)
    assert "subclasses" not in json.loads(path.read_text())
    assert subclasses_of(study, Best.of(study)) == ()


def test_a_search_records_the_mapping_and_resumes_with_it(tmp_path: Path, cells: Path) -> None:
    given = {"folds": 2, "settings": {}}
    request = Request(
        data=str(cells), runs=tmp_path / "runs", study="mapped", reading=Reading(classes=CLASSES), given=given
    )
    plan = plan_new(request, "search")
    assert plan.info.data.classes == CLASSES
    assert plan.info.data.notes == ["classes (images): normal = normoblast (6); leukemic = stage 1 (6), stage 2 (6)"]
    assert plan.splits.subclasses is not None
    assert {name: len(each) for name, each in plan.splits.subclasses.items()} == {"stage 1": 6, "stage 2": 6}
    with created(plan):
        pass
    again = plan_resumed(Request(runs=request.runs, study="mapped"))
    assert again.info.data == plan.info.data
    assert again.splits == plan.splits
