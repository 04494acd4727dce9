"""Catalogues of every layout, and the messages for invalid data sets."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from leukemia import catalog as catalog_command
from leukemia.base.errors import MissingFile, UserError
from leukemia.catalog import main
from leukemia.data import hashes
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.description import describe
from leukemia.data.groups import group_names
from leukemia.data.pixels import decode, pixel_sha256, read_image
from leukemia.data.reading import Reading

REAL = pytest.mark.skipif("LEUKEMIA_DATA" not in os.environ, reason="LEUKEMIA_DATA is unset: no real images available")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LEUKEMIA_CACHE", str(folder))
    return folder


def draw(path: Path, number: int, size: tuple[int, int] = (12, 10)) -> Path:
    """An image whose pixels depend only on the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def cnmc(tmp_path: Path) -> Path:
    """Three folds, subjects 20 and 21 with shared pixels, h3 = H3, a pair inside H3, and a labelled test phase."""
    data = tmp_path / "C-NMC mit Umläuten"
    training = data / "C-NMC_training_data"
    draw(training / "fold_0/all/UID_20_1_1_all.bmp", 1)
    draw(training / "fold_2/all/UID_21_1_1_all.bmp", 1)
    draw(training / "fold_1/all/UID_5_1_1_all.bmp", 2)
    draw(training / "fold_0/hem/UID_h3_1_1_hem.bmp", 3)
    draw(training / "fold_1/hem/UID_H3_1_2_hem.bmp", 4)
    draw(training / "fold_1/hem/UID_H3_1_3_hem.bmp", 4)
    test = data / "C-NMC_test_prelim_phase_data"
    draw(test / "1.bmp", 11)
    draw(test / "2.bmp", 12)
    (data / "C-NMC_test_prelim_phase_data_labels.csv").write_text(
        "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_h49_35_1_hem.bmp,2.bmp,0\n"
    )
    return data


@pytest.fixture
def listed_images(tmp_path: Path) -> Path:
    """A folder with a CSV of four images, two of each class."""
    for number in range(4):
        draw(tmp_path / "set" / "images" / f"{number}.png", number)
    return write_csv(tmp_path, "Path,label", [f"images/{number}.png,{number % 2}" for number in range(4)])


def write_csv(tmp_path: Path, header: str, rows: list[str]) -> Path:
    path = tmp_path / "set" / "train.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def column(catalog: Catalog, name: str) -> dict[str, object]:
    return dict(zip(catalog.table["image_id"], catalog.table[name].tolist(), strict=True))


def test_cnmc_has_subjects_groups_and_duplicates(cnmc: Path) -> None:
    catalog = read_catalog(cnmc)
    assert catalog.layout == "cnmc"
    assert catalog.root == cnmc / "C-NMC_training_data"
    table = catalog.table
    assert table["image_id"].tolist() == [
        "fold_0/all/UID_20_1_1_all.bmp",
        "fold_0/hem/UID_h3_1_1_hem.bmp",
        "fold_1/all/UID_5_1_1_all.bmp",
        "fold_1/hem/UID_H3_1_2_hem.bmp",
        "fold_1/hem/UID_H3_1_3_hem.bmp",
        "fold_2/all/UID_21_1_1_all.bmp",
    ]
    assert table.index.tolist() == list(range(6))
    assert table["label"].tolist() == [1, 0, 1, 0, 0, 1]
    assert str(table["label"].dtype) == "int64"
    assert table["subject"].tolist() == ["20", "H3", "5", "H3", "H3", "21"]
    assert table["group"].tolist() == ["20+21", "H3", "5", "H3", "H3", "20+21"]
    assert set(zip(table["width"], table["height"], strict=True)) == {(12, 10)}
    assert table["pixel_sha256"].tolist() == [pixel_sha256(decode(Path(path))) for path in table["path"]]
    assert catalog.duplicates == (
        ("fold_0/all/UID_20_1_1_all.bmp", "fold_2/all/UID_21_1_1_all.bmp"),
        ("fold_1/hem/UID_H3_1_2_hem.bmp", "fold_1/hem/UID_H3_1_3_hem.bmp"),
    )
    assert catalog.excluded == ("C-NMC_test_prelim_phase_data: 2 images",)
    assert catalog.protocols == ("grouped", "random-cell")
    assert min(map(min, catalog.sizes)) == 10
    assert catalog.has_labels


def test_cnmc_is_found_at_every_depth(cnmc: Path, tmp_path: Path) -> None:
    fingerprint = read_catalog(cnmc).fingerprint
    assert read_catalog(cnmc / "C-NMC_training_data").fingerprint == fingerprint
    assert read_catalog(cnmc.parent).fingerprint == fingerprint
    outer = tmp_path / "outer"
    outer.mkdir()
    cnmc.rename(outer / "moved")
    assert read_catalog(outer).fingerprint == fingerprint


def test_fingerprint_covers_ids_pixels_labels_and_subjects(cnmc: Path) -> None:
    catalog = read_catalog(cnmc)
    rows = catalog.table[["image_id", "pixel_sha256", "label", "subject"]].to_numpy().tolist()
    assert catalog.fingerprint == hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
    draw(cnmc / "C-NMC_training_data/fold_1/all/UID_5_1_1_all.bmp", 99)
    assert read_catalog(cnmc).fingerprint != catalog.fingerprint


def test_flattened_cnmc_keeps_its_subjects(tmp_path: Path) -> None:
    draw(tmp_path / "all" / "UID_7_1_1_all.bmp", 1)
    draw(tmp_path / "hem" / "UID_H9_1_1_hem.bmp", 2)
    catalog = read_catalog(tmp_path)
    assert catalog.layout == "cnmc"
    assert catalog.table["subject"].tolist() == ["7", "H9"]


def test_misplaced_and_misnamed_cnmc_images_are_rejected(cnmc: Path) -> None:
    training = cnmc / "C-NMC_training_data"
    misplaced = draw(training / "fold_0" / "stray.bmp", 5)
    with pytest.raises(UserError, match=r"move these away:\n  fold_0/stray.bmp$"):
        read_catalog(cnmc)
    misplaced.rename(training / "fold_0/all/UID_H8_1_1_hem.bmp")
    with pytest.raises(
        UserError, match=r"the class in the name differs from the folder or label.*\n  fold_0/all/UID_H8_1_1_hem.bmp$"
    ):
        read_catalog(cnmc)


def test_several_copies_are_rejected(cnmc: Path) -> None:
    draw(cnmc / "copy" / "fold_0" / "all" / "UID_1_1_1_all.bmp", 9)
    with pytest.raises(UserError, match=r"several copies of C-NMC; choose one:\n.*C-NMC_training_data\n.*copy"):
        read_catalog(cnmc)


@pytest.mark.parametrize("name", ["C-NMC_test_prelim_phase_data", "C-NMC_test_prelim_phase_data_labels.csv"])
def test_test_phase_is_labelled_by_its_csv(cnmc: Path, name: str) -> None:
    catalog = read_catalog(cnmc / name)
    assert column(catalog, "label") == {"1.bmp": 1, "2.bmp": 0}
    assert column(catalog, "subject") == {"1.bmp": "57", "2.bmp": "H49"}
    assert catalog.layout == "cnmc"


def test_test_phase_may_be_one_folder_deeper(cnmc: Path, tmp_path: Path) -> None:
    outer = tmp_path / "validation_data"
    outer.mkdir()
    for name in ("C-NMC_test_prelim_phase_data", "C-NMC_test_prelim_phase_data_labels.csv"):
        (cnmc / name).rename(outer / name)
    assert column(read_catalog(outer), "label") == {"1.bmp": 1, "2.bmp": 0}


def test_test_phase_without_csv_has_no_labels(cnmc: Path) -> None:
    (cnmc / "C-NMC_test_prelim_phase_data_labels.csv").unlink()
    folder = cnmc / "C-NMC_test_prelim_phase_data"
    catalog = read_catalog(folder, labels=False)
    assert catalog.table["label"].tolist() == [-1, -1]
    assert catalog.table["subject"].tolist() == [None, None]
    assert not catalog.has_labels
    assert "2, without labels (for prediction only)" in describe(catalog, folder)
    with pytest.raises(UserError, match="images without labels"):
        read_catalog(folder)


def test_test_phase_and_its_csv_must_agree(cnmc: Path) -> None:
    folder = cnmc / "C-NMC_test_prelim_phase_data"
    draw(folder / "3.bmp", 13)
    with pytest.raises(UserError, match=r"images of .* are not listed.*\n  3.bmp$"):
        read_catalog(folder)
    assert read_catalog(cnmc / f"{folder.name}_labels.csv").notes == (
        f"1 image in {folder} is not listed in the CSV, and not read",
        "classes (images): normal = 0 (1); leukemic = 1 (1)",
    )
    (folder / "1.bmp").unlink()
    with pytest.raises(UserError, match=r"1 of 2 images does not exist below .*\n  row 2: 1.bmp$"):
        read_catalog(cnmc / f"{folder.name}_labels.csv")


def test_the_csv_of_a_test_phase_must_have_its_columns(cnmc: Path) -> None:
    folder = cnmc / "C-NMC_test_prelim_phase_data"
    (cnmc / f"{folder.name}_labels.csv").write_text("Path,label\n1.bmp,1\n2.bmp,0\n")
    with pytest.raises(
        UserError, match=r"_labels.csv: expected the columns Patient_ID, .*, found Path, label; restore"
    ):
        read_catalog(folder)


def test_a_csv_beside_a_folder_of_images_is_no_test_phase(tmp_path: Path) -> None:
    draw(tmp_path / "images" / "a.png", 1)
    draw(tmp_path / "classes" / "hem" / "a.png", 1)
    draw(tmp_path / "classes" / "all" / "b.png", 2)
    for name in ("images", "classes"):
        (tmp_path / f"{name}_labels.csv").write_text("Path,label\na.png,1\n")
    assert read_catalog(tmp_path / "images", labels=False).layout == "folders"
    assert read_catalog(tmp_path / "classes").layout == "folders"
    with pytest.raises(UserError, match="images without labels"):
        read_catalog(tmp_path / "images")


def test_csv_without_subjects(listed_images: Path) -> None:
    catalog = read_catalog(listed_images)
    assert catalog.layout == "csv"
    assert column(catalog, "label") == {f"images/{number}.png": number % 2 for number in range(4)}
    assert catalog.table["subject"].isna().all()
    assert catalog.table["group"].tolist() == catalog.table["image_id"].tolist()
    assert catalog.protocols == ("random-cell",)
    (note,) = catalog.subject_notes
    assert note.startswith("subjects are unknown, so images of one patient may be on both sides of a split")


def test_csv_with_subjects_mixed_case_header_and_byte_order_mark(tmp_path: Path, listed_images: Path) -> None:
    rows = [f"images/{number}.png, {number % 2}.0 ,p{number // 2}" for number in range(4)]
    path = write_csv(tmp_path, "\ufeffPATH,Label,Subject", rows)
    catalog = read_catalog(path)
    assert catalog.table["subject"].tolist() == ["p0", "p0", "p1", "p1"]
    assert catalog.protocols == ("grouped", "random-cell")
    assert "2 with images of both classes" in describe(catalog, path)


def test_csv_relative_to_a_base(tmp_path: Path, listed_images: Path) -> None:
    moved = listed_images.rename(tmp_path / "elsewhere.csv")
    assert read_catalog(moved, Reading(base=str(tmp_path / "set"))).root == tmp_path / "set"
    with pytest.raises(UserError, match=r"no folder at .*absent; --base is the base folder"):
        read_catalog(moved, Reading(base=str(tmp_path / "absent")))
    with pytest.raises(UserError, match="--base has no effect with"):
        read_catalog(tmp_path / "set", Reading(base=str(tmp_path)))


def test_csv_paths_must_stay_in_their_folder(tmp_path: Path, listed_images: Path) -> None:
    secret = draw(tmp_path / "secret.png", 8)
    (tmp_path / "set" / "link.png").symlink_to(secret)
    rows = ["images/0.png,0", "../secret.png,1", f"{secret},1", "link.png,1", "images/../../secret.png,1", ",0"]
    path = write_csv(tmp_path, "Path,label", [*rows, "../absent.png,1", r"..\secret.png,1", "old/set/link.png,1"])
    with pytest.raises(UserError, match="expected paths inside") as caught:
        read_catalog(path)
    named = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert named == [f"row {number}" for number in range(3, 11)]


def test_csv_links_inside_the_folder_are_followed_and_duplicates_rejected(tmp_path: Path, listed_images: Path) -> None:
    (tmp_path / "set" / "link.png").symlink_to("images/0.png")
    catalog = read_catalog(write_csv(tmp_path, "Path,label", ["link.png,0", "images/../images/1.png,1"]))
    assert catalog.table["image_id"].tolist() == ["images/1.png", "link.png"]
    path = write_csv(tmp_path, "Path,label", ["link.png,0", "images/1.png,1", "images/0.png,1", "./images/1.png,1"])
    with pytest.raises(UserError, match=r"listed twice.*\n  row 2 .*'0', row 4 \(images/0.png\) has '1'$"):
        read_catalog(path)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("Cell,label", ["absent,0"], r"expected a column Path, found Cell, label; no column has the names of images"),
        (
            "Cell,kind",
            ["absent,none"],
            r"expected the columns Path and label, found Cell, kind; no column has the names",
        ),
        ("Cell,kind", ["images/0.png,0"], r"expected a column of labels, such as label, found Cell, kind; add one"),
        ("Path", ["images/0.png"], r"expected a column of labels, such as label, found Path; add one"),
        (
            "images/0.png,0,5",
            ["images/1.png,1,5"],
            r"expected .*, found images/0.png, 0, 5; add a header as the first line$",
        ),
        ("Path,label", [], r"a header but no rows"),
        ("", [], r"the CSV is empty"),
        ("Path,label,LABEL", ["images/0.png,0,0"], r"duplicate column label"),
        ("Path,label", ["images/0.png,0", "images/1.png"], r"expected 2 values in every row.*\n  row 3: 1 values$"),
        (
            "Path,label",
            ["images/0.png,2", "images/1.png,1", "images/2.png,", "images/3.png,x"],
            r"(?m)expected the label 0 \(normal\) or 1 \(leukemic\).*\n  '2': row 2\n  'x': row 5\n  row 4: no label\n"
            r"  write each of 1,2,x after its class, .*: --classes normal=WORD,.* leukemic=WORD,.* ignore=no-label$",
        ),
        ("Path,label", ["images/0.png,1", "images/1.png,1"], r"both classes, found 2 of class 1 \(leukemic\) only"),
        (
            "Path,label",
            ["a.png,0", "b.png,1"],
            r"none of the 2 images exists below .*set, the first is a.png; .*--base",
        ),
    ],
)
def test_csv_errors_are_reported(
    tmp_path: Path, listed_images: Path, header: str, rows: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_catalog(write_csv(tmp_path, header, rows))


@pytest.mark.parametrize(
    ("comments", "message"),
    [
        (["", '"blurred', "", ""], r"row 3: .* quotation marks in pairs \(unexpected end of data\); correct it$"),
        (["", '"blurred', '5"', ""], r"row 3: .*\(a line break in 'blurred\\nimages/2.png,0,5'\)"),
        (["", "", '"blurred', '"sharp"'], r"row 4: .*\(',' expected after '\"'\)"),
        (["", '"blurred', '"",5"', ""], r"row 3: .*\(a line break in 'blurred\\nimages/2.png,0,\",5'\)"),
        (["", "", "", "x" * 200_000], r"row 5: .* each at most 131072 characters, .*\(field larger than"),
    ],
)
def test_no_row_of_a_csv_is_lost_in_a_value(
    tmp_path: Path, listed_images: Path, comments: list[str], message: str
) -> None:
    """A quotation mark that is not closed takes in all rows up to the next one."""
    rows = [f"images/{number}.png,{number % 2},{comment}" for number, comment in enumerate(comments)]
    with pytest.raises(UserError, match=message):
        read_catalog(write_csv(tmp_path, "Path,label,comment", rows))


def test_blank_lines_of_a_csv_are_ignored_and_counted(tmp_path: Path, listed_images: Path) -> None:
    path = write_csv(tmp_path, "", [",", '"Path", label ', "images/0.png,0", " , ", '"images/1.png",1'])
    assert read_catalog(path).table["label"].tolist() == [0, 1]
    with pytest.raises(UserError, match=r"expected the label 0 .*\n  'x': row 6\n  write each of x after "):
        read_catalog(write_csv(tmp_path, "", ["", "Path,label", "", "images/0.png,0", "images/1.png,x"]))


def test_missing_images_of_a_csv_are_named_as_written(tmp_path: Path, listed_images: Path) -> None:
    long = f"images/{'x' * 300}.png"
    rows = ["images/0.png,0", "a/1.png,1", "b/../b/1.png,1", f"{long},0", "/other/9.png,1"]
    (tmp_path / "set" / "images" / "1.png").unlink()
    with pytest.raises(UserError, match=r"4 of 5 images do not exist below .*set; ") as caught:
        read_catalog(write_csv(tmp_path, "Path,label", rows))
    assert str(caught.value).splitlines()[1:] == [
        f"  row {number}: {text.partition(',')[0]}" for number, text in enumerate(rows[1:], start=3)
    ]


def test_csv_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a CSV in UTF-8"):
        read_catalog(draw(tmp_path / "x.png", 0))


def test_csv_of_a_test_set(tmp_path: Path, listed_images: Path) -> None:
    assert read_catalog(listed_images, labels=False).table["label"].tolist() == [0, 1, 0, 1]
    for header, rows in (("Path", ["images/0.png"]), ("Path,label", ["images/0.png,"])):
        catalog = read_catalog(write_csv(tmp_path, header, rows), labels=False)
        assert catalog.table["label"].tolist() == [-1]
    path = write_csv(tmp_path, "Path,label", ["images/0.png,1", "images/1.png,", "images/2.png,x"])
    with pytest.raises(UserError, match=r"\n  'x': row 4\n  row 3: no label\n  write each of x after "):
        read_catalog(path, labels=False)


@pytest.mark.parametrize(
    ("normal", "leukemic"), [("hem", "all"), ("Normal", "Leukemia"), ("benign", "malignant"), ("0", "1")]
)
def test_folders_named_by_class(tmp_path: Path, normal: str, leukemic: str) -> None:
    draw(tmp_path / normal / "a.png", 1, (20, 11))
    draw(tmp_path / leukemic / "deep" / "b.PNG", 2)
    (tmp_path / leukemic / ".DS_Store").write_text("x")
    (tmp_path / leukemic / "readme.txt").write_text("x")
    catalog = read_catalog(tmp_path)
    assert catalog.layout == "folders"
    assert column(catalog, "label") == {f"{normal}/a.png": 0, f"{leukemic}/deep/b.PNG": 1}
    assert column(catalog, "width")[f"{normal}/a.png"] == 20
    assert catalog.protocols == ("random-cell",)
    classes = f"classes (images): normal = {normal} (1); leukemic = {leukemic} (1)"
    ignored = ("ignored 1 file without an image suffix (.txt: 1)",)
    assert catalog.notes == (classes, *ignored)
    draw(tmp_path / "odd" / "c.png", 3)
    draw(tmp_path / "stray.png", 4)
    with pytest.raises(
        UserError,
        match=r"folders named by class \(hem, .*\n  odd/ \(1\)\n  stray.png\n  write .*: --classes normal=",
    ):
        read_catalog(tmp_path)


def test_numbered_folds_with_a_folder_for_each_class_are_no_classes(tmp_path: Path) -> None:
    for number, path in enumerate(["0/hem/a.png", "0/all/b.png", "1/hem/c.png", "1/all/d.png"]):
        draw(tmp_path / path, number)
    # In the order of the paths.
    assert read_catalog(tmp_path).table["label"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(("outer", "inner"), [("hem", "all"), ("Normal", "deep/Leukemic")])
def test_a_folder_of_one_class_within_the_other_is_rejected(tmp_path: Path, outer: str, inner: str) -> None:
    draw(tmp_path / outer / inner / "c.png", 3)
    name = inner.rpartition("/")[2]
    with pytest.raises(UserError, match=rf"^.*: folder {outer}/{inner} is named for both .*'{outer}' is .*'{name}' is"):
        read_catalog(tmp_path)


def test_folders_that_are_not_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"no folder or CSV at .*absent"):
        read_catalog(tmp_path / "absent")
    with pytest.raises(UserError, match="found no images at all"):
        read_catalog(tmp_path)
    (tmp_path / "hem").mkdir()
    (tmp_path / "all").mkdir()
    with pytest.raises(UserError, match="the folders contain no images"):
        read_catalog(tmp_path)
    draw(tmp_path / "all" / "a.png", 1)
    with pytest.raises(UserError, match=r"both classes, found 1 of class 1 \(leukemic\) only"):
        read_catalog(tmp_path)
    other = tmp_path / "other"
    draw(other / "cats" / "a.png", 1)
    with pytest.raises(
        UserError, match=r"found images in cats only, so no folder names a class\n  for a CSV of all images"
    ):
        read_catalog(other)
    draw(other / "dogs" / "a.png", 1)
    with pytest.raises(
        UserError,
        match=r"images in folders with other names; map them, or .*\n  cats \(1\)\n  dogs \(1\)\n  write each",
    ):
        read_catalog(other)
    (other / "cells.csv").write_text("Cell,label\nabsent,0\n")
    with pytest.raises(
        UserError, match=r"or correct the CSV \(.*cells.csv: expected a column Path, found Cell, label; "
    ):
        read_catalog(other)
    (other / "lists").mkdir()
    (other / "lists" / "all.csv").write_text("Path,label\na.png,0\n")
    draw(other / "lists" / "a.png", 2)
    with pytest.raises(UserError, match=r"found lists/all.csv: give its path\n"):
        read_catalog(other)


def test_a_flat_folder_is_accepted_only_without_labels(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 1)
    assert read_catalog(tmp_path, labels=False).table["label"].tolist() == [-1]
    with pytest.raises(UserError, match="images without labels; expected C-NMC's"):
        read_catalog(tmp_path)


def test_all_unreadable_images_are_listed(cnmc: Path) -> None:
    training = cnmc / "C-NMC_training_data"
    first = training / "fold_0/all/UID_20_1_1_all.bmp"
    first.write_bytes(first.read_bytes()[:-50])
    (training / "fold_1/hem/UID_H3_1_2_hem.bmp").write_bytes(b"")
    (training / "fold_2/all/UID_21_1_1_all.bmp").write_text("no image")
    (training / "fold_2/all/UID_21_1_2_all.bmp").symlink_to("gone.bmp")
    (training / "fold_2/all/UID_21_1_3_all.bmp").symlink_to("UID_21_1_3_all.bmp")
    with pytest.raises(UserError, match=r"5 of 8 images cannot be used") as caught:
        read_catalog(cnmc)
    assert str(caught.value).splitlines()[1:] == [
        "  fold_0/all/UID_20_1_1_all.bmp: truncated",
        "  fold_1/hem/UID_H3_1_2_hem.bmp: empty file",
        "  fold_2/all/UID_21_1_1_all.bmp: not an image (BMP, JPEG, PNG, TIFF or WebP)",
        "  fold_2/all/UID_21_1_2_all.bmp: missing",
        "  fold_2/all/UID_21_1_3_all.bmp: too many levels of symbolic links",
    ]


def test_duplicates_with_different_labels_are_rejected(tmp_path: Path, listed_images: Path) -> None:
    draw(tmp_path / "set/images/1.png", 0)
    draw(tmp_path / "set/images/3.png", 2)
    message = (
        r"identical pixels have different labels.*\n  images/0.png \(0\) = images/1.png \(1\)\n  images/2.png \(0\)"
    )
    with pytest.raises(UserError, match=message):
        read_catalog(listed_images)


def test_duplicates_without_subjects_are_one_group(tmp_path: Path, listed_images: Path) -> None:
    draw(tmp_path / "set/images/2.png", 0)
    catalog = read_catalog(listed_images)
    assert column(catalog, "group")["images/2.png"] == "images/0.png"
    assert catalog.duplicates == (("images/0.png", "images/2.png"),)


def test_groups_join_transitively() -> None:
    subjects = ["51", "75", "51", "78", "5", "5", "80"]
    hashes = ["a", "a", "b", "b", "c", "d", "e"]
    assert group_names(list("ijklmno"), subjects, hashes) == ["51+75+78"] * 4 + ["5", "5", "80"]


def test_groups_are_the_connected_components_of_a_graph() -> None:
    scipy = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(3)
    subjects, hashes = rng.integers(0, 40, 90), rng.integers(0, 70, 90)
    edges = scipy.coo_matrix((np.ones(90), (subjects, 40 + hashes)), shape=(110, 110))
    _, component = scipy.csgraph.connected_components(edges, directed=False)
    groups = group_names(list(map(str, range(90))), list(map(str, subjects)), list(map(str, hashes)))
    same_group = np.array(groups)[:, None] == np.array(groups)
    np.testing.assert_array_equal(same_group, component[subjects][:, None] == component[subjects])


def renumbered(cnmc: Path, folder: Path) -> Path:
    """A copy of the training images with other names, another format and no subjects."""
    table = read_catalog(cnmc).table
    rows = []
    for number, (path, label) in enumerate(zip(table["path"], table["label"], strict=True)):
        folder.mkdir(exist_ok=True)
        Image.open(path).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{label}")
    (folder / "train.csv").write_text("\n".join(["Path,label", *rows]))
    return folder / "train.csv"


def test_subjects_are_looked_up_by_pixels(cnmc: Path, tmp_path: Path) -> None:
    copy = renumbered(cnmc, tmp_path / "copy")
    catalog = read_catalog(copy, Reading(subjects_from=str(cnmc)))
    assert catalog.table["subject"].tolist() == ["20", "H3", "5", "H3", "H3", "20"]
    assert catalog.table["group"].tolist() == ["20+21", "H3", "5", "H3", "H3", "20+21"]
    assert catalog.protocols == ("grouped", "random-cell")
    assert catalog.fingerprint != read_catalog(copy).fingerprint
    assert catalog.notes[1].startswith(f"subjects and groups are those of {cnmc}: subjects may share images there ")
    assert read_catalog(copy).notes[1:] == catalog.notes[2:]


def test_subjects_that_cannot_be_looked_up(cnmc: Path, tmp_path: Path) -> None:
    copy = renumbered(cnmc, tmp_path / "copy")
    with pytest.raises(UserError, match=r"--subjects-from has no effect: .* already has subjects"):
        read_catalog(cnmc, Reading(subjects_from=str(cnmc)))
    with pytest.raises(UserError, match="it has no subjects either"):
        read_catalog(copy, Reading(subjects_from=str(copy)))
    copy.write_text(copy.read_text().replace("2.png,1", "2.png,0"))
    with pytest.raises(
        UserError, match=r"labels differ for the same pixels.*:\n  2.png: 0 in the data, 1 in the copy$"
    ):
        read_catalog(copy, Reading(subjects_from=str(cnmc)))
    draw(copy.parent / "0.png", 50)
    draw(copy.parent / "3.png", 51)
    with pytest.raises(UserError, match=r"2 of 6 images are missing from it, .*\n  0.png\n  3.png$"):
        read_catalog(copy, Reading(subjects_from=str(cnmc)))


def test_the_second_read_decodes_only_changed_images(cnmc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_catalog(cnmc)
    decoded = []
    monkeypatch.setattr(hashes, "read_image", lambda path: decoded.append(path.name) or read_image(path))
    assert read_catalog(cnmc).fingerprint == first.fingerprint
    assert decoded == []
    changed = draw(cnmc / "C-NMC_training_data/fold_1/all/UID_5_1_1_all.bmp", 77)
    os.utime(changed, ns=(1, 1))
    assert read_catalog(cnmc).fingerprint != first.fingerprint
    assert decoded == ["UID_5_1_1_all.bmp"]


@pytest.mark.parametrize("change", ["swapped", "replaced", "overwritten"])
def test_images_that_change_but_keep_size_and_time_are_read_again(cnmc: Path, change: str) -> None:
    first = read_catalog(cnmc)
    folder = cnmc / "C-NMC_training_data"
    one, other = folder / "fold_0/all/UID_20_1_1_all.bmp", folder / "fold_1/all/UID_5_1_1_all.bmp"
    for path in (one, other):
        os.utime(path, ns=(10**18, 10**18))
    before = read_catalog(cnmc)
    assert before.fingerprint == first.fingerprint
    contents = one.read_bytes(), other.read_bytes()
    assert len(contents[0]) == len(contents[1])
    if change == "swapped":
        one.rename(one.with_name("kept"))
        other.rename(one)
        one.with_name("kept").rename(other)
    elif change == "replaced":
        one.with_name("new").write_bytes(contents[1])
        one.with_name("new").rename(one)
    else:
        one.write_bytes(contents[1])
    os.utime(one, ns=(10**18, 10**18))
    assert read_catalog(cnmc).fingerprint != first.fingerprint


@pytest.mark.parametrize("change", ["digest", "size"])
def test_a_changed_digit_in_the_cache_is_noticed(
    cnmc: Path, own_cache: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = read_catalog(cnmc)
    (cache,) = (own_cache / "hashes").glob("*.json")
    whole = cache.read_text()
    digest, width = first.table.pixel_sha256[0], f"{first.table.width[0]},"
    changed = {"digest": whole.replace(digest, "0" * 64), "size": whole.replace(width, f"9{width}", 1)}[change]
    assert changed != whole
    cache.write_text(changed)
    assert read_catalog(cnmc).table.equals(first.table)
    assert caplog.messages == [f"{cache} is damaged; reading the images again"]
    assert json.loads(cache.read_text()) == json.loads(whole)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 1}', "half", "types", "schema 1"])
def test_damaged_cache_is_rebuilt(cnmc: Path, own_cache: Path, damage: str) -> None:
    first = read_catalog(cnmc)
    (cache,) = (own_cache / "hashes").glob("*.json")
    whole = cache.read_text()
    old = {"schema": 1, "pillow": PIL.__version__, "images": {"fold_1/a.bmp": [100, 10**18, "f" * 64, 12, 10]}}
    texts = {
        "half": whole[: len(whole) // 2],
        "types": whole.replace('"fold', '"x').replace("[", '["a",'),
        "schema 1": json.dumps(old),
    }
    cache.write_text(texts.get(damage, damage))
    assert read_catalog(cnmc).fingerprint == first.fingerprint
    assert json.loads(cache.read_text()) == json.loads(whole)


def test_cache_keeps_rows_of_other_images_below_the_root(tmp_path: Path, listed_images: Path, own_cache: Path) -> None:
    read_catalog(listed_images)
    draw(tmp_path / "set" / "more.png", 9)
    read_catalog(write_csv(tmp_path, "Path,label", ["images/0.png,0", "more.png,1"]))
    (cache,) = (own_cache / "hashes").glob("*.json")
    assert len(json.loads(cache.read_text())["images"]) == 5


def test_names_that_are_not_utf8_are_rejected(tmp_path: Path) -> None:
    draw(tmp_path / "all" / "a.png", 1)
    try:
        draw(tmp_path / "hem" / "b.png", 2).rename(os.fsdecode(os.fsencode(tmp_path / "hem") + b"/\xff.png"))
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    with pytest.raises(UserError, match=r"one line of UTF-8, .*; rename these:\n  hem/\\udcff.png$"):
        read_catalog(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_a_csv_that_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(UserError, match=rf"^cannot read .* \(a {kind}, not a file\)$"):
        read_catalog(path)


def test_a_header_of_many_columns_is_checked_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(",".join(f"c{number}" for number in range(50_000)) + "\n" + "x," * 49_999 + "x\n")
    start = time.process_time()
    with pytest.raises(UserError, match=r"expected the columns Path and label, found c0, c1"):
        read_catalog(path)
    assert time.process_time() - start < 5


def test_a_chain_of_subjects_is_joined_in_linear_time() -> None:
    pairs = [(number, f"{number}") for number in range(10_000)]
    # Each subject shares an image with the one before; the last pair is joined first.
    subjects = [f"{subject:05d}" for number, _ in reversed(pairs) for subject in (number + 1, number)]
    hashes = [digest for _, digest in reversed(pairs) for _ in range(2)]
    start = time.process_time()
    assert len(set(group_names(subjects, subjects, hashes))) == 1
    assert time.process_time() - start < 5


def test_a_huge_csv_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("wb") as stream:
        # No disk space is used.
        stream.truncate(300_000_000)
    with pytest.raises(UserError, match=r"list.csv: expected a CSV of at most 200 MB, got 300 MB; give the list"):
        read_catalog(path)


def test_names_in_the_report_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "cells\x1b[2J"
    for label, number in (("hem", 1), ("hem", 2), ("all", 3)):
        draw(data / label / f"{number}\u202e.png", number)
    draw(data / "hem" / "copy\x1b.png", 1)
    assert main([str(data)]) == 0
    report = capsys.readouterr().out
    assert r"cells\x1b[2J (layout folders)" in report
    assert r"hem/1\u202e.png = hem/copy\x1b.png" in report
    assert all(line.isprintable() for line in report.splitlines())


def test_the_report_names_the_csv_that_was_read(
    tmp_path: Path, listed_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path, "Path,label", [f"images/{number}.png,{number % 2}" for number in range(4)])
    assert main([str(path)]) == 0
    assert f"data:        {path} (layout csv)\n" in capsys.readouterr().out


def test_report_has_the_main_facts(cnmc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(cnmc)]) == 0
    report = capsys.readouterr().out
    for line in (
        "images:      6 (3 hem, 3 all); majority rate 0.500",
        "subjects:    4 (1 hem, 3 all)",
        "groups:      3; joined by shared images: 20+21",
        "across subjects: 1\n",
        "fold_0/all/UID_20_1_1_all.bmp = fold_2/all/UID_21_1_1_all.bmp",
        "within a subject: 1\n",
        "12x10 px: 6",
        "notes:       excluded C-NMC_test_prelim_phase_data: 2 images, not in the training folders",
        "protocol:    grouped or random-cell\n",
    ):
        assert line in report


def test_a_user_error_exits_with_status_2_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", catalog_command.__name__, str(tmp_path / "absent")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no folder or CSV at")
    assert len(done.stderr.splitlines()) == 1


@REAL
def test_real_cnmc() -> None:
    catalog = read_catalog(Path(os.environ["LEUKEMIA_DATA"]) / "cnmc")
    assert catalog.table["label"].value_counts().to_dict() == {1: 76, 0: 60}
    assert {group for group in catalog.table["group"] if "+" in group} == {"20+21", "H2+H4"}
    assert len(catalog.duplicates) == 3
    assert catalog.excluded == ("C-NMC_test_prelim_phase_data: 14 images",)
    test = read_catalog(Path(os.environ["LEUKEMIA_DATA"]) / "cnmc" / "C-NMC_test_prelim_phase_data")
    assert test.table["label"].value_counts().to_dict() == {1: 10, 0: 4}
    assert not set(test.table["subject"]) & set(catalog.table["subject"])


@REAL
def test_real_taleqani() -> None:
    path = Path(os.environ["LEUKEMIA_DATA"]) / "taleqani" / "train.csv"
    catalog = read_catalog(path)
    assert len(catalog.table) == 1286
    assert "random-cell only" in describe(catalog, path)
