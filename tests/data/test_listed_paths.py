"""Paths of a CSV that do not exist as written: the image that is meant, or one error; never another image."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from leukemia.base.errors import UserError
from leukemia.catalog import main
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.reading import Reading
from leukemia.study.folder import Study
from search.launch.messages import print_plan
from search.launch.study_folder import created, resumed
from search.planning.plan import plan_new
from search.planning.request import Request
from search.planning.resumption import plan_resumed

pytestmark = pytest.mark.usefixtures("own_cache")

COLAB = "/content/drive/MyDrive/new_dataset"
WINDOWS = r"C:\Users\me\new_dataset"


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))


def draw(folder: Path, names: Iterable[str]) -> Path:
    """Images of 32 px below a folder, all different; returns the folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(list(name.encode()))
        Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return folder


def listing(folder: Path, paths: Iterable[str], name: str = "train.csv") -> Path:
    """A CSV with alternating labels."""
    lines = [f"{path},{number % 2}" for number, path in enumerate(paths)]
    (folder / name).write_text("\n".join(["Path,label", *lines]) + "\n")
    return folder / name


def ids(catalog: Catalog) -> list[str]:
    return catalog.table["image_id"].tolist()


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """``new_dataset`` with 20 images in ``train`` and in ``valid``, numbered from 0 in each."""
    names = [f"{part}/{number}.bmp" for part in ("train", "valid") for number in range(20)]
    return draw(tmp_path / "new_dataset", names)


def test_a_deleted_image_is_not_taken_from_another_folder(course: Path) -> None:
    (course / "train/15.bmp").unlink()
    for prefix in ("", "new_dataset/", f"{COLAB}/"):
        path = listing(course, [f"{prefix}train/{number}.bmp" for number in range(20)])
        message = (
            r"train.csv: 1 of 20 images does not exist below .*new_dataset; restore them, write .*--base, or remove .*"
            rf"\n  row 17: {prefix}train/15.bmp \(of this name: valid/15.bmp\)$"
        )
        with pytest.raises(UserError, match=message):
            read_catalog(path)


def test_a_list_of_another_part_is_not_read_from_this_one(
    course: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = listing(course, [f"valid/{number}.bmp" for number in range(20)], "valid.csv")
    with pytest.raises(
        UserError,
        match=r"none of the 20 images exists below .*train, the first is valid/0.bmp \(of this name: 0.bmp\); give .*",
    ):
        main([str(path), "--base", str(course / "train")])
    assert capsys.readouterr().out == ""
    deep = draw(tmp_path / "deep", [f"train/hem/{number}.bmp" for number in range(4)])
    path = listing(deep, [f"valid/hem/{number}.bmp" for number in range(4)], "valid.csv")
    for base in (deep, deep / "train"):
        with pytest.raises(UserError, match=r"none of the 4 images exists"):
            read_catalog(path, Reading(base=str(base)))


@pytest.mark.parametrize("other", ["pro/cells/1.png", "cells/1.png", "pro/early/other/1.png"])
def test_a_folder_that_exists_is_the_one_that_is_meant(tmp_path: Path, other: str) -> None:
    """The only image of its folder is deleted; another folder shares fewer of the path's folders."""
    draw(tmp_path, [other, "early/cells/1.png", "late/2.png", "late/3.png"])
    (tmp_path / "early/cells/1.png").unlink()
    path = listing(tmp_path, ["/data/early/cells/1.png", "late/2.png", "late/3.png"])
    with pytest.raises(UserError, match=rf"\n  row 2: /data/early/cells/1.png \(of this name: {other}\)$"):
        read_catalog(path)


@pytest.mark.parametrize(
    "prefix", ["new_dataset/train/", f"{COLAB}/train/", f"{WINDOWS}\\train\\", "D:/x/train/", "//server/share/train/"]
)
@pytest.mark.parametrize("base", ["new_dataset", "new_dataset/train"])
def test_paths_of_another_machine_are_found_by_their_last_folders(
    course: Path, prefix: str, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = listing(course, [f"{prefix}{number}.bmp" for number in range(20)])
    root = course.parent / base
    expected = read_catalog(
        listing(course, [f"{'train/' if root == course else ''}{number}.bmp" for number in range(20)], "as_is.csv"),
        Reading(base=str(root)),
    )
    catalog = read_catalog(path, Reading(base=str(root)))
    assert catalog.fingerprint == expected.fingerprint
    classes = "classes (images): normal = 0 (10); leukemic = 1 (10)"
    assert expected.notes == (classes,)
    note = (
        "20 of 20 paths in the CSV do not exist as written; "
        f"their images were found below {root} by the last folders and the name of the path"
    )
    assert catalog.notes == (note, classes)
    assert main([str(path), "--base", str(root)]) == 0
    assert f"notes:       {note}\n" in capsys.readouterr().out


def test_windows_paths_below_the_base_are_as_written(course: Path) -> None:
    draw(course, ["other/train/0.bmp"])
    catalog = read_catalog(listing(course, [r"train\0.bmp", r"train\1.bmp"]))
    assert (ids(catalog), catalog.notes) == (
        ["train/0.bmp", "train/1.bmp"],
        ("classes (images): normal = 0 (1); leukemic = 1 (1)",),
    )


def test_the_longest_end_decides_and_two_of_them_are_ambiguous(tmp_path: Path) -> None:
    draw(tmp_path, [f"{folder}/{number}.png" for folder in ("a/train", "b/train") for number in (0, 1)])
    catalog = read_catalog(listing(tmp_path, ["/x/a/train/0.png", "/x/b/train/0.png"]))
    assert ids(catalog) == ["a/train/0.png", "b/train/0.png"]
    message = (
        r"several files may be meant; write the full path, or .*:\n"
        r"  row 2: /x/train/0.png may be a/train/0.png, b/train/0.png\n  row 3: .*1.png"
    )
    with pytest.raises(UserError, match=message):
        read_catalog(listing(tmp_path, ["/x/train/0.png", "/x/train/1.png", "a/train/1.png"]))


def test_an_image_that_another_row_has_is_not_taken_twice(course: Path) -> None:
    path = listing(course, ["train/0.bmp", "valid/1.bmp", f"{COLAB}/train/0.bmp", rf"{WINDOWS}\valid\1.bmp"])
    catalog = read_catalog(path)
    assert ids(catalog) == ["train/0.bmp", "valid/1.bmp"]
    assert "2 rows of the CSV repeat an image and its label; the 2 images count once" in catalog.notes


def test_names_without_folders_are_found_anywhere_if_each_occurs_once(tmp_path: Path) -> None:
    draw(tmp_path, ["hem/0.png", "all/1.png", "all/deep/2.png"])
    path = listing(tmp_path, ["0.png", "1.png", "2.png"])
    catalog = read_catalog(path)
    assert ids(catalog) == ["all/1.png", "all/deep/2.png", "hem/0.png"]
    assert catalog.notes == (
        f"3 of 3 paths in the CSV do not exist as written; their images were found below {tmp_path} by name alone",
        "classes (images): normal = 0 (2); leukemic = 1 (1)",
    )
    draw(tmp_path, ["new/1.png"])
    with pytest.raises(UserError, match=r"several files may be meant.*\n  row 3: 1.png may be all/1.png, new/1.png$"):
        read_catalog(path)


@pytest.mark.parametrize("first", ["hem/0.png", "/x/hem/0.png", "3.png"])
def test_names_are_not_enough_beside_written_places(tmp_path: Path, first: str) -> None:
    """One row has a folder, or its image is where it was written: so would be the others."""
    draw(tmp_path, ["hem/0.png", "all/1.png", "3.png"])
    with pytest.raises(UserError, match=r"1 of 2 images does not .*\n  row 3: 1.png \(of this name: all/1.png\)$"):
        read_catalog(listing(tmp_path, [first, "1.png"]))


def test_links_that_lead_out_are_refused_wherever_they_are_found(tmp_path: Path) -> None:
    draw(tmp_path, ["secret.png", "set/images/0.png"])
    (tmp_path / "set/images/link.png").symlink_to(tmp_path / "secret.png")
    path = listing(tmp_path / "set", ["images/0.png", "/x/images/link.png"])
    with pytest.raises(UserError, match=r"expected paths inside .*\n  row 3: /x/images/link.png$"):
        read_catalog(path)


def test_other_images_of_a_reference_are_noted(course: Path) -> None:
    lines = [f"{COLAB}/train/{number}.bmp,{number % 2},p{number // 4}" for number in range(20)]
    (course / "subjects.csv").write_text("\n".join(["Path,label,subject", *lines]) + "\n")
    catalog = read_catalog(
        listing(course, [f"train/{number}.bmp" for number in range(20)]),
        Reading(subjects_from=str(course / "subjects.csv")),
    )
    assert catalog.notes[-1].startswith("--subjects-from: 20 of 20 paths in the CSV do not exist as written; ")


@pytest.fixture
def request_for(course: Path, tmp_path: Path) -> Request:
    path = listing(course, [f"{COLAB}/train/{number}.bmp" for number in range(20)])
    return Request(runs=tmp_path / "runs", data=str(path), study="one", given={"folds": 2, "settings": {}})


def test_a_search_states_and_keeps_what_was_found_otherwise(request_for: Request, course: Path) -> None:
    plan = plan_new(request_for, "python -m search.run")
    text = io.StringIO()
    print_plan(Console(file=text, width=120), plan)
    note, classes = plan.catalog.notes
    assert f"note: {note}\n" in text.getvalue()
    with created(plan):
        pass
    stored = json.loads((plan.folder / "study.json").read_text())
    assert stored["data"]["notes"] == [note, classes]
    # Corrected paths are the same data, and leave no note on them.
    listing(course, [f"train/{number}.bmp" for number in range(20)])
    again = plan_resumed(Request(runs=request_for.runs, study="one"))
    assert again.catalog.fingerprint == plan.catalog.fingerprint
    assert resumed(again).info.data.notes == [classes]


def test_a_study_of_a_version_that_read_any_file_of_the_name(request_for: Request, course: Path) -> None:
    """It had ``valid/3.bmp`` for a ``test/3.bmp`` that is not there: refused, or the same data where that was meant."""
    others = [f"train/{number}.bmp" for number in range(20) if number != 3]
    path = listing(course, [*others, "valid/3.bmp"])
    with created(plan_new(request_for, "python -m search.run")) as study:
        pass
    before = path.read_text()
    listing(course, [*others, "test/3.bmp"])
    request = Request(runs=request_for.runs, study="one")
    with pytest.raises(
        UserError, match=r"1 of 20 images does not exist .*\n  row 21: test/3.bmp \(of this name: .*valid/3.bmp"
    ):
        plan_resumed(request)
    path.write_text(before)
    assert plan_resumed(request).catalog.fingerprint == Study.open(study.folder).info.data.fingerprint


def test_a_folder_that_is_there_as_written_is_meant_before_one_deeper(tmp_path: Path) -> None:
    """The deleted image has a namesake in a deeper folder whose end is the same."""
    draw(tmp_path, ["train/0.png", "train/1.png", "old/train/15.png"])
    with pytest.raises(UserError, match=r"\n  row 3: train/15.png \(of this name: old/train/15.png\)$"):
        read_catalog(listing(tmp_path, ["train/0.png", "train/15.png", "train/1.png"]))


NFC, NFD = "zellen/gr\u00fcn.png", "zellen/gru\u0308n.png"


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("images/img_1", "images/img_1.png"),
        ("images/IMG_1", "images/img_1.tif"),
        ("img_1", "img_1.png"),
        ("img_1", "deep/img_1.png"),
        ("cell.1", "cell.1.png"),
        ("images/IMG_1.PNG", "images/img_1.png"),
        ("Images/img_1.png", "images/img_1.png"),
        ("/content/IMAGES/img_1.png", "images/img_1.png"),
        (r"C:\Images\img_1", "images/img_1.PNG"),
        (NFC, NFD),
        (NFD, NFC),
    ],
)
def test_other_spellings_of_a_path_are_found_and_counted(tmp_path: Path, written: str, there: str) -> None:
    draw(tmp_path, [there, "other/x.png", "other/y.png"])
    rows = [written, "x.png", "y"] if "/" not in written and "\\" not in written else [written, "other/x.png"]
    catalog = read_catalog(listing(tmp_path, rows))
    assert there in ids(catalog)
    number = len(rows) - (1 if "other/x.png" in rows else 0)
    respelled = len(rows) - 1
    verb = "does" if number == 1 else "do"
    assert catalog.notes[0].startswith(f"{number} of {len(rows)} paths in the CSV {verb} not exist as written; ")
    verb = "differs" if respelled == 1 else "differ"
    assert catalog.notes[0].endswith(f"; {respelled} of them {verb} in case, Unicode form or by a missing extension")


def test_a_name_beside_the_csv_may_differ_in_spelling(tmp_path: Path) -> None:
    draw(tmp_path, ["0.png", "1.png", "deep/2.png"])
    assert ids(read_catalog(listing(tmp_path, ["0.png", "1.PNG"]))) == ["0.png", "1.png"]
    with pytest.raises(UserError, match=r"1 of 2 images does not .*\n  row 3: 2.PNG \(of this name: deep/2.png\)$"):
        read_catalog(listing(tmp_path, ["0.png", "2.PNG"]))


@pytest.mark.parametrize(
    ("written", "others"),
    [
        ("images/img_1", ["images/img_1.png", "images/img_1.tif"]),
        ("images/IMG_1.png", ["images/Img_1.png", "images/img_1.png"]),
        ("img_1", ["a/img_1.png", "b/img_1.png"]),
        ("IMAGES/1.png", ["Images/1.png", "images/1.png"]),
    ],
)
def test_several_spellings_are_ambiguous(tmp_path: Path, written: str, others: list[str]) -> None:
    draw(tmp_path, others)
    with pytest.raises(UserError, match=rf"several files may be meant; .*\n  row 2: {written} may be {others[0]}, "):
        read_catalog(listing(tmp_path, [written]))


def test_the_spelling_of_the_csv_comes_first(tmp_path: Path) -> None:
    """A folder that is spelled as written is the one that is meant, even if its image was deleted."""
    draw(tmp_path, ["Train/0.png", "Train/1.png", "train/0.png", "train/2.png"])
    assert ids(read_catalog(listing(tmp_path, ["/x/train/0.png", "/x/Train/1.png"]))) == ["Train/1.png", "train/0.png"]
    with pytest.raises(UserError, match=r"\n  row 2: /x/train/1.png \(of this name: Train/1.png\)$"):
        read_catalog(listing(tmp_path, ["/x/train/1.png", "/x/Train/0.png"]))


@pytest.mark.parametrize("written", ["img_1.jpg", "images/img", "images/img_1.bmp"])
def test_another_suffix_is_another_image(tmp_path: Path, written: str) -> None:
    draw(tmp_path, ["images/img_1.png", "images/2.png"])
    with pytest.raises(UserError, match="1 of 2 images does not exist"):
        read_catalog(listing(tmp_path, [written, "images/2.png"]))


def test_a_table_of_folders_is_no_list_of_images(tmp_path: Path) -> None:
    draw(tmp_path, ["P0/0.png", "P1/0.png"])
    (tmp_path / "list.csv").write_text("Path,label\nP0,0\nP0/0.png,0\nP1,1\nP1/0.png,1\n")
    with pytest.raises(UserError, match=r"these are folders; write a row for each image:\n  row 2: P0\n  row 4: P1$"):
        read_catalog(tmp_path / "list.csv")


def test_folders_with_a_letter_after_the_part_are_not_exchanged(tmp_path: Path) -> None:
    draw(tmp_path, ["set/testA/hem/0.png", "set/testA/all/1.png"])
    path = tmp_path / "list.csv"
    path.write_text("Path,label\ntrainA/hem/0.png,0\ntrainA/all/1.png,1\n")
    with pytest.raises(UserError, match="none of the 2 images exists"):
        read_catalog(path, Reading(base=str(tmp_path / "set")))
