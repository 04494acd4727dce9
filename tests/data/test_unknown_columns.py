"""CSVs with other columns: paths are found by their values, labels by a line to type; rows may stand for folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.reading import Reading
from tests.helpers.second_try import before_list


def draw(folder: Path, *names: str) -> None:
    """Images of noise, all different."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(list(name.encode()))
        Image.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)


def classes_of(catalog: Catalog) -> dict[str, int]:
    table = catalog.table
    return dict(zip(table["image_id"], table["label"], strict=True))


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Eight images, ``photos/0.png`` to ``photos/7.png``."""
    draw(tmp_path, *(f"photos/{number}.png" for number in range(8)))
    return tmp_path


def write(path: Path, header: str, rows: list[str], encoding: str = "utf-8") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("form", ["photos/{}.png", "{}.png", "{}", "D:\\cells\\photos\\{}.png"])
def test_paths_are_found_in_a_column_of_any_name(cells: Path, form: str) -> None:
    rows = [f"P{number // 2},{form.format(number)},{('hem', 'all')[number % 2]}" for number in range(8)]
    catalog = read_catalog(write(cells / "list.csv", "who,Bild,label", rows))
    assert classes_of(catalog) == {f"photos/{number}.png": number % 2 for number in range(8)}
    assert "paths are read from the column bild" in catalog.notes


def test_names_with_a_suffix_are_paths_whatever_the_column_is_called(cells: Path) -> None:
    catalog = read_catalog(write(cells / "list.csv", "case,label", [f"{row}.png,{row % 2}" for row in range(8)]))
    assert classes_of(catalog) == {f"photos/{row}.png": row % 2 for row in range(8)}


def test_a_column_of_a_usual_name_is_read_before_others(cells: Path) -> None:
    rows = [f"photos/{number}.png,photos/{7 - number}.png,{number % 2}" for number in range(8)]
    catalog = read_catalog(write(cells / "list.csv", "Bild,Path,label", rows))
    assert classes_of(catalog)["photos/7.png"] == 0


def test_numbers_of_labels_and_patients_are_no_names_of_images(cells: Path) -> None:
    path = write(cells / "list.csv", "patient,label", ["0,1", "1,0"])
    with pytest.raises(UserError, match=r"expected a column Path, found patient, label; no column has the names"):
        read_catalog(path)


def test_of_two_columns_of_paths_neither_is_guessed(cells: Path) -> None:
    rows = [f"photos/{number}.png,photos/{7 - number}.png,{number % 2}" for number in range(8)]
    path = write(cells / "list.csv", "Bild,Other,label", rows)
    with pytest.raises(
        UserError,
        match=r"columns bild, other have names of images; leave only one of them in the CSV\n  for a CSV of all images",
    ):
        read_catalog(path)


def test_values_of_no_image_are_shown_beside_one(cells: Path) -> None:
    path = write(cells / "list.csv", "Bild,label", [f"cell-{number},{number % 2}" for number in range(8)])
    with pytest.raises(
        UserError,
        match=r"expected a column Path, found Bild, label; no column has the names of images or folders below .*, such "
        r"as photos/0.png; Bild has cell-0: write them as they are there, or give their folder with --base"
        r"\n  for a CSV of all images",
    ):
        read_catalog(path)


def test_one_line_says_what_to_type_for_unknown_columns_and_words(cells: Path) -> None:
    words = ["control", "AML"]
    rows = [
        f"{number}.png,Pt {number // 2},{words[number % 2]},{('train', 'test')[number // 4]}" for number in range(8)
    ]
    path = write(cells / "labels.csv", "File,Patient,Group,Set", rows)
    with pytest.raises(UserError) as raised:
        read_catalog(path)
    assert "Group: AML (4), control (4)" in str(raised.value)
    assert before_list(str(raised.value)).endswith("--label-column Group --classes normal=WORD,... leukemic=WORD,...")
    assert "Set" not in str(raised.value).splitlines()[1]
    reading = Reading(label_column="Group", classes=("normal=control", "leukemic=AML"))
    assert sorted(classes_of(read_catalog(path, reading)).values()) == [0] * 4 + [1] * 4


def test_known_words_need_only_the_column(cells: Path) -> None:
    rows = [f"{number}.png,{('m', 'w')[number // 4]},{('healthy', 'cancer')[number % 2]}" for number in range(8)]
    path = write(cells / "labels.csv", "File,Sex,Group", rows)
    with pytest.raises(UserError, match=r"these may have labels, read one with --label-column Group:\n  Group: cancer"):
        read_catalog(path)
    assert classes_of(read_catalog(path, Reading(label_column="group")))["photos/1.png"] == 1


def test_a_csv_without_anything_like_labels(cells: Path) -> None:
    path = write(cells / "labels.csv", "File,patient", [f"{number}.png,{number // 2}" for number in range(8)])
    with pytest.raises(UserError, match=r"expected a column of labels, such as label, found File, patient; add one"):
        read_catalog(path)


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Three patients' folders of three images, one of them deeper."""
    draw(tmp_path, *(f"Fälle/E-{case}/{name}" for case in (40, 47, 54) for name in ("1.png", "2.png", "x/3.png")))
    return tmp_path


def test_a_row_per_patient_labels_the_images_in_its_folder(patients: Path) -> None:
    rows = ["E-40;AML;Müller", "E-47;gesund;Müller", "E-54;AML;Müller"]
    path = write(patients / "Befunde.csv", "Fall;Diagnose;Befunder", rows, encoding="latin-1")
    reading = Reading(label_column="Diagnose", classes=("normal=gesund", "leukemic=AML"))
    for data in (path, patients):
        catalog = read_catalog(data, reading)
        assert {image_id.split("/")[1]: label for image_id, label in classes_of(catalog).items()} == {
            "E-40": 1,
            "E-47": 0,
            "E-54": 1,
        }
        assert len(catalog.table) == 9
        assert any("stands for a folder, named in the column Fall: 9 images; if a" in note for note in catalog.notes)
        assert any("was read as Windows-1252" in note for note in catalog.notes)
    catalog = read_catalog(path, Reading(**{**reading.given(), "subject_column": "Fall"}))
    assert catalog.table["subject"].nunique() == 3


def test_folders_without_a_row_are_counted(patients: Path) -> None:
    catalog = read_catalog(write(patients / "cases.csv", "Fall,label", ["E-40,0", "E-47,1"]))
    assert len(catalog.table) == 6
    assert "3 images are in folders without a row of the CSV, and not read" in catalog.notes


def test_of_two_columns_of_folders_neither_is_guessed(patients: Path) -> None:
    path = write(patients / "cases.csv", "Fall,Other,label", ["E-40,E-47,0", "E-47,E-40,1"])
    with pytest.raises(UserError, match=r"columns fall, other have names of folders of images; leave only one"):
        read_catalog(path)


def test_a_row_whose_folder_is_misspelt_is_named(patients: Path) -> None:
    cases = [f"E-{case},{case % 2}" for case in (40, 47, 54)]
    many = [f"N-{case},0" for case in range(30)]
    draw(patients, "N_29/1.png", *(f"N-{case}/1.png" for case in range(29)))
    path = write(patients / "cases.csv", "Fall,label", [*cases, *many])
    with pytest.raises(UserError, match=r"1 of 39 images does not exist .* or remove these rows:\n  row 34: N-29$"):
        read_catalog(path)


def test_text_that_no_encoding_explains_is_refused(cells: Path) -> None:
    path = cells / "list.csv"
    path.write_bytes(b"Path,label\nphotos/\x81.png,0\n")
    with pytest.raises(UserError, match=r"expected a CSV in UTF-8 .*; export it again as CSV UTF-8$"):
        read_catalog(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_a_text_of_a_spreadsheet_is_a_table_with_a_split_of_any_name(cells: Path, encoding: str) -> None:
    parts = ("E\u011fitim", "E\u011fitim", "Do\u011frulama", "Test")
    rows = [
        f"{n + 1}\tphotos/{n}.PNG\tH-{n // 2}\t{n // 2 + 5}\t{('hem', 'all')[n % 2]}\t{parts[n // 2]}" for n in range(8)
    ]
    write(cells / "liste.txt", "S\u0131ra\tDosya ad\u0131\tHasta No\tYa\u015f\tlabel\tK\u00fcme", rows, encoding)
    catalog = read_catalog(cells)
    assert classes_of(catalog) == {f"photos/{number}.png": number % 2 for number in range(8)}
    assert "4 train, 2 validation, 2 test images, together; --split-column k\u00fcme keeps it" in catalog.parts
    # The column of patients, and neither their ages nor anything else.
    assert "--subject-column 'Hasta No' reads the column Hasta No, --subjects-from" in catalog.subject_notes[0]
    kept = read_catalog(cells, Reading(split_column="K\u00fcme", subject_column="Hasta No"))
    assert kept.table["split"].tolist() == ["train"] * 4 + ["validation"] * 2


def test_diagnoses_are_proposed_before_sexes_and_ages(cells: Path) -> None:
    rows = [f"photos/{n}.png,{'MV'[n % 2]},{n // 2},{('Control sano', 'LLA')[n // 4]}" for n in range(8)]
    write(cells / "list.csv", "foto,Sexo,Edad,Diagn\u00f3stico", rows)
    with pytest.raises(UserError) as caught:
        read_catalog(cells)
    assert "\n  Diagn\u00f3stico: Control sano (4), LLA (4)\n  write each of Control sano,LLA after" in str(
        caught.value
    )
    assert "Sexo:" not in str(caught.value)


def test_a_row_without_a_label_beside_one_with_is_not_read(cells: Path) -> None:
    rows = [f"photos/{n}.png,{n % 2}" for n in range(8)]
    catalog = read_catalog(write(cells / "list.csv", "Path,label", ["photos/0.png,", *rows]))
    assert len(catalog.table) == 8
    assert "1 row of the CSV has no label, but others of the same images have one" in catalog.notes
