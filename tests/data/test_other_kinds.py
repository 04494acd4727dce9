"""Files that are neither images nor a CSV: one line that says what each is and what to do."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images in folders named by class."""
    for number, name in enumerate(("hem", "all")):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (32, 32), (number, 2, 3)).save(folder / "x.png")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("list.xlsx", r"got a spreadsheet; export its sheet as CSV \(UTF-8\)$"),
        ("cells.npz", r"got an archive of arrays; write it as .* `python -m leukemia.unpack FILE FOLDER`$"),
        ("images.npy", r"got an array, which has images or labels, but not both; store both in an .npz"),
        ("C-NMC.zip", r"got an archive; unpack it, and give the folder$"),
        ("C-NMC.tar.gz", r"got an archive; unpack it"),
        ("cells.pkl", r"got a pickle, which may run code when it is opened and is never read; export"),
        ("cells.mat", r"got a file of MATLAB, HDF5, .*; export its images as PNG files, in folders named by class"),
        ("cells.h5", r"got a file of MATLAB, HDF5"),
        ("cells.tfrecord", r"got a file of MATLAB, HDF5, TensorFlow"),
        ("coco.json", r"got annotations, such as those of COCO; write a CSV with the columns Path and label"),
        ("data.json", r"got a file of JSON, XML or YAML; if it has the labels, write a CSV with the columns Path and"),
        ("cell.gif", r"got an image in a format that is not read; convert it to PNG$"),
        ("slide.svs", r"got a whole-slide or DICOM image, or a video; export its cells"),
    ],
)
def test_each_kind_is_named_alone_and_in_a_folder(tmp_path: Path, name: str, message: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(b'{"annotations": []}' if "coco" in name else b"x")
    with pytest.raises(UserError, match=rf"^{folder / name}: expected a CSV or a folder, {message}"):
        read_catalog(folder / name)
    in_folder = message.removeprefix("got ").replace(";", ":", 1)
    with pytest.raises(UserError, match=rf"^{folder}: expected C-NMC's .*; found {name}, {in_folder}"):
        read_catalog(folder)
    (folder / f"0 {name}").write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match=rf"; found 2 files such as 0 {name}, {in_folder}"):
        read_catalog(folder, labels=False)


def test_what_is_called_a_csv_is_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(UserError, match=r"got a spreadsheet or a zip archive; export its sheet as CSV"):
        read_catalog(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(UserError, match="got a pickle"):
        read_catalog(path)
    np.save(path.open("wb"), np.zeros(3))
    with pytest.raises(UserError, match="got an array"):
        read_catalog(path)
    path.write_text(POINTER)
    with pytest.raises(
        UserError, match=r"got a pointer of Git LFS, not the file; run `git lfs pull` where it was clon"
    ):
        read_catalog(path)


def test_class_folders_without_images_say_what_they_have(data: Path) -> None:
    for path in data.glob("*/x.png"):
        path.rename(path.with_suffix(".dcm"))
    with pytest.raises(
        UserError, match=r"the folders contain no images, but 2 files such as x.dcm, a whole-slide or DIC"
    ):
        read_catalog(data)


def test_pointers_of_git_lfs_are_one_line(data: Path) -> None:
    for number in range(30):
        (data / "hem" / f"{number}.png").write_text(POINTER)
    message = (
        r"^.*data: 30 of 32 images cannot be used; each is a pointer of Git LFS, not the image; run `git lfs pull`"
    )
    with pytest.raises(UserError, match=message) as caught:
        read_catalog(data)
    assert "\n" not in str(caught.value)


def test_links_of_git_annex_are_one_line(data: Path) -> None:
    (data / "all/x.png").unlink()
    (data / "all/x.png").symlink_to("../.git/annex/objects/Xk/1z/SHA256E-s1--4d.png/SHA256E-s1--4d.png")
    (data / "hem/unlocked.png").write_text("/annex/objects/SHA256E-s1--4d.png\n")
    with pytest.raises(
        UserError, match=r"2 of 3 images cannot be used; each is a link of git-annex .*`git annex get .`"
    ):
        read_catalog(data)
    (data / "list.csv").write_text("Path,label\nall/x.png,1\nhem/x.png,0\n")
    with pytest.raises(
        UserError, match=r"links to files that do not exist; .*`git annex get .`.*\n  row 2: all/x.png$"
    ):
        read_catalog(data / "list.csv")


def test_folders_may_be_deeper_and_stray_files_are_counted(data: Path) -> None:
    deep = data / "all" / "patient 1" / "slide" / "a" / "b.png"
    deep.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32), (9, 9, 9)).save(deep)
    (data / "README.md").write_text("x")
    (data / "all" / "patient 1" / "list.csv").write_text("x")
    catalog = read_catalog(data)
    assert catalog.table["image_id"].tolist() == ["all/patient 1/slide/a/b.png", "all/x.png", "hem/x.png"]
    assert catalog.notes[1:] == ("ignored 2 files without an image suffix (.csv: 1, .md: 1)",)


def test_files_that_may_have_anything_are_no_annotations(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / f"B24-{number}"
        for word in ("Blast", "Lymphocyte"):
            (folder / word).mkdir(parents=True)
            (folder / word / "1.jpg").touch()
        (folder / f"B24-{number}.xml").write_text(f'<order id="{number}"/>')
    with pytest.raises(UserError, match=r"images in folders with other names; map them") as caught:
        read_catalog(tmp_path)
    assert "the folder also has 3 files such as B24-0.xml" in str(caught.value)
    (tmp_path / "B24-0" / "B24-0.xml").write_text("<annotation><object><bndbox/></object></annotation>")
    with pytest.raises(UserError, match=r"3 files such as B24-0.xml, annotations, such as those of COCO: write a CSV"):
        read_catalog(tmp_path)
