"""Folders that no known word names: which level may be classes, what is none, and classes in the names of files."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.second_try import before_list, completed, found, refusal, touch
from PIL import Image

from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading


def labels_of(source: Source) -> Counter:
    return Counter((row.word, row.label) for row in source.rows)


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """Cells and masks of the same names, below patients."""
    for patient, word in enumerate(("blast", "lymph", "blast", "lymph")):
        for kind, values in (("img", 256), ("seg", 2)):
            folder = tmp_path / f"patient_{patient}" / kind
            folder.mkdir(parents=True)
            for number in range(2):
                pixels = np.random.default_rng(number).integers(0, values, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels * (255 // (values - 1))).save(folder / f"{word}_{number}.png")
    return tmp_path


def test_classes_in_the_names_of_files_are_read_at_the_second_try(segmented: Path) -> None:
    message = refusal(segmented)
    assert "look like subjects, dates or numbers (patient_0 (2), " in message
    assert "so no folder names a class; the names of the files have words" in message
    assert before_list(message).endswith(" --classes normal=WORD,... leukemic=WORD,... ignore=seg")
    source = found(segmented, *completed(message, "lymph", "blast"))
    assert labels_of(source) == {("lymph", 0): 4, ("blast", 1): 4}
    assert {row.path.parent.name for row in source.rows} == {"img"}
    assert "labels are read from the names of the files: the first word of each" in source.notes


def test_masks_are_no_class(segmented: Path) -> None:
    message = refusal(segmented, "normal=img", "leukemic=seg")
    assert "the 8 images in folders seg are masks (few grey levels); the cells are in folders that look like" in message
    assert len(found(segmented, *completed(message, "lymph", "blast")).rows) == 8
    one = refusal(segmented / "patient_0", "normal=img", "leukemic=seg")
    assert "the cells are in folders, so no folder names a class; write a CSV Path,label with a line for each" in one
    for path in segmented.glob("*/seg/*"):
        # Cells in a folder of this name.
        (path.parents[1] / "img" / path.name).replace(path)
    (segmented / "patient_0" / "img" / "x.png").touch()
    assert len(found(segmented, "normal=img", "leukemic=seg").rows) == 9


@pytest.mark.parametrize("folder", ["", "cells/", "train/"])
def test_words_of_files_without_folders_of_classes(tmp_path: Path, folder: str) -> None:
    names = [f"{folder}{word}{number}.png" for word in ("Lymphocyte", "Pro-B_") for number in range(3)]
    message = refusal(touch(tmp_path, *names))
    assert before_list(message).endswith(
        "\n  Lymphocyte (3)\n  Pro-B (3)\n  write each of Lymphocyte,Pro-B after its class, or after ignore= to leave "
        "it out: --classes normal=WORD,... leukemic=WORD,..."
    )
    assert labels_of(found(tmp_path, *completed(message, "Lymphocyte", "Pro-B"))) == {
        ("Lymphocyte", 0): 3,
        ("Pro-B", 1): 3,
    }
    touch(tmp_path, f"{folder}odd_1.png")
    assert "have words, each the first word, that --classes does not have:" in refusal(
        tmp_path, "normal=lymphocyte", "leukemic=pro-b"
    )
    assert len(found(tmp_path, "normal=lymphocyte", "leukemic=pro-b", "ignore=odd").rows) == 6


def test_words_of_files_never_win_over_folders_or_lists(tmp_path: Path) -> None:
    folders = touch(tmp_path / "folders", *(f"{word}/{other}_{n}.png" for word, other in ("ab", "ba") for n in "12"))
    assert {row.word: row.path.name[0] for row in found(folders, "normal=a", "leukemic=b").rows} == {"a": "b", "b": "a"}
    lists = touch(tmp_path / "lists", *(f"{word}_{number}.png" for word in ("aa", "bb") for number in range(2)))
    (lists / "list.csv").write_text("Path,label\naa_0.png,bb\naa_1.png,bb\nbb_0.png,aa\nbb_1.png,aa\n")
    source = found(lists, "normal=aa", "leukemic=bb")
    assert source.layout == "csv"
    assert labels_of(source) == {("aa", 0): 2, ("bb", 1): 2}


def test_words_of_files_are_not_guessed(tmp_path: Path) -> None:
    """Without ``--classes``, even known words are none: a test set of such names is predicted."""
    touch(tmp_path, *(f"{word}_{number}.png" for word in ("healthy", "cancer") for number in range(2)))
    assert before_list(refusal(tmp_path)).endswith("for example: --classes normal=healthy leukemic=cancer")
    assert {row.label for row in found(tmp_path, labels=False).rows} == {None}
    other = touch(tmp_path / "other", "IMG_1.png", "IMG_2.png", "DSC3.png")
    assert "names of the files" not in refusal(other)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ("{B-ALL,Reactive}/{Tan_W,Haddad_S,Okafor_J}/{2021-03-04,2021-06-11}", "B-ALL,Reactive"),
        ("{P01,P02,P03}/{20210304,20210611}/{Mono,Blast}", "Blast,Mono"),
        ("{north,south,west}/{Mono,Blast}/{case 1,case 2}", "Blast,Mono"),
        ("{Mono,Blast}/{M1,M2,M3}/{slide_1,slide_2}", "Blast,Mono"),
        ("{P1,P2}/{img,masks}/{Mono,Blast}", "Blast,Mono"),
    ],
)
def test_the_level_that_can_be_classes_is_chosen(tmp_path: Path, paths: str, words: str) -> None:
    for path in expanded(paths):
        touch(tmp_path, f"{path}/1.png", f"{path}/2.png")
    assert f"write each of {words} after its class" in refusal(tmp_path)


def expanded(pattern: str) -> list[str]:
    """The paths that braces stand for, as in a shell."""
    paths = [""]
    for part in pattern.split("/"):
        paths = [f"{path}/{name}".strip("/") for path in paths for name in part.strip("{}").split(",")]
    return paths


@pytest.mark.parametrize(
    "folders",
    [
        "{patient_1,patient_2}/{2021-03-04,2021-06-11}",
        "{E2023-1040,E2023-1054,E2023-1068}",
        "{1,2,3,4}",
        "{Abel,Beck,Cohen,Diaz,Evans,Fischer,Garcia,Haas,Ito,Jensen}",
    ],
)
def test_folders_of_patients_are_not_mapped(tmp_path: Path, folders: str) -> None:
    for path in expanded(folders):
        touch(tmp_path, f"{path}/1.png")
    for classes in ([], ["normal=x", "leukemic=y"]):
        message = refusal(tmp_path, *classes)
        assert "so no folder names a class; write a CSV Path,label with a line for each image" in message
        assert "write each of" not in message
        assert before_list(message).endswith(" --classes normal=WORD,... leukemic=WORD,...")
    pattern = shlex.split(message.splitlines()[0])[-1]
    rows = "\n".join(f"{path.relative_to(tmp_path)},1" for path in tmp_path.rglob("*.png"))
    (tmp_path / "list.csv").write_text(f"Path,label\n{rows}\n")
    listing = find_images(tmp_path / "list.csv", Reading(subject_pattern=pattern), labels=True)
    assert len(listing.rows) == len(expanded(folders))


def test_patients_beside_class_folders_are_not_mapped(tmp_path: Path) -> None:
    message = refusal(touch(tmp_path, "hem/1.png", "all/2.png", "patient_3/3.png"))
    assert ":\n  patient_3/ (1)\n  for a CSV of all images" in message


def test_masks_are_left_out_with_the_classes_at_the_second_try(tmp_path: Path) -> None:
    for path in expanded("{AML,Control}/{images,masks}"):
        touch(tmp_path, f"{path}/1.png", f"{path}/2.png")
    typed = completed(refusal(tmp_path), "Control", "AML")
    assert typed == ["normal=Control", "leukemic=AML", "ignore=masks"]
    assert len(found(tmp_path, *typed).rows) == 4


def test_the_words_of_each_level_are_listed_the_likeliest_first(tmp_path: Path) -> None:
    centres = {"Lima": ("sanos", "leucemia"), "CHU_Lyon": ("te\u0301moins", "leuce\u0301mie aigue\u0308")}
    for centre, words in centres.items():
        touch(tmp_path, *(f"{centre}/{word}/pac0{patient}_{n}.png" for word in words for patient in "12" for n in "12"))
    message = refusal(tmp_path)
    assert "map them, or folders of another level (CHU_Lyon (8), Lima (8)), with --classes" in message
    assert "\n  leucemia (4)\n" in message
    assert "\n  sanos (4)\n" in message
    assert len(found(tmp_path, "normal=sanos,témoins", "leukemic=leucemia,leucémie aiguë").rows) == 16
    batches = touch(tmp_path / "other", *(f"{a}/{b}/{n}.png" for a, b in ("AQ", "AR", "BS", "BT") for n in "12"))
    assert "folders of another level (Q (2), R (2), S (2), T (2))" in refusal(batches)


@pytest.mark.parametrize("form", ["Pt{0}/day{1}/f{2}.jpg", "Pt{0}d{1}_f{2}_x.jpg", "Pt{0}/day{1}/s{1}_f{2}.jpg"])
def test_words_that_count_the_images_of_each_folder_are_no_classes(tmp_path: Path, form: str) -> None:
    names = [form.format(patient, day, image) for patient in range(3) for day in range(2) for image in (1, 2, 3)]
    # One visit has fewer images.
    assert "f2" not in refusal(touch(tmp_path, *names[:-1]))


def test_words_of_each_cell_are_no_classes_unless_they_suggest_some(tmp_path: Path) -> None:
    for words, is_proposed in (("DAPI GFP", False), ("blast mono", True)):
        names = [f"cell{n}_{word}.png" for n in range(4) for word in words.split()]
        message = refusal(touch(tmp_path / words, *names))
        assert ("write each of" in message) == is_proposed


def test_a_list_of_other_images_does_not_hide_the_folders(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{word}/_{n}_{n * 37}.jpeg" for word in ("EOSINOPHIL", "BLAST") for n in range(4)))
    (tmp_path / "labels.csv").write_text(",Image,Category\n0,0,EOSINOPHIL\n1,1,NEUTROPHIL\n")
    message = refusal(tmp_path)
    assert "write each of BLAST,EOSINOPHIL after its class" in message
    assert "the folder also has labels.csv (2 rows; columns , Image, Category)" in message
    assert len(found(tmp_path, *completed(message, "EOSINOPHIL", "BLAST")).rows) == 8
