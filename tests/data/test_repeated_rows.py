"""Images that a CSV has in several rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.layouts import draw_images

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading


def boxes(folder: Path, rows: list[str], header: str = "filename,class,xmin") -> Path:
    """Four images, and a CSV of boxes."""
    draw_images(folder, 4)
    (folder / "boxes.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "boxes.csv"


READING = Reading(classes=("normal=lymphocyte", "leukemic=blast"))
ROWS = ["001.png,lymphocyte,3", "001.png,lymphocyte,9", "002.png,blast,1", "003.png,lymphocyte,5", "004.png,blast,7"]


def test_several_boxes_of_an_image_count_once(tmp_path: Path) -> None:
    catalog = read_catalog(boxes(tmp_path, [*ROWS, "002.png,blast,30"]), READING)
    assert catalog.table["image_id"].tolist() == ["001.png", "002.png", "003.png", "004.png"]
    assert catalog.table["label"].tolist() == [0, 1, 0, 1]
    assert "2 rows of the CSV repeat an image and its label; the 4 images count once" in catalog.notes


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            "filename,class,patient_id",
            ["001.png,lymphocyte,a", "002.png,blast,b", "003.png,lymphocyte,c", "001.png,lymphocyte,d"],
            r"decide which is right, and remove the other row:\n"
            r"  row 2 \(001.png\) has the subject 'a', row 5 \(001.png\) has 'd'$",
        ),
        (
            "filename,class,split",
            ["001.png,lymphocyte,train", "002.png,blast,train", "./001.png,lymphocyte,test"],
            r"\n  row 2 \(001.png\) has the part of the split 'train', row 4 \(./001.png\) has 'test'$",
        ),
        (
            "filename,class,x",
            ["001.png,lymphocyte,0", "002.png,blast,0", "./001.png,blast,test"],
            r"\n  row 2 \(001.png\) has the label 'lymphocyte', row 4 \(./001.png\) has 'blast'$",
        ),
    ],
)
def test_rows_of_an_image_that_disagree_are_refused(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    reading = READING
    if "patient_id" in header:
        reading = Reading(classes=READING.classes, subject_column="patient_id")
    with pytest.raises(UserError, match=message):
        read_catalog(boxes(tmp_path, rows, header), reading)


def test_each_row_of_a_list_to_be_predicted_needs_its_own_image(tmp_path: Path) -> None:
    path = boxes(tmp_path, ["001.png", "002.png", "001.png"], "filename")
    with pytest.raises(UserError, match=r"remove these rows:\n  row 4 \(001.png\), as in row 2 \(001.png\)$"):
        read_catalog(path, labels=False)


def test_several_boxes_of_an_image_that_is_left_out_are_left_out_once(tmp_path: Path) -> None:
    rows = [*ROWS[:3], "003.png,smudge,5", "003.png,smudge,8", "004.png,blast,7"]
    catalog = read_catalog(
        boxes(tmp_path, rows), Reading(classes=("normal=lymphocyte", "leukemic=blast", "ignore=smudge"))
    )
    assert catalog.table["image_id"].tolist() == ["001.png", "002.png", "004.png"]
    assert catalog.num_left_out == 1


def test_rows_of_several_csvs_that_disagree_are_named_with_their_csvs(tmp_path: Path) -> None:
    """As two revisions in the cache of a hub, whose images are links to the same files."""
    for revision, word in (("old", "lymphocyte"), ("new", "blast")):
        (tmp_path / revision).mkdir()
        boxes(tmp_path / revision, [f"001.png,{word}", "002.png,blast"], "filename,class")
    (tmp_path / "new" / "001.png").unlink()
    (tmp_path / "new" / "001.png").symlink_to("../old/001.png")
    expected = (
        r"differently; decide which is right, and remove the other row:\n"
        r"  new/\w+.csv, row 2 \(.*001.png\) has the label 'blast', old/\w+.csv, row 2 \(.*001.png\) has 'lymphocyte'$"
    )
    with pytest.raises(UserError, match=expected):
        read_catalog(tmp_path, READING)
