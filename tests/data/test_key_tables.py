"""Tables of patients and slides beside the table of images, or beside images with their ids in the names."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.second_try import completed, found, refusal, rows_of, touch, write

from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading

IMAGES = [f"cells/img_{number:02d}.png" for number in range(12)]
CELLS = "image,patient\n" + "".join(f"img_{n:02d}.png,P{n // 3:02d}\n" for n in range(12))
PATIENTS = "id,age,diagnosis\n" + "".join(f"P{n:02d},{n + 4},{('normal', 'leukemia')[n % 2]}\n" for n in range(4))
EXPECTED = {path: n // 3 % 2 for n, path in enumerate(IMAGES)}


def labels_of(data: Path, **options: str) -> dict[str, int | None]:
    source = find_images(data, Reading(**options), labels=True)  # type: ignore[arg-type]
    return {row.path.relative_to(data).as_posix(): row.label for row in source.rows}


@pytest.mark.parametrize("folder", ["", "tables/"])
def test_the_labels_of_patients_are_joined_to_their_images(tmp_path: Path, folder: str) -> None:
    write(touch(tmp_path, *IMAGES), {f"{folder}cells.csv": CELLS, f"{folder}patients.csv": PATIENTS})
    assert labels_of(tmp_path) == EXPECTED
    source = found(tmp_path)
    assert "columns of another table, joined by patient: age, diagnosis" in source.notes
    assert not any("did not read" in note for note in source.named_notes)
    read = find_images(tmp_path, Reading(subject_column="patient"), labels=True)
    assert {subject for _, subject, _ in rows_of(read).values()} == {"P00", "P01", "P02", "P03"}


def test_a_table_that_is_given_is_joined_with_those_beside_it(tmp_path: Path) -> None:
    write(touch(tmp_path, *IMAGES), {"cells.csv": CELLS, "patients.csv": PATIENTS})
    rows = find_images(tmp_path / "cells.csv", Reading(), labels=True).rows
    assert [row.label for row in rows] == list(EXPECTED.values())


def test_numbers_are_ids_only_if_the_columns_are_called_alike(tmp_path: Path) -> None:
    numbered = CELLS.replace("P0", "")
    files = {"cells.csv": numbered, "patients.csv": PATIENTS.replace("P0", "").replace("id,", "Patient ID,")}
    write(touch(tmp_path, *IMAGES), files)
    assert labels_of(tmp_path) == EXPECTED
    write(tmp_path, {"cells.csv": numbered.replace("patient", "focus")})
    assert "expected a column of labels, such as label, found image, focus" in refusal(tmp_path)


def test_tables_are_joined_one_after_the_other(tmp_path: Path) -> None:
    slides = "slide,patient\n" + "".join(f"S{n},P{n // 2:02d}\n" for n in range(8))
    cells = "image,slide\n" + "".join(f"img_{n:02d}.png,S{n // 3 * 2 + n % 2}\n" for n in range(12))
    write(touch(tmp_path, *IMAGES), {"cells.csv": cells, "slides.csv": slides, "patients.csv": PATIENTS})
    assert labels_of(tmp_path) == EXPECTED


def test_a_diagnosis_is_no_label_of_cells_that_have_one(tmp_path: Path) -> None:
    cells = "image,patient,label\n" + "".join(f"img_{n:02d}.png,P{n // 3:02d},{n % 2}\n" for n in range(12))
    write(touch(tmp_path, *IMAGES), {"cells.csv": cells, "patients.csv": PATIENTS.replace("age", "split")})
    assert labels_of(tmp_path) == {path: n % 2 for n, path in enumerate(IMAGES)}
    assert "columns of another table, joined by patient: split" in found(tmp_path).notes


def test_an_unknown_word_of_patients_is_mapped_at_the_second_try(tmp_path: Path) -> None:
    table = PATIENTS.replace("diagnosis", "Befund").replace("normal", "gesund").replace("leukemia", "krank")
    write(touch(tmp_path, *IMAGES), {"cells.csv": CELLS, "patients.csv": table})
    message = refusal(tmp_path)
    assert "--label-column Befund --classes" in message
    classes = tuple(completed(message, "gesund", "krank"))
    source = find_images(tmp_path, Reading(label_column="Befund", classes=classes), labels=True)
    assert [row.label for row in source.rows] == list(EXPECTED.values())


def test_a_patient_without_a_row_is_named(tmp_path: Path) -> None:
    write(touch(tmp_path, *IMAGES), {"cells.csv": CELLS, "patients.csv": PATIENTS.rpartition("P03")[0]})
    message = refusal(tmp_path)
    assert "expected the label 0 (normal) or 1 (leukemic) in every row" in message
    assert "row 11: no label" in message


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("{patient}_{n}.png", "P"),
        ("{n}-{patient}c.png", "P"),
        ("{patient}_{n}.png", ""),
        ("day 1/{patient} {n}.png", "P"),
    ],
)
def test_ids_in_the_names_of_images_are_those_of_a_table(tmp_path: Path, name: str, ids: str) -> None:
    names = [name.format(patient=f"{ids}{n // 3:02d}", n=n + 50) for n in range(12)]
    table = PATIENTS.replace("P", ids).replace("id", "patient").replace("\n0", "\n") if not ids else PATIENTS
    write(touch(tmp_path, *names), {"patients.csv": table})
    assert labels_of(tmp_path) == {each: n // 3 % 2 for n, each in enumerate(names)}
    column = table.partition(",")[0]
    assert f"give --subject-column {column}" in "".join(found(tmp_path).notes)
    rows = find_images(tmp_path, Reading(subject_column=column), labels=True).rows
    assert len({row.subject for row in rows}) == 4


def test_ids_at_different_places_are_none(tmp_path: Path) -> None:
    names = [f"P{n // 3:02d}_{n}.png" if n % 2 else f"{n}_P{n // 3:02d}.png" for n in range(12)]
    write(touch(tmp_path, *names), {"patients.csv": PATIENTS})
    assert "images without labels" in refusal(tmp_path)


def test_images_that_are_numbered_in_each_folder_are_not_mixed_up(tmp_path: Path) -> None:
    """A table of other images has the same names."""
    names = [f"{part}/{n}.png" for part in ("train", "valid") for n in range(6)]
    table = "Path,label\n" + "".join(f"{name},{n % 2}\n" for n, name in enumerate(names))
    subjects = "file,subject\n" + "".join(f"{n}.png,S{n}\n" for n in range(6))
    write(touch(tmp_path, *names), {"list.csv": table, "subjects.csv": subjects})
    assert {row.subject for row in found(tmp_path).rows} == {None}
    table = "Path,label\n" + "".join(f"{name},{n % 2}\n" for n, name in enumerate(names[:6]))
    write(tmp_path, {"list.csv": table})
    assert {row.subject for row in found(tmp_path).rows} == {None}


def test_subjects_of_the_same_images_are_joined_by_their_paths(tmp_path: Path) -> None:
    names = [f"{part}/{n}.png" for part in ("train", "valid") for n in range(3)]
    table = "Path,label\n" + "".join(f"{name},{n % 2}\n" for n, name in enumerate(names))
    subjects = "file,subject\n" + "".join(f"D:\\x\\{name},S{n}\n" for n, name in enumerate(names)).replace("/", "\\")
    write(touch(tmp_path, *names), {"list.csv": table, "subjects.csv": subjects})
    assert [row.subject for row in found(tmp_path).rows] == [f"S{n}" for n in range(6)]


def test_a_given_table_with_labels_has_only_the_columns_that_options_name(tmp_path: Path) -> None:
    cells = "image,patient,label\n" + "".join(f"img_{n:02d}.png,P{n // 3:02d},{n % 2}\n" for n in range(12))
    table = "patient,split,subject\n" + "".join(f"P{n:02d},{('train', 'test')[n % 2]},Q{n}\n" for n in range(4))
    write(touch(tmp_path, *IMAGES), {"cells.csv": cells, "patients.csv": table})
    rows = find_images(tmp_path / "cells.csv", Reading(), labels=True).rows
    assert {(row.subject, row.split) for row in rows} == {(None, None)}
    kept = find_images(tmp_path / "cells.csv", Reading(split_column="split", subject_column="subject"), labels=True)
    assert {row.subject for row in kept.rows} == {"Q0", "Q2"}


def test_tables_that_contradict_one_another_are_refused(tmp_path: Path) -> None:
    old = PATIENTS.replace("P01,5,leukemia", "P01,5,normal")
    write(touch(tmp_path, *IMAGES), {"cells.csv": CELLS, "patients.csv": PATIENTS, "patients_old.csv": old})
    assert "patients.csv and patients_old.csv have different values of diagnosis for P01; move one" in refusal(tmp_path)


def test_the_id_of_another_patient_with_a_letter_behind_it_is_no_id(tmp_path: Path) -> None:
    names = [f"P{n // 3:02d}_{n}.png" for n in range(12)]
    write(touch(tmp_path, *names, "P01b_12.png"), {"patients.csv": PATIENTS})
    assert "images without labels" in refusal(tmp_path)
    (tmp_path / "P01b_12.png").unlink()
    for path in [tmp_path / name for name in names]:
        path.rename(path.with_name(path.name.replace("_", "c")))
    assert {path: label for path, (label, _, _) in rows_of(found(tmp_path)).items()} == {
        name.replace("_", "c"): n // 3 % 2 for n, name in enumerate(names)
    }
