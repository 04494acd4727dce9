"""Several tables that list the same images, or one for each patient: rows of images are preferred to rows of folders,
tables with the same columns are read as one, and none is left out without a word."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest
from helpers.second_try import before_list, touch

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading

CELLS = ("lymphoblast", "lymphocyte", "lymphoblast", "monocyte")
TYPES = Reading(label_column="type", classes=("normal=lymphocyte,monocyte", "leukemic=lymphoblast"))
DIAGNOSES = Reading(classes=("normal=healthy", "leukemic=B-ALL"))
PATIENTS = "id,diagnosis\nP01,B-ALL\nP02,B-ALL\nP03,healthy\nP04,healthy\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def ward(data: Path, name: str = "{0}/{0}.csv", row: str = "c{1}.png") -> Path:
    """Cells of four patients, the first two with leukemia, and their types in CSVs ``name``; ``patients.csv``."""
    write(data / "patients.csv", PATIENTS)
    lines: dict[Path, list[str]] = {}
    for patient in ("P01", "P02", "P03", "P04"):
        types = CELLS if patient < "P03" else ("lymphocyte", "monocyte", "lymphocyte", "monocyte")
        for number, word in enumerate(types):
            touch(data, f"{patient}/cells/c{number}.png")
            rows = lines.setdefault(data / name.format(patient), ["cell,type,confidence"])
            rows.append(f"{row.format(patient, number)},{word},0.{len(rows)}{number}")
    for path, rows in lines.items():
        write(path, "\n".join(rows))
    return data


def words_of(source: Source) -> Counter:
    return Counter((row.word, row.label) for row in source.rows)


SHAPES = [
    ("{0}/{0}.csv", "c{1}.png"),
    ("{0}/cells/list.csv", "c{1}.png"),
    ("lists/{0}/all.csv", "{0}/cells/c{1}.png"),
    ("cells.csv", "{0}/cells/c{1}.png"),
    ("tables/cells.csv", "{0}/cells/c{1}.png"),
]


@pytest.mark.parametrize(("name", "row"), SHAPES)
def test_tables_of_images_are_preferred_to_one_of_folders_and_read_together(
    tmp_path: Path, name: str, row: str
) -> None:
    data = ward(tmp_path, name, row)
    for reading in (Reading(), DIAGNOSES):
        with pytest.raises(UserError) as caught:
            find_images(data, reading, labels=True)
        message = str(caught.value)
        assert "lymphoblast (4), lymphocyte (6), monocyte (6)" in message
        assert f"whole folders instead (patients.csv (4 rows)), give {data / 'patients.csv'}\n" in message
        assert (
            "--label-column type --classes normal=WORD,... leukemic=WORD,..." in before_list(message).splitlines()[-1]
        )
    source = find_images(data, TYPES, labels=True)
    assert words_of(source) == {("lymphoblast", 1): 4, ("lymphocyte", 0): 6, ("monocyte", 0): 6}
    assert "patients.csv (4 rows)" in "\n".join(source.named_notes)


def test_the_table_of_folders_is_read_if_its_path_is_given_and_the_others_are_named(tmp_path: Path) -> None:
    data = ward(tmp_path)
    source = find_images(data / "patients.csv", DIAGNOSES, labels=True)
    assert words_of(source) == {("B-ALL", 1): 8, ("healthy", 0): 8}
    names = ", ".join(f"P0{number}/P0{number}.csv (4 rows)" for number in (1, 2, 3, 4))
    assert f"did not read {names}; to read a CSV, give its path" in source.named_notes


def test_the_words_of_all_patients_are_shown_where_there_is_no_other_table(tmp_path: Path) -> None:
    data = ward(tmp_path)
    (data / "patients.csv").unlink()
    with pytest.raises(UserError, match=r"\*/\*\.csv: .*\n  type: lymphoblast \(4\), lymphocyte \(6\), monocyte \(6\)"):
        find_images(data, Reading(), labels=True)
    assert words_of(find_images(data, TYPES, labels=True))["lymphoblast", 1] == 4


def test_tables_of_folders_without_labels_of_images_are_named_only(tmp_path: Path) -> None:
    data = ward(tmp_path)
    for table in data.glob("P0*/*.csv"):
        table.write_text("\n".join(["cell,area", *(f"c{number}.png,{number}7.5" for number in range(4))]))
    source = find_images(data, DIAGNOSES, labels=True)
    assert words_of(source) == {("B-ALL", 1): 8, ("healthy", 0): 8}
    assert "P04/P04.csv (4 rows); to read a CSV" in "\n".join(source.named_notes)


def test_tables_below_class_folders_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "hem/0.png", "all/1.png")
    write(tmp_path / "all" / "quality.csv", "image,focus\n1.png,good\n")
    notes = find_images(tmp_path, Reading(), labels=True).named_notes
    assert "did not read all/quality.csv (1 row); to read a CSV, give its path" in notes


def test_rows_of_the_file_are_counted_not_images(tmp_path: Path) -> None:
    data = ward(tmp_path)
    with pytest.raises(UserError, match=r"'B-ALL': row 2 and 1 more\n"):
        find_images(data / "patients.csv", Reading(), labels=True)


@pytest.mark.parametrize("reading", [Reading(), Reading(label_column="type")])
def test_the_words_of_all_csvs_that_are_given_are_shown(tmp_path: Path, reading: Reading) -> None:
    data = ward(tmp_path)
    first, *also = sorted(map(str, data.glob("P0*/*.csv")), reverse=True)
    given = Reading(also=tuple(also), label_column=reading.label_column)
    with pytest.raises(UserError) as caught:
        find_images(Path(first), given, labels=True)
    assert "write each of lymphoblast,lymphocyte,monocyte after its class" in str(caught.value)
    source = find_images(
        Path(first), Reading(also=tuple(also), label_column="type", classes=TYPES.classes), labels=True
    )
    assert words_of(source)["lymphoblast", 1] == 4


def test_one_table_in_a_folder_of_its_own_is_read_with_the_words_of_its_refusal(tmp_path: Path) -> None:
    touch(tmp_path, *(f"photos/{number}.png" for number in range(4)))
    write(tmp_path / "tables" / "cells.csv", "file,class\n" + "".join(f"{n}.png,{'xy'[n % 2]}\n" for n in range(4)))
    with pytest.raises(UserError, match=r"cells.csv: .*\n  'x': row 2 and 1 more\n"):
        find_images(tmp_path, Reading(), labels=True)
    source = find_images(tmp_path, Reading(classes=("normal=x", "leukemic=y")), labels=True)
    assert words_of(source) == {("x", 0): 2, ("y", 1): 2}


def test_other_files_beside_a_table_are_named_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{number}.png" for number in range(2)), "annotations.dat", "cells/notes.doc")
    write(tmp_path / "list.csv", "Path,label\ncells/0.png,0\ncells/1.png,1\n")
    source = find_images(tmp_path, Reading(), labels=True)
    assert "did not read annotations.dat" in source.named_notes
    assert "ignored 2 files without an image suffix (.dat: 1, .doc: 1)" in source.notes


def test_of_several_other_tables_below_the_path_of_the_one_that_is_meant_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"photos/{number}.png" for number in range(4)))
    write(tmp_path / "tables" / "cells.csv", "file,class\n" + "".join(f"{n}.png,{'xy'[n % 2]}\n" for n in range(4)))
    write(tmp_path / "tables" / "staff.csv", "name,role\nA,reader\nB,reader\n")
    with pytest.raises(UserError, match="for this CSV, give its path: ") as caught:
        find_images(tmp_path, Reading(), labels=True)
    path, option, base = shlex.split(str(caught.value).partition("give its path: ")[2].splitlines()[0])
    assert option == "--base"
    source = find_images(Path(path), Reading(base=base, classes=("normal=x", "leukemic=y")), labels=True)
    assert words_of(source) == {("x", 0): 2, ("y", 1): 2}
