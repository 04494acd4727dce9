"""Files that operating systems leave among the images: read by nothing, and counted nowhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.layouts import draw_images

from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import UNLABELLED, Reading

LEFTOVERS = (
    "Thumbs.db",
    "ehthumbs_vista.db",
    "Desktop.ini",
    ".DS_Store",
    "._001.png",
    "._list.csv",
    "~$list.csv",
    "Icon\r",
    "001.png:Zone.Identifier",
    "__MACOSX/001.png",
    "@eaDir/001.png/SYNOPHOTO_THUMB_XL.jpg",
    "$RECYCLE.BIN/001.png",
    "lost+found/001.png",
    "System Volume Information/WPSettings.dat",
    ".ipynb_checkpoints/001-checkpoint.png",
)


def leave(folder: Path) -> None:
    for name in LEFTOVERS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\26\7")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for word in ("hem", "all"):
        draw_images(tmp_path / "data" / word, 2)
        leave(tmp_path / "data" / word)
    leave(tmp_path / "data")
    return tmp_path / "data"


def test_leftovers_in_class_folders_and_in_a_test_set(data: Path) -> None:
    source = find_images(data, Reading(), labels=True)
    assert (len(source.rows), source.named_notes) == (4, ())
    assert source.notes == ("classes (images): normal = hem (2); leukemic = all (2)",)
    assert len(find_images(data, UNLABELLED, labels=False).rows) == 4


def test_leftovers_in_the_parts_of_a_split_and_around_the_data(data: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(data, tmp_path / "parts" / part)
    leave(tmp_path / "parts")
    assert len(find_images(tmp_path / "parts", Reading(), labels=True).rows) == 8
    leave(tmp_path / "outer")
    data.rename(tmp_path / "outer" / "data")
    assert len(find_images(tmp_path / "outer", Reading(), labels=True).rows) == 4


def test_leftovers_beside_a_csv_and_in_its_base(data: Path) -> None:
    shutil.rmtree(data / "all")
    (data / "list.csv").write_text("Path,label\n001.png,0\n002.png,1\n")
    assert len(find_images(data / "list.csv", Reading(base=str(data / "hem")), labels=True).rows) == 2
    (data / "list.csv").rename(data / "hem" / "list.csv")
    (data / "hem" / "list.csv").write_text("Path,label\nC:\\old\\hem\\001.png,0\nC:\\old\\hem\\002.png,1\n")
    source = find_images(data / "hem", Reading(), labels=True)
    assert {row.path.parent.name for row in source.rows} == {"hem"}
    assert source.named_notes == ("read list.csv",)


def test_other_files_are_counted_by_suffix(data: Path) -> None:
    for name in ("a.txt", "b.txt", "c.csv", "d.json", "e.xml", "f.md", "g.log", "README"):
        (data / "hem" / name).touch()
    note = find_images(data, Reading(), labels=True).notes[1]
    assert note.startswith("ignored 8 files without an image suffix (")
    assert ".txt: 2" in note
    assert note.endswith(", others: 2)")


def test_what_a_test_set_without_labels_leaves_out_is_counted(tmp_path: Path) -> None:
    draw_images(tmp_path, 2)
    leave(tmp_path)
    assert find_images(tmp_path, Reading(), labels=False).notes == ()
    draw_images(tmp_path / "more", 3)
    (tmp_path / "more" / "cell.dcm").touch()
    source = find_images(tmp_path, Reading(), labels=False)
    assert len(source.rows) == 2
    assert source.notes == (
        "3 images in folders below are not read; give the path of their folder to read those",
        "ignored 1 file without an image suffix (.dcm: 1)",
    )
