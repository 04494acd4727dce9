"""Labels in a file beside each image, or in each folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.second_try import completed, found, refusal, rows_of, touch, write

from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading

WORDS = ["normal", "ALL"]
NAMES = [f"images/c{number}.png" for number in range(6)]
VOC = (
    "<annotation><folder>x</folder><filename>c.png</filename><size><width>60</width></size>"
    "<object><name>{}</name><bndbox><xmin>1</xmin></bndbox></object>"
    "<object><name>{}</name><bndbox><xmin>3</xmin></bndbox></object></annotation>"
)
LABELME = {"version": "5", "flags": {}, "imagePath": "c.png", "imageData": "A" * 2_000}


@pytest.mark.parametrize("folder", ["images", "labels"])
@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("json", lambda word: json.dumps({"label": word, "patient": "P1"})),
        ("json", lambda word: json.dumps(LABELME | {"shapes": [{"label": word, "points": [[1, 2], [3, 4]]}] * 2})),
        ("xml", lambda word: VOC.format(word, word)),
        ("txt", lambda word: f"{word}\n"),
        ("txt", lambda word: f"Patient: P1\nLabel: {word}\n"),
    ],
)
def test_labels_beside_images_are_read(tmp_path: Path, folder: str, suffix: str, text: Callable[[str], str]) -> None:
    files = {f"{folder}/c{n}.{suffix}": text(WORDS[n % 2]) for n in range(6)}
    source = found(write(touch(tmp_path, *NAMES), files))
    assert {path: label for path, (label, _, _) in rows_of(source).items()} == {
        name: n % 2 for n, name in enumerate(NAMES)
    }
    assert not any("did not read" in note for note in source.named_notes)


def test_columns_and_words_of_texts_are_named_at_the_second_try(tmp_path: Path) -> None:
    files = {f"images/c{n}.txt": f"Case = P{n // 3}\nFinding = {('odd', 'blast')[n % 2]}" for n in range(6)}
    message = refusal(write(touch(tmp_path, *NAMES), files))
    assert "--label-column finding --classes" in message
    reading = Reading(label_column="finding", classes=tuple(completed(message, "odd", "blast")), subject_column="case")
    source = find_images(tmp_path, reading, labels=True)
    assert {path: row[:2] for path, row in rows_of(source).items()} == {
        name: (n % 2, f"P{n // 3}") for n, name in enumerate(NAMES)
    }


def test_numbers_of_yolo_need_names_or_classes(tmp_path: Path) -> None:
    files = {f"labels/c{n}.txt": f"{n % 2} 0.5 0.5 0.25 1\n" * 2 for n in range(6)}
    message = refusal(write(touch(tmp_path, *NAMES), files))
    assert "the numbers of the classes have no names; write each of 0,1 after its class" in message
    expected = {name: n % 2 for n, name in enumerate(NAMES)}
    read = {path: label for path, (label, _, _) in rows_of(found(tmp_path, *completed(message, "0", "1"))).items()}
    assert read == expected
    write(tmp_path, {"data.yaml": "names: [lymphocyte, blast]"})
    assert {path: label for path, (label, _, _) in rows_of(found(tmp_path)).items()} == expected


def test_names_of_numbers_that_contradict_them_are_refused(tmp_path: Path) -> None:
    files = {f"labels/c{n}.txt": f"{n % 2} 0.5 0.5 1 1" for n in range(6)} | {"labels/classes.txt": "ALL\nnormal\n"}
    assert "by classes.txt, 0 is ALL, 1 is normal" in refusal(write(touch(tmp_path, *NAMES), files))


@pytest.mark.parametrize("files", [{"info.json": '{{"diagnosis": "{}"}}'}, {"diagnosis.txt": "{}"}])
def test_a_file_in_each_folder_is_about_its_images(tmp_path: Path, files: dict[str, str]) -> None:
    names = [f"P{n // 2}/{n}.png" for n in range(6)]
    texts = {f"P{n}/{name}": text.format(WORDS[n % 2]) for n in range(3) for name, text in files.items()}
    source = found(write(touch(tmp_path, *names), texts))
    assert {path: label for path, (label, _, _) in rows_of(source).items()} == {
        name: n // 2 % 2 for n, name in enumerate(names)
    }


@pytest.mark.parametrize("text", ["Taken at the hospital on Monday.", "giemsa", ""])
def test_other_texts_are_no_labels(tmp_path: Path, text: str) -> None:
    files = {f"images/c{n}.txt": text for n in range(6)}
    message = refusal(write(touch(tmp_path, *NAMES), files))
    assert "--label-sheet" in message.splitlines()[-1]
    assert "expected the label 0" not in message


def test_images_with_two_labels_are_refused(tmp_path: Path) -> None:
    files = {f"images/c{n}.xml": VOC.format("normal", "ALL") for n in range(6)}
    assert "images have different labels in several rows" in refusal(write(touch(tmp_path, *NAMES), files))


def _tags(number: int) -> list[dict[str, object]]:
    """As Supervisely writes them, in any order."""
    tags: list[dict[str, object]] = [
        {"id": 1, "name": "cell_class", "value": ("lymphocyte", "blast")[number % 2], "labelerLogin": "anna"},
        {"id": 2, "name": "patient", "value": f"K{number // 2}", "labelerLogin": "jonas"},
        {"id": 3, "name": ("train", "val")[number > 3], "value": None, "labelerLogin": "anna"},
    ]
    return tags[number % 3 :] + tags[: number % 3]


def test_the_tags_of_supervisely_are_columns(tmp_path: Path) -> None:
    names = [f"batch{n // 4}/img/c{n}.png" for n in range(6)]
    files = {
        f"batch{n // 4}/ann/c{n}.png.json": json.dumps({"description": "", "tags": _tags(n), "objects": []})
        for n in range(6)
    }
    message = refusal(write(touch(tmp_path, *names), files | {"meta.json": json.dumps({"classes": []})}))
    assert "--label-column cell_class" in message
    items = ("normal=lymphocyte", "leukemic=blast")
    options = {"label_column": "cell_class", "subject_column": "patient", "split_column": "split"}
    source = find_images(tmp_path, Reading(classes=items, **options), labels=True)
    assert rows_of(source) == {
        name: (n % 2, f"K{n // 2}", ("train", "validation")[n > 3]) for n, name in enumerate(names)
    }


def test_a_file_that_has_the_whole_name_of_its_image_is_its_sidecar(tmp_path: Path) -> None:
    files = {f"images/c{n}.png.json": json.dumps({"label": WORDS[n % 2]}) for n in range(6)}
    assert len(found(write(touch(tmp_path, *NAMES), files)).rows) == 6
