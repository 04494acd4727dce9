"""The split that a data set brings: said, never merged in silence, and kept where asked."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from helpers.course import Course, draw_course
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import Splits, choose_folds, choose_protocol, make_splits
from leukemia.data.reading import Reading
from leukemia.delivery.evaluation import read_test_set

KEPT = Reading(split_column="split")


def draw(folder: Path, names: Iterable[str]) -> Path:
    """Small images, all different."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def listing(folder: Path, header: str, values: Iterable[str]) -> Path:
    """A CSV of images whose labels alternate, with a further column."""
    rows = [f"{number}.png,{number % 2},{value}" for number, value in enumerate(values)]
    draw(folder, [f"{number}.png" for number in range(len(rows))])
    path = folder / "list.csv"
    path.write_text("\n".join([f"Path,label,{header}", *rows]) + "\n")
    return path


def sizes(splits: Splits) -> list[tuple[int, int]]:
    return [(len(fold.training), len(fold.validation)) for fold in splits.folds]


def split(catalog: Catalog) -> Splits:
    protocol = choose_protocol(catalog, None)
    return make_splits(catalog, choose_folds(catalog, None, 2), 0, protocol)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return draw_course(tmp_path / "course")


def test_csvs_are_cross_validated_together_which_is_said(course: Course) -> None:
    catalog = read_catalog(course.folder)
    assert catalog.notes[-2] == (
        "the data have a split, in the names of the CSVs (12 train, 4 validation images), that is not kept: all are "
        "cross-validated together; --split-column split keeps it"
    )
    assert catalog.parts == "12 train, 4 validation images, together; --split-column split keeps it"
    assert split(catalog).protocol == "random-cell"


def test_csvs_are_kept_apart(course: Course) -> None:
    catalog = read_catalog(course.folder, KEPT)
    splits = split(catalog)
    assert (splits.protocol, sizes(splits)) == ("given", [(12, 4)])
    assert set(splits.folds[0].validation) == {f"new_dataset/valid/{number}.bmp" for number in range(4)}
    assert catalog.fingerprint == read_catalog(course.folder).fingerprint
    assert (catalog.notes[-3], catalog.notes[-1]) == (
        "the split in the names of the CSVs is kept (--split-column split): 12 train, 4 validation images",
        "subjects are unknown, so patients may be on both sides of the given split",
    )


@pytest.mark.parametrize("header", ["split", "Set", "SUBSET", "partition"])
def test_a_column_with_parts(tmp_path: Path, header: str) -> None:
    path = listing(tmp_path, header, [*["train"] * 6, *["Val"] * 2, *["TEST"] * 2])
    together = read_catalog(path)
    assert together.notes == (
        f"the data have a split, in the column {header.lower()} (6 train, 2 validation, 2 test images), that is not "
        f"kept: all are cross-validated together; --split-column {header.lower()} keeps it",
        "classes (images): normal = 0 (5); leukemic = 1 (5)",
    )
    assert together.table["split"].tolist() == [*["train"] * 6, *["validation"] * 2, *["test"] * 2]
    kept = read_catalog(path, Reading(split_column=header))
    assert sizes(split(kept)) == [(6, 2)]
    assert "; 2 images of test are left out, for leukemia.final --test" in kept.notes[0]
    test = read_test_set(path, Reading(split_column=header), Recipe())
    assert test.table["image_id"].tolist() == ["8.png", "9.png"]


def test_train_and_test_alone_are_cross_validated_over_train(tmp_path: Path) -> None:
    catalog = read_catalog(listing(tmp_path, "split", [*["train"] * 8, *["test"] * 2]), KEPT)
    assert split(catalog).protocol == "random-cell"
    assert sizes(split(catalog)) == [(4, 4), (4, 4)]
    assert "8 train images, which is cross-validated; 2 images of test are left out" in catalog.notes[0]


@pytest.mark.parametrize("values", [("0", "1", "2"), ("1.0", "2.0", "3.0"), ("fold_0", "fold_1", "fold_2")])
def test_a_column_with_folds(tmp_path: Path, values: tuple[str, ...]) -> None:
    path = listing(tmp_path, "fold", [value for value in values for _ in range(4)])
    assert "4 fold" in read_catalog(path).parts
    catalog = read_catalog(path, Reading(split_column="fold"))
    splits = split(catalog)
    assert (splits.protocol, sizes(splits)) == ("given", [(8, 4)] * 3)
    assert splits.folds[0].validation == ("0.png", "1.png", "2.png", "3.png")


@pytest.mark.parametrize(
    ("header", "values"),
    [("is_valid", "0011"), ("isValid", ("False", "False", "True", "True")), ("val", ("0.0", "0.0", "1.0", "1.0"))],
)
def test_a_flag_is_the_part_that_its_column_is_called(tmp_path: Path, header: str, values: Iterable[str]) -> None:
    catalog = read_catalog(listing(tmp_path, header, values), Reading(split_column=header))
    assert (sizes(split(catalog)), split(catalog).folds[0].validation) == ([(2, 2)], ("2.png", "3.png"))


def test_a_flag_of_test_is_left_out_of_the_training_data(tmp_path: Path) -> None:
    path, reading = listing(tmp_path, "is_test", "000010"), Reading(split_column="is_test")
    assert read_catalog(path, reading).table["image_id"].tolist() == [f"{number}.png" for number in (0, 1, 2, 3, 5)]
    assert read_test_set(path, reading, Recipe()).table["image_id"].tolist() == ["4.png"]


@pytest.mark.parametrize(("header", "values"), [("set", "0011"), ("is_train", "0011"), ("holdout", ("no", "Yes") * 2)])
def test_a_flag_without_a_part_is_refused(tmp_path: Path, header: str, values: Iterable[str]) -> None:
    path = listing(tmp_path, header, values)
    with pytest.raises(UserError, match=rf"^--split-column {header}: the column has (0 and 1|Yes and no), which may"):
        read_catalog(path, Reading(split_column=header))
    said = ("the column set is not read as a split: 0 and 1 may be folds or parts",) if header == "set" else ()
    assert read_catalog(path).notes == (*said, "classes (images): normal = 0 (2); leukemic = 1 (2)")
    path = listing(tmp_path, "kfold", "0011")
    assert sizes(split(read_catalog(path, Reading(split_column="kfold")))) == [(2, 2)] * 2


def test_many_folds_are_counted(tmp_path: Path) -> None:
    catalog = read_catalog(listing(tmp_path, "fold", [str(number // 2) for number in range(24)]))
    assert catalog.parts == "12 parts with 2 to 2 images, together; --split-column fold keeps it"


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train/hem/1", "train/all/2", "val/hem/3", "val/all/4"], "2 train, 2 validation images"),
        (["Training/0/1", "Training/1/2", "Testing/0/3", "Testing/1/4"], "2 train, 2 test images"),
        (["hem/train/1", "all/train/2", "hem/test/3", "all/test/4"], "2 train, 2 test images"),
        (["cells/train/hem/1", "cells/train/all/2", "cells/valid/hem/3"], "2 train, 1 validation images"),
        (["fold_0/hem/UID_H1_1_1_hem", "fold_1/all/UID_2_1_1_all"], "1 fold 0, 1 fold 1 images"),
    ],
)
def test_folders_with_parts(tmp_path: Path, names: list[str], parts: str) -> None:
    catalog = read_catalog(draw(tmp_path, [f"{name}.png" for name in names]))
    assert catalog.parts == f"{parts}, together; --split-column split keeps it"
    labels = [int(not {"hem", "0"} & set(Path(name).parts)) for name in catalog.table["image_id"]]
    assert catalog.table["label"].tolist() == labels


def test_a_part_without_labels_is_no_training_data(tmp_path: Path) -> None:
    names = [f"{part}/{name}/{number}.png" for part in ("train", "val") for name in ("hem", "all") for number in (1, 2)]
    draw(tmp_path, [*names, "test/1.png", "test/2.png"])
    catalog = read_catalog(tmp_path, KEPT)
    assert catalog.excluded == ("test: 2 images without labels",)
    assert sizes(split(catalog)) == [(4, 4)]
    draw(tmp_path, ["more/1.png", "2.png"])
    with pytest.raises(
        UserError,
        match=r"(?m)must be in the parts of the split \(test, train, val\); .*\n  more/\n  2.png\n.* ignore=more$",
    ):
        read_catalog(tmp_path)


WHOLE = "--split-column {}: the test data have no part test, so all of them are used"
NONE = "no {} has both training and validation images in the given split"
PARTS = ("train", "train", "test", "test", "validation", "validation")


def test_subjects_on_both_sides_are_counted(tmp_path: Path) -> None:
    names = [f"UID_H{n}_1_1_hem" for n in (1, 2)] + [f"UID_{n}_{k}_1_all" for n in (3, 4) for k in (1, 2)]
    folders = ["train/hem", "val/hem", "train/all", "val/all", "train/all", "val/all"]
    draw(tmp_path, [f"{folder}/{name}.png" for folder, name in zip(folders, names, strict=True)])
    catalog = read_catalog(tmp_path, KEPT)
    assert catalog.notes[-1] == (
        "warning: 2 of 4 groups of subjects have both training and validation images in the given split (2 of 3 "
        "validation images), so scores are too optimistic for new patients"
    )
    apart = [f"{folders[n]}/{names[n]}.png" for n in (0, 1, 2, 5)]
    draw(tmp_path / "apart", apart)
    assert read_catalog(tmp_path / "apart", KEPT).notes[-1] == NONE.format("subject")
    draw(tmp_path / "apart", [*apart, "val/all/cell.png"])
    assert read_catalog(tmp_path / "apart", KEPT).notes[-1] == NONE.format("known subject")


def test_subjects_of_the_test_images_are_compared_too(tmp_path: Path) -> None:
    draw(tmp_path, [f"{number}.png" for number in range(6)])
    rows = [f"{number}.png,{number % 2},{'Pp'[number % 2]}{number // 4},{part}" for number, part in enumerate(PARTS)]
    (tmp_path / "list.csv").write_text("\n".join(["Path,label,subject,split", *rows]) + "\n")
    (kept,) = [note for note in read_catalog(tmp_path / "list.csv", KEPT).notes if "is kept" in note]
    assert kept.endswith(
        "2 images of test are left out, for leukemia.final --test, although 1 of their subjects have other images here"
    )


def test_a_column_that_is_no_split_is_said(tmp_path: Path) -> None:
    path = listing(tmp_path, "set", ["a", "b", "train", "c"])
    assert read_catalog(path).notes == (
        "the column set is not read as a split: expected train, validation and test, or folds numbered from 0 or 1",
        "classes (images): normal = 0 (2); leukemic = 1 (2)",
    )
    with pytest.raises(
        UserError, match=r"^--split-column set: expected train, .*\n  a: 1 images\n  b: 1 images\n  c: 1"
    ):
        read_catalog(path, Reading(split_column="set"))


def test_what_cannot_be_kept(tmp_path: Path, course: Course) -> None:
    path = listing(tmp_path, "split", ["val", "val", "test", "test"])
    with pytest.raises(UserError, match=r"^--split-column split: expected train, .* got 2 validation, 2 test images"):
        read_catalog(path, KEPT)
    for data, column in ((path, "fold"), (course.folder, "fold"), (course.train, "split")):
        with pytest.raises(UserError, match=rf"^--split-column {column}: .* has no such split; give a column"):
            read_catalog(data, Reading(split_column=column))


def test_options_that_contradict_the_split(course: Course) -> None:
    kept = read_catalog(course.folder, KEPT)
    with pytest.raises(
        UserError, match=r"^--folds: the split that --split-column keeps has 1 fold of .*, got 5; leave"
    ):
        choose_folds(kept, 5, 5)
    with pytest.raises(UserError, match=r"^--protocol random-cell: --split-column keeps the split of the data; leave"):
        choose_protocol(kept, "random-cell")
    with pytest.raises(UserError, match=r"^--protocol given: expected a split .*; give --split-column$"):
        choose_protocol(read_catalog(course.train), "given")


def test_a_given_split_needs_both_classes_on_each_side(tmp_path: Path) -> None:
    catalog = read_catalog(listing(tmp_path, "split", ["train", "train", "train", "val"]), KEPT)
    with pytest.raises(UserError, match=r"fold 1 of 1 would have only one class on one side; correct the split of the"):
        split(catalog)


def test_a_test_set_without_the_split_is_used_whole(course: Course) -> None:
    test = read_test_set(course.test.rename(course.folder / "unseen.csv"), KEPT, Recipe())
    assert len(test.table) == 3
    assert test.notes == (WHOLE.format("split"),)


@pytest.mark.parametrize(
    ("name", "size", "note"),
    [
        ("resnet_18_test", 4, "--split-column split: the 4 images of test, of 4"),
        ("valid", 4, WHOLE.format("split")),
        ("all", 2, "--split-column split: the 2 images of test, of 4"),
    ],
)
def test_a_csv_called_like_a_part_is_not_split_by_its_folders(tmp_path: Path, name: str, size: int, note: str) -> None:
    paths = [f"{part}_imgs/{number}.png" for part in ("training", "testing") for number in range(2)]
    path = draw(tmp_path, paths) / f"{name}.csv"
    path.write_text("\n".join(["Path", *paths]) + "\n")
    test = read_test_set(path, KEPT, Recipe())
    assert (len(test.table), test.notes) == (size, (note,))


@pytest.mark.parametrize(
    ("header", "values"),
    [("fold", "444"), ("fold", ("-1", "-1", "-1")), ("fold", "035"), ("set", ("train", "val", "")), ("is_test", "000")],
)
def test_a_test_set_with_other_values_is_used_whole(tmp_path: Path, header: str, values: Iterable[str]) -> None:
    test = read_test_set(listing(tmp_path, header, values), Reading(split_column=header), Recipe())
    assert (len(test.table), test.notes[0]) == (3, WHOLE.format(header))


@pytest.mark.parametrize(("header", "value"), [("fold", "test"), ("is_test", "1"), ("is_test", "True")])
def test_a_test_part_that_is_not_of_all_rows_is_refused(tmp_path: Path, header: str, value: str) -> None:
    path = listing(tmp_path, header, [value, ""])
    with pytest.raises(UserError, match=rf"^--split-column {header}: expected .*; correct these:\n  no value: 1"):
        read_test_set(path, Reading(split_column=header), Recipe())


def test_only_values_that_are_no_folds_are_listed(tmp_path: Path) -> None:
    path = listing(tmp_path, "fold", ["0", "1", ""])
    with pytest.raises(UserError, match=r"in all rows; correct these:\n  no value: 1 images$"):
        read_catalog(path, Reading(split_column="fold"))
    listing(tmp_path, "fold", ["0", "10", "2"])
    with pytest.raises(UserError, match=r"expected folds numbered from 0 or 1 without gaps, got 0, 2, 10$"):
        read_catalog(path, Reading(split_column="fold"))


@pytest.mark.parametrize("test", ["test", "-1"])
def test_folds_and_a_test_set_in_one_column_are_refused_with_the_way_out(tmp_path: Path, test: str) -> None:
    draw(tmp_path, [f"{number}.png" for number in range(4)])
    rows = [f"{number}.png,{number % 2},{fold}" for number, fold in enumerate(["0", "1", "2", test])]
    (tmp_path / "list.csv").write_text("\n".join(["Path,label,fold", *rows]) + "\n")
    with pytest.raises(UserError, match=rf"got {test} beside numbers; move the rows of a test set to a CSV of"):
        read_catalog(tmp_path / "list.csv", Reading(split_column="fold"))
