"""A search over several CSVs, and over the split that its data bring."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.course import Course, draw_course
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.reading import Reading
from leukemia.delivery.training_data import load_training_data
from leukemia.study.folder import Study
from search.launch.messages import print_plan
from search.launch.study_folder import created, resumed
from search.planning.plan import Plan, plan_new
from search.planning.request import Request, settings_of
from search.planning.resumption import plan_resumed

SETTINGS = ("data.size_px=32", "train.batch_size=4", "train.epochs=1")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return draw_course(tmp_path / "course")


def request_for(course: Course, *, split_column: str | None = None, folds: int | None = None) -> Request:
    """A search over both CSVs, each given by its path."""
    return Request(
        runs=course.folder.parent / "runs",
        study="one",
        data=str(course.train),
        reading=Reading(also=(str(course.valid),), split_column=split_column),
        given={"settings": settings_of(SETTINGS), **({} if folds is None else {"folds": folds})},
    )


def printed(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=1000)
    print_plan(console, plan)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_several_csvs_are_stored_and_resumed(course: Course) -> None:
    plan = plan_new(request_for(course, folds=2), "search")
    text = printed(plan)
    assert text.count("--split-column") == text.count("12 train, 4 validation images") == 1, "in the note"
    with created(plan) as study:
        content = json.loads((study.folder / "study.json").read_text())["data"]
    assert (content["uri"], content["also"]) == (str(course.train), [str(course.valid)])
    again = Request(runs=plan.folder.parent, study="one")
    assert len(plan_resumed(again).catalog.table) == 16
    # Other paths replace all of those that the study has.
    moved = dataclasses.replace(again, data=str(course.folder), reading=Reading(also=()))
    with resumed(plan_resumed(moved)).lock():
        assert plan_resumed(again).info.data.paths(course.folder) == (course.folder,)


def test_one_path_is_stored_as_before(course: Course) -> None:
    request = dataclasses.replace(request_for(course, folds=2), data=str(course.folder), reading=Reading(also=()))
    assert "also" not in plan_new(request, "search").info.data.to_dict()


def test_a_given_split_decides_the_folds(course: Course) -> None:
    plan = plan_new(request_for(course, split_column="split"), "search")
    assert (plan.info.protocol, plan.info.folds, len(plan.splits.folds)) == ("given", 1, 1)
    text = printed(plan)
    assert "protocol: given, 1 fold, objective" in text
    assert "\nfold 1: 4 images; 0.500 leukemic\nwarning: given protocol: the split is that of the data" in text
    assert "\nracing: has no effect with one fold; every trial runs it" in text
    assert "pausing" not in text
    request = request_for(course, split_column="split")
    pausing = dataclasses.replace(request, study="two", given=request.given | {"pausing": True})
    assert "\npausing: has no effect with one fold" in printed(plan_new(pausing, "search"))
    two = dataclasses.replace(request, study="three", reading=Reading(), given={"pausing": True, "folds": 2})
    assert "\nracing: has no effect with two folds and pausing; every trial runs both unless" in printed(
        plan_new(two, "search")
    )
    with pytest.raises(UserError, match=r"^--folds: the split that --split-column keeps has 1 fold"):
        plan_new(request_for(course, split_column="split", folds=3), "search")


def test_whether_the_split_is_kept_cannot_change_later(course: Course) -> None:
    with created(plan_new(request_for(course, folds=2), "search")) as study:
        folder = study.folder
    again = Request(runs=folder.parent, study="one", reading=Reading(split_column="split"))
    with pytest.raises(UserError, match=r"^--split-column split: the study was started without it; leave it out"):
        plan_resumed(again)
    study = Study.open(folder)
    best = SimpleNamespace(data=study.info.data)
    with pytest.raises(UserError, match=r"^--split-column split: the study was started without it"):
        load_training_data(study, best, data=None, reading=again.reading)  # type: ignore[arg-type]


@pytest.mark.parametrize("spelling", ["SPLIT", " split"])
def test_the_same_column_may_be_spelled_otherwise(course: Course, spelling: str) -> None:
    with created(plan_new(request_for(course, split_column="Split"), "search")) as study:
        folder = study.folder
    again = Request(runs=folder.parent, study="one", reading=Reading(split_column=spelling))
    assert plan_resumed(again).info.protocol == "given"


def test_the_study_records_where_its_split_came_from(course: Course) -> None:
    with created(plan_new(request_for(course, split_column="split"), "search")) as study:
        content = json.loads((study.folder / "study.json").read_text())
    assert (content["protocol"], content["data"]["split_column"]) == ("given", "split")
    assert any(
        note.startswith("the split in the names of the CSVs is kept (--split-column split): 12 train, 4 validation")
        for note in content["data"]["notes"]
    )


@pytest.mark.parametrize(
    ("given", "difference"),
    [
        ({"classes": ("normal=1", "leukemic=0")}, "--classes normal=1 leukemic=0 (the study was started without it)"),
        ({"subject_pattern": r"/(\d)"}, r"--subject-pattern '/(\d)' (the study was started with '/(\d+)\.bmp')"),
    ],
)
def test_options_that_make_other_data_are_named_on_resume(
    course: Course, given: dict[str, Any], difference: str
) -> None:
    request = dataclasses.replace(
        request_for(course, folds=2), reading=Reading(also=(str(course.valid),), subject_pattern=r"/(\d+)\.bmp")
    )
    with created(plan_new(request, "search")) as study:
        folder = study.folder
    again = Request(runs=folder.parent, study="one", reading=Reading(**given))
    with pytest.raises(
        UserError, match=rf"^the data are others with {re.escape(difference)}: fingerprint .*leave this"
    ):
        plan_resumed(again)
    study = Study.open(folder)
    best: Any = SimpleNamespace(data=study.info.data, recipe=Recipe.from_flat(study.info.start))
    with pytest.raises(UserError, match=rf"^the data are others with {re.escape(difference)}"):
        load_training_data(study, best, data=None, reading=again.reading)
    # Words that say the same make no difference.
    same = Request(runs=folder.parent, study="one", reading=Reading(classes=("normal=0", "leukemic=1")))
    assert plan_resumed(same).info.data.classes == ("normal=0", "leukemic=1")
