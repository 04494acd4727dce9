"""Splits that are written for patients, or other ids, rather than for images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.second_try import found, refusal, rows_of, touch, write

from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading

PARTS = {"P1": "train", "P2": "train", "P3": "test", "P4": "test"}
CELLS = [f"{('hem', 'all')[n % 2]}/P{n}_{cell}.png" for n in range(1, 5) for cell in range(2)]
FOLDERS = [f"{('hem', 'all')[n % 2]}/P{n}/{cell}.png" for n in range(1, 5) for cell in range(2)]
LISTS = {"train_patients.txt": "P1\nP2\n", "test_patients.txt": "patient_id\nP3\n\nP4\n"}
TABLE = {"info/split.csv": "patient,split\n" + "".join(f"{name},{part}\n" for name, part in PARTS.items())}
RECORDS = {"splits.json": json.dumps({"fold": {"train": ["P1", "P2"], "test": ["P3", "P4"]}})}


def patient(path: str) -> str:
    return next(name for name in PARTS if name in path)


@pytest.mark.parametrize("names", [CELLS, FOLDERS])
@pytest.mark.parametrize("files", [LISTS, TABLE, RECORDS, {"train.txt": "P1\nP2", "test.txt": "P3\nP4"}])
def test_each_image_has_the_part_of_its_patient(tmp_path: Path, names: list[str], files: dict[str, str]) -> None:
    source = found(write(touch(tmp_path, *names), files))
    assert {path: part for path, (_, _, part) in rows_of(source).items()} == {
        path: PARTS[patient(path)] for path in names
    }
    # Only where the files say that these are patients.
    subjects = {path: subject for path, (_, subject, _) in rows_of(source).items()}
    is_named = "patient" in "".join([*files, *files.values()])
    assert subjects == {path: patient(path) if is_named else None for path in names}
    assert "--split-column split keeps it" in source.parts


def test_folds_of_patients_are_kept(tmp_path: Path) -> None:
    write(touch(tmp_path, *CELLS), {"folds.csv": "patient,fold\n" + "".join(f"P{n},{n % 2}\n" for n in range(1, 5))})
    kept = find_images(tmp_path, Reading(split_column="split"), labels=True)
    assert {(subject, part) for _, subject, part in rows_of(kept).values()} == {
        (f"P{n}", f"fold {n % 2}") for n in range(1, 5)
    }


def test_a_split_of_patients_is_kept(tmp_path: Path) -> None:
    write(touch(tmp_path, *CELLS), LISTS)
    kept = find_images(tmp_path, Reading(split_column="split"), labels=True)
    assert {patient(path) for path in rows_of(kept)} == {"P1", "P2"}
    assert "4 images of test are left out" in kept.parts


def test_subjects_that_are_given_otherwise_are_not_replaced(tmp_path: Path) -> None:
    write(touch(tmp_path, *CELLS), LISTS)
    rows = find_images(tmp_path, Reading(subject_pattern=""), labels=True).rows
    assert {row.subject for row in rows} == {None}


def test_a_table_of_images_has_the_parts_of_its_patients(tmp_path: Path) -> None:
    table = "image,patient,label\n" + "".join(f"c{n}.png,P{n // 2 + 1},{n % 2}\n" for n in range(8))
    write(touch(tmp_path, *(f"cells/c{n}.png" for n in range(8))), {"cells.csv": table} | LISTS)
    source = find_images(tmp_path, Reading(subject_column="patient"), labels=True)
    assert rows_of(source) == {f"cells/c{n}.png": (n % 2, f"P{n // 2 + 1}", PARTS[f"P{n // 2 + 1}"]) for n in range(8)}


def test_lists_that_lack_a_patient_are_named(tmp_path: Path) -> None:
    write(touch(tmp_path, *CELLS), {"train_patients.txt": "P1\nP2", "test_patients.txt": "P3"})
    source = found(tmp_path)
    assert {row.split for row in source.rows} == {None}
    assert any(
        "test_patients.txt, train_patients.txt are no split of the images" in note for note in source.named_notes
    )


def test_a_patient_in_two_parts_is_no_split(tmp_path: Path) -> None:
    write(touch(tmp_path, *CELLS), {"train_patients.txt": "P1\nP2\nP3", "test_patients.txt": "P3\nP4"})
    assert {row.split for row in found(tmp_path).rows} == {None}


def test_lists_of_patients_are_no_lists_of_images(tmp_path: Path) -> None:
    write(touch(tmp_path, "a.png", "b.png"), LISTS)
    assert "images without labels" in refusal(tmp_path)
