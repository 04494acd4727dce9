"""``--submission``: the classes of a test list, with its own ids in its order."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from helpers.course import Course, draw_course
from helpers.deliveries import deliver

from leukemia import predict
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.delivery.image_list import named_images
from leukemia.study.folder import Study


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return draw_course(tmp_path / "course", test=12)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_final_and_predict_write_the_same_submission(delivered: Study, course: Course, tmp_path: Path) -> None:
    assert deliver(delivered, "--test", course.test, "--submission", tmp_path / "final.csv") == 0
    found = rows_of(tmp_path / "final.csv")
    assert found[0] == ["ID", "label"]
    assert [row[0] for row in found[1:]] == [f"new_dataset/test/{number}.bmp" for number in range(12)]
    assert {row[1] for row in found[1:]} <= {"0", "1"}
    model = str(delivered.folder / "final")
    options = ["--device", "cpu", "--submission", str(tmp_path / "predict.csv")]
    assert predict.main(["--model", model, str(course.test), *options]) == 0
    assert rows_of(tmp_path / "predict.csv") == found


def test_a_tested_model_writes_a_submission_with_the_ids_of_another_list(
    delivered: Study, course: Course, tmp_path: Path, untrained: list[Recipe]
) -> None:
    assert deliver(delivered, "--test", course.test) == 0
    rows = [f"cell {number},new_dataset/test/{number}.bmp" for number in reversed(range(12))]
    (course.folder / "own_ids.csv").write_text("\n".join(["id,Path", *rows]) + "\n")
    written = tmp_path / "submission.csv"
    assert deliver(delivered, "--test", course.folder / "own_ids.csv", "--submission", written) == 0
    assert [row[0] for row in rows_of(written)] == ["ID", *(f"cell {number}" for number in reversed(range(12)))]
    assert untrained == []


@pytest.mark.usefixtures("no_training")
def test_what_is_refused_before_training(study: Study, course: Course, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^--submission: it has the classes of the test images; add a --test$"):
        deliver(study, "--submission", tmp_path / "new.csv")
    with pytest.raises(UserError, match=r"^--submission: it has a row for every test image, some of which --drop-over"):
        deliver(study, "--test", course.test, "--drop-overlap", "--submission", tmp_path / "new.csv")
    (tmp_path / "old.csv").write_text("mine")
    with pytest.raises(UserError, match=r"^--submission .*old.csv: exists already; give another name"):
        deliver(study, "--test", course.test, "--submission", tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text() == "mine"
    with pytest.raises(UserError, match=r"^--submission .*new.csv: no folder at .*absent; create it"):
        deliver(study, "--test", course.test, "--submission", tmp_path / "absent" / "new.csv")
    course.test.write_text("ID,Path\na,new_dataset/test/0.bmp\na,new_dataset/test/1.bmp\n,new_dataset/test/2.bmp\n")
    with pytest.raises(UserError, match=r"expected another ID in every row .*\n  a\n  no ID$"):
        deliver(study, "--test", course.test, "--submission", tmp_path / "new.csv")
    words = [f"new_dataset/test/{number}.bmp,{word}" for number, word in enumerate(["a", "b", "c"])]
    course.test.write_text("\n".join(["Path,label", *words]) + "\n")
    classes = ("--classes", "normal=a", "leukemic=b", "ignore=c")
    with pytest.raises(UserError, match=r"^--submission: expected a prediction for every image .* but 1 of 3 are left"):
        deliver(study, "--test", course.test, *classes, "--submission", tmp_path / "new.csv")


def test_the_labels_of_a_list_to_predict_do_not_matter(course: Course) -> None:
    paths = [row[0] for row in rows_of(course.test)[1:]]
    course.test.write_text("\n".join(["Path,label", *(f"{path},Early" for path in paths)]) + "\n")
    assert [image.name for image in named_images([course.test])] == paths
