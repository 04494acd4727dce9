"""A folder of CSVs, and several CSVs: one data set, in which a list without labels is never training data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.course import FULL_SIZE, Course, draw_course, name_course
from PIL import Image

from leukemia.base.errors import MissingFile, UserError
from leukemia.catalog import main
from leukemia.data.catalog import read_catalog
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return draw_course(tmp_path / "course")


def several(*paths: Path) -> tuple[Path, Reading]:
    return paths[0], Reading(also=tuple(map(str, paths[1:])))


def test_a_folder_of_lists_is_read_as_these_lists(course: Course) -> None:
    whole = read_catalog(course.folder)
    ids = sorted(f"new_dataset/{part}/{n}.bmp" for part, size in (("train", 12), ("valid", 4)) for n in range(size))
    assert whole.table["image_id"].tolist() == ids
    assert "without labels, never used for training: resnet_18_test.csv (3 rows)" in "\n".join(whole.remarks)
    # W&B gets the notes, and a CSV may be called like a patient.
    assert ".csv" not in "\n".join(whole.notes)
    listed = read_catalog(*several(course.train, course.valid))
    assert (listed.fingerprint, listed.root) == (whole.fingerprint, course.folder)
    assert read_catalog(course.train).fingerprint == read_catalog(*several(course.train)).fingerprint


def test_the_layout_at_full_size(tmp_path: Path) -> None:
    course = name_course(tmp_path)
    source = find_images(course.folder, Reading(), labels=True)
    assert len(source.rows) == FULL_SIZE["train"] + FULL_SIZE["valid"]
    assert {row.path.parent.name for row in source.rows} == {"train", "valid"}
    test = find_images(course.test, Reading(), labels=False)
    assert [row.name for row in test.rows] == [f"new_dataset/test/{number}.bmp" for number in range(FULL_SIZE["test"])]


def test_lists_in_different_folders_have_ids_relative_to_the_folder_of_both(tmp_path: Path, course: Course) -> None:
    other = draw_course(tmp_path / "other", seed=1)
    catalog = read_catalog(*several(course.train, other.train))
    assert catalog.root == tmp_path
    assert {name.split("/")[0] for name in catalog.table["image_id"]} == {"course", "other"}


def test_the_command_takes_several_lists(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(course.train), str(course.valid)]) == 0
    assert f"{course.train} {course.valid} (layout csv" in capsys.readouterr().out


def test_what_cannot_be_one_data_set(course: Course) -> None:
    with pytest.raises(UserError, match=r"test.csv: a list without labels is no training data; .* with --test$"):
        read_catalog(*several(course.train, course.test))
    with pytest.raises(UserError, match=r"expected one folder, or one or more CSVs, got 2 paths with .*course$"):
        read_catalog(*several(course.train, course.folder))
    with pytest.raises(MissingFile, match=r"no CSV at .*absent.csv; every path after the first"):
        read_catalog(*several(course.train, course.folder / "absent.csv"))
    shutil.copy(course.valid, course.folder / "more.csv")
    with pytest.raises(UserError, match=r"the CSVs have 4 images in common; .*\n  new_dataset/valid/0.bmp in more and"):
        read_catalog(course.folder)


def test_a_folder_with_and_without_labels_is_no_test_set(course: Course) -> None:
    with pytest.raises(UserError, match=r"with labels \(train.csv, valid.csv\) and without \(resnet_18_test.csv\); g"):
        read_catalog(course.folder, labels=False)
    course.train.unlink()
    course.valid.unlink()
    assert len(read_catalog(course.folder, labels=False).table) == 3
    with pytest.raises(
        UserError, match=r"resnet_18_test.csv: expected a column of labels, such as label, found Path; add"
    ):
        read_catalog(course.folder)


def test_other_tables_beside_the_lists(course: Course) -> None:
    (course.folder / "scanner.csv").write_text("name,year\nA,2019\n")
    assert "ignored scanner.csv (1 row): no column of paths" in read_catalog(course.folder).remarks
    (course.folder / "broken.csv").write_text('Path,label\n"new_dataset/train/0.bmp,0\n')
    with pytest.raises(UserError, match=r"broken.csv: row 2: expected "):
        read_catalog(course.folder)


def test_another_table_of_the_same_images_is_joined(course: Course) -> None:
    lists = [path.read_text().splitlines()[1:] for path in (course.train, course.valid)]
    paths = [line.split(",")[0] for lines in lists for line in lines]
    # Images of both parts have the same numbers.
    patients = ["Path,patient_id", *(f"{path},P{number}" for number, path in enumerate(paths))]
    (course.folder / "patients.csv").write_text("\n".join(patients) + "\n")
    catalog = read_catalog(course.folder, Reading(subject_column="patient_id"))
    subjects = dict(zip(catalog.table["image_id"], catalog.table["subject"], strict=True))
    assert subjects == {path: f"P{number}" for number, path in enumerate(paths)}
    remarks = "\n".join(read_catalog(course.folder).remarks)
    assert "columns of another table, joined by path: patient_id" in remarks
    assert "never used for training: resnet_18_test.csv (3 rows); leukemia.final" in remarks


def test_the_example_of_a_submission_is_no_training_data(course: Course) -> None:
    lines = course.test.read_text().splitlines()
    rows = [f"{line},0" for line in lines[1:]]
    (course.folder / "sample_submission.csv").write_text("\n".join(["Path,label", *rows]) + "\n")
    course.test.unlink()
    catalog = read_catalog(course.folder)
    assert len(catalog.table) == 16
    example = "sample_submission.csv (3 rows), by its name the example of a submission"
    assert f"never used for training: {example}" in catalog.remarks


def test_csvs_of_other_names_are_counted_without_names(tmp_path: Path) -> None:
    folder = draw_course(tmp_path / "course").folder
    (folder / "train.csv").rename(folder / "Miller.csv")
    assert read_catalog(folder).parts == "2 CSVs are cross-validated together; give one of them alone to keep it apart"


def test_options_for_lists_apply_to_a_folder_of_lists(course: Course, tmp_path: Path) -> None:
    images = Path(shutil.move(course.folder / "new_dataset", tmp_path / "elsewhere" / "new_dataset"))
    catalog = read_catalog(course.folder, Reading(base=str(images.parent)))
    assert catalog.root == images.parent
    with pytest.raises(UserError, match=r"--subject-column who: expected one of the columns Path, label"):
        read_catalog(course.folder, Reading(base=str(images.parent), subject_column="who"))


def test_a_copy_of_cnmc_has_the_subjects_of_renumbered_images(course: Course, tmp_path: Path) -> None:
    images = sorted((course.folder / "new_dataset").rglob("*.bmp"))
    for position, path in enumerate(images):
        name, prefix = ("all", "") if int(path.stem) % 2 else ("hem", "H")
        folder = tmp_path / "cnmc" / f"fold_{position % 3}" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(folder / f"UID_{prefix}{position // 4}_{position}_1_{name}.bmp")
    catalog = read_catalog(course.folder, Reading(subjects_from=str(tmp_path / "cnmc")))
    assert catalog.has_all_subjects
    assert catalog.protocols == ("grouped", "random-cell")
