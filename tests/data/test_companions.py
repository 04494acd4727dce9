"""Masks, thumbnails and other versions of cells in folders; files beside the class folders."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import UNLABELLED, Reading


def found(data: Path, *classes: str) -> Source:
    """What is found, without decoding."""
    return find_images(data, Reading(classes=classes or None), labels=True)


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def paths_of(source: Source) -> set[str]:
    return {row.path.relative_to(source.root).as_posix() for row in source.rows}


@pytest.mark.parametrize(
    ("cells", "companions", "ignored"),
    [
        (("images/hem/0.png", "images/all/1.png"), ("masks/hem/0.png", "masks/all/1.png"), "masks"),
        (("hem/images/0.jpg", "all/images/1.jpg"), ("hem/masks/0_mask.png", "all/masks/1_mask.png"), "masks"),
        (("hem/raw/0.png", "all/raw/1.png"), ("hem/segmented/0.png", "all/segmented/1.png"), "segmented"),
        (("hem/0.png", "all/1.png"), ("hem/Thumbs/0.jpg", "all/Thumbs/1.jpg"), "Thumbs"),
        (("hem/P1/0.png", "all/P2/1.png"), ("hem/P1/ground truth/0.png", "all/P2/gt/1.png"), "ground truth,gt"),
        (("train/hem/0.png", "val/all/1.png"), ("train/hem/cell-masks/0.png",), "cell-masks"),
        (("raw/hem/0.png", "raw/all/1.png"), ("augmented/hem/0_rot90.png", "augmented/all/1_flip.png"), "augmented"),
        (("Original/hem/0.png", "Original/all/1.png"), ("Segmented/hem/0.png", "Segmented/all/1.png"), "Segmented"),
    ],
)
def test_companions_in_folders_are_refused_and_can_be_left_out(
    tmp_path: Path, cells: tuple[str, ...], companions: tuple[str, ...], ignored: str
) -> None:
    touch(tmp_path, *cells, *companions)
    number = rf"{len(companions)} of {len(cells) + len(companions)} images are masks, thumbnails or other versions"
    with pytest.raises(UserError, match=number) as caught:
        found(tmp_path)
    message = str(caught.value)
    assert all(f"\n  {path}\n" in message for path in companions)
    _, _, typed = message.partition("to leave out these folders: --classes ")
    classes = shlex.split(typed.partition("\n")[0])
    assert classes == ["normal=hem", "leukemic=all", f"ignore={ignored}"]
    assert paths_of(found(tmp_path, *classes)) == set(cells)
    for path in cells:
        (tmp_path / path).unlink()
    # Images of one kind are no companions.
    assert paths_of(found(tmp_path)) == set(companions)


def test_classes_that_are_given_are_kept_in_the_advice(tmp_path: Path) -> None:
    """Taleqani's words too, which without ``--classes`` have an error of their own."""
    touch(tmp_path, *(f"{kind}/{name}/1.jpg" for kind in ("Original", "Segmented") for name in ("Benign", "Pre")))
    with pytest.raises(UserError, match=r"(?m): --classes normal=Benign leukemic=Pre ignore=Segmented$"):
        found(tmp_path, "normal=Benign", "leukemic=Pre")
    assert len(found(tmp_path / "Segmented").rows) == 2


def test_segmented_cells_with_a_class_of_their_own_are_no_companions(tmp_path: Path) -> None:
    touch(tmp_path, "Original/hem/1.png", "Segmented/hem/1.png", "Segmented/all/1.png", "Segmented/all/2.png")
    assert [row.label for row in found(tmp_path).rows] == [0, 1, 1, 0]
    touch(tmp_path, "Original/all/1.png")
    with pytest.raises(UserError, match=r"2 of 5 images .*: Segmented/ \(2\)"):
        found(tmp_path)


def test_companions_by_their_own_names_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "hem/0.png", "hem/0_mask.png", "all/1.bmp", "all/1-Seg.png", "all/1 (2).png")
    with pytest.raises(
        UserError,
        match=r"2 of 5 images .*: \*-seg \(1\), \*_mask \(1\); leave .*\n  all/1-Seg.png\n  hem/0_mask.png\n  to leave "
        r"out these files: --classes normal=hem leukemic=all ignore=Seg,mask\n",
    ):
        found(tmp_path)
    assert len(found(tmp_path, "normal=hem", "leukemic=all", "ignore=Seg,mask").rows) == 3
    for name in ("hem/0_mask.png", "all/1-Seg.png"):
        (tmp_path / name).unlink()
    assert len(found(tmp_path).rows) == 3


def test_images_that_were_chosen_and_folders_of_classes_are_no_companions(tmp_path: Path) -> None:
    touch(tmp_path, "cells/0.png", "overlay/0.png", "cells/0_mask.png")
    with pytest.raises(UserError, match=r"1 of 3 images .*\n  cells/0_mask.png\n"):
        found(tmp_path, "normal=cells", "leukemic=overlay")
    (tmp_path / "list.csv").write_text("Path,label\ncells/0.png,0\ncells/0_mask.png,1\n")
    assert len(found(tmp_path / "list.csv").rows) == 2
    (tmp_path / "list.csv").unlink()
    assert len(find_images(tmp_path, UNLABELLED, labels=False).rows) == 3


@pytest.mark.parametrize(
    ("cell", "mask", "kind", "ignored"),
    [
        ("{}_c{}.png", "{}_c{}_seg.png", r"\*_seg", "seg"),
        ("{}/c{}.png", "{}/c{}_seg.png", r"\*_seg", "seg"),
        ("{}/raw/{}.png", "{}/masks/{}.png", "masks/", "masks"),
    ],
)
def test_companions_of_patients_in_a_table_are_refused_and_can_be_left_out(
    tmp_path: Path, cell: str, mask: str, kind: str, ignored: str
) -> None:
    data = tmp_path / "data"
    places = [(patient, number) for patient in ("P1", "P2", "P3") for number in range(2)]
    touch(data, *(name.format(*place) for place in places for name in (cell, mask)))
    (data / "patients.csv").write_text("Patient,Diagnosis\nP1,AML\nP2,donor\nP3,AML\n")
    words = ("normal=donor", "leukemic=AML")
    with pytest.raises(UserError, match=rf"6 of 12 images are masks.*: {kind} \(6\); leave them out") as caught:
        found(data, *words)
    _, _, typed = str(caught.value).partition(": --classes ")
    assert shlex.split(typed.partition("\n")[0]) == [*words, f"ignore={ignored}"]
    assert paths_of(found(data, *words, f"ignore={ignored}")) == {cell.format(*place) for place in places}
    for classes in (None, words):
        sheet = LabelSheet(path=tmp_path / f"{bool(classes)}.csv", data=data, reading=Reading(classes=classes))
        assert sheet.write() == (6, 6 if classes else 0)


def test_companions_in_classes_with_a_table_of_patients_are_refused(tmp_path: Path) -> None:
    paths = ("hem/P1/0.png", "hem/P2/0.png", "all/P3/0.png")
    touch(tmp_path, *paths, *(path.replace(".png", "_seg.png") for path in paths))
    (tmp_path / "patients.csv").write_text("Patient,Age\nP1,4\nP2,5\nP3,6\n")
    reading = Reading(subject_column="Patient")
    with pytest.raises(UserError, match=r"3 of 6 images are masks.*: \*_seg \(3\)"):
        find_images(tmp_path, reading, labels=True)
    reading = Reading(subject_column="Patient", classes=("normal=hem", "leukemic=all", "ignore=seg"))
    assert {row.subject for row in find_images(tmp_path, reading, labels=True).rows} == {"P1", "P2", "P3"}


def test_files_beside_class_folders_are_named_on_the_screen_only(tmp_path: Path) -> None:
    touch(tmp_path, "hem/0.bmp", "all/1.bmp", "all/notes of Smith.txt", ".DS_Store")
    (tmp_path / "Liste.csv").write_text("File;diagnosis;Patient ID\nhem/0.bmp;0;Smith\n")
    (tmp_path / "data.yaml").write_text("0: leukemia")
    source = found(tmp_path)
    assert source.named_notes == (
        "did not read Liste.csv (1 row; columns File, diagnosis, Patient ID); if it lists all these images, give its "
        "path in the place of the folder to read it, with --subject-column 'Patient ID', which looks like subjects; if "
        "it lists a test set, give it to leukemia.final --test",
        "did not read data.yaml",
    )
    assert source.notes[1:] == ("ignored 3 files without an image suffix (.csv: 1, .txt: 1, .yaml: 1)",)
    touch(tmp_path, "empty.csv", "a.json", "labels.xlsx", "README")
    assert found(tmp_path).named_notes[1:] == (
        "did not read empty.csv",
        "did not read README and 3 more files",
    )


def test_files_beside_the_parts_of_a_split_are_named_and_counted_once(tmp_path: Path) -> None:
    touch(tmp_path, "train/0/a.png", "train/1/b.png", "val/0/c.png", "val/1/d.png", "data.yaml", "val/1/x.txt")
    source = found(tmp_path)
    assert source.named_notes == ("did not read data.yaml",)
    assert "ignored 2 files without an image suffix (.txt: 1, .yaml: 1)" in source.notes
    (tmp_path / "train.csv").write_text("Path,label\ntrain/0/a.png,0\ntrain/1/b.png,1\n")
    assert found(tmp_path / "train.csv").named_notes == ()


def test_names_that_differ_in_the_extension_only_are_a_warning(tmp_path: Path) -> None:
    touch(tmp_path, "hem/0.bmp", "hem/0.jpg", "hem/1.bmp", "all/0.bmp")
    (warning,) = [note for note in found(tmp_path).notes if note.startswith("warning")]
    assert warning.startswith("warning: 2 images have the name of another one but for the extension")
