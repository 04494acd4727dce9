"""What rows call their images: folders of patients, ids without leading zeros, and some that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.tables import labels_of, touch, typed, write_lines

CASES = [40, 47, 54, 55]


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Four folders of patients, each with three images."""
    return touch(tmp_path, *(f"E-{case}/{number}.png" for case in CASES for number in range(3)))


def test_rows_without_a_folder_are_named_also_in_a_small_table(patients: Path) -> None:
    rows = [f"E-{case},{number % 2}" for number, case in enumerate([*CASES, 60, 61])]
    path = write_lines(patients / "cases.csv", "case,label", *rows)
    # A patient without images is ordinary, also beside an image of no patient, but one may be misspelt.
    for data in (path, patients):
        assert len(typed(data).rows) == 12
        assert "2 rows of the CSV have no images" in typed(data).notes
    touch(patients, "figures/S3.png")
    for data in (path, patients):
        assert "2 rows of the CSV have no images" in typed(data).notes
        assert "1 image is in folders without a row of the CSV, and not read" in typed(data).notes
    touch(patients, "E-6O/1.png")
    for data in (path, patients):
        with pytest.raises(UserError, match=r"1 of 13 images does not exist .* these rows:\n  row 6: E-60$"):
            typed(data)


@pytest.mark.parametrize("column", ["Path", "image", "file_name"])
def test_a_column_called_for_paths_may_have_folders(patients: Path, column: str) -> None:
    rows = [f"E-{case},{number % 2}" for number, case in enumerate(CASES)]
    path = write_lines(patients / "cases.csv", f"{column},label", *rows)
    source = typed(path, options=f"--subject-column {column}")
    assert labels_of(source)["E-47/2.png"] == 1
    assert {row.subject for row in source.rows} == {f"E-{case}" for case in CASES}
    assert f"named in the column {column}: 12 images" in source.notes[0]


def test_ids_of_patients_whose_images_are_named_otherwise(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{case}_{number}.png" for case in CASES for number in range(2)))
    path = write_lines(tmp_path / "cases.csv", "Path,label", *(f"{case},{case % 2}" for case in CASES))
    with pytest.raises(
        UserError,
        match=r"or write a row for each image, with its path .*, such as cells/40_0.png\n  for a CSV of all images",
    ):
        typed(path)
    rows = [f"cells/{case}_{number}.png,{case % 2}" for case in CASES for number in range(2)]
    assert len(typed(write_lines(path, "Path,label", *rows)).rows) == 8


def test_images_that_are_missing_are_named_in_a_small_table(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{number}.png" for number in range(4)))
    path = write_lines(tmp_path / "cells.csv", "Bild,label", *(f"{number}.png,{number % 2}" for number in range(5)))
    with pytest.raises(UserError, match=r"1 of 5 images does not exist .*\n  row 6: 4.png$"):
        typed(path)


@pytest.mark.parametrize(
    ("header", "form", "there"),
    [
        ("image_id", "{}", "cells/{:04}.png"),
        ("id", "{}", "cells/{:03}.PNG"),
        ("image ID", "{}", "cells/{:03}.png"),
        ("Img_No", "{}", "cells/{:04}.png"),
        ("cell_id", "{}", "cells/{:04}.png"),
        ("file", "a/Img_{}.png", "a/img_{:05}.png"),
    ],
)
def test_ids_without_leading_zeros_are_found_if_all_are(tmp_path: Path, header: str, form: str, there: str) -> None:
    touch(tmp_path, *(there.format(number) for number in range(8, 12)))
    rows = [f"{form.format(number)},{number % 2}" for number in range(8, 12)]
    path = write_lines(tmp_path / "cells.csv", f"{header},label", *rows)
    source = typed(path)
    assert labels_of(source) == {there.format(number): number % 2 for number in range(8, 12)}
    assert "4 of 4 paths in the CSV do not exist as written" in " ".join(source.notes)
    assert "4 of them differ in leading zeros, case" in " ".join(source.notes)


def test_ids_are_not_completed_beside_images_that_are_there(tmp_path: Path) -> None:
    touch(tmp_path, "7.png", "008.png")
    path = write_lines(tmp_path / "cells.csv", "file,label", "7.png,0", "8.png,1")
    with pytest.raises(UserError, match=r"1 of 2 images does not exist .*\n  row 3: 8.png$"):
        typed(path)
    touch(tmp_path, "a/007.png", "a/07.png")
    write_lines(path, "file,label", "a/7.png,0", "a/8.png,1")
    with pytest.raises(
        UserError, match=r"several files may be meant; .*\n  row 2: a/7.png may be a/007.png, a/07.png$"
    ):
        typed(path)


def test_a_column_of_numbers_is_read_if_it_is_called_for_images(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{number:04}.png" for number in range(8)))
    rows = [f"{number},{number % 2}" for number in range(8)]
    path = write_lines(tmp_path / "cells.csv", "number,label", *rows)
    with pytest.raises(
        UserError, match=r"such as cells/0000.png; number has 0, as if without leading zeros: call this column image_id"
    ):
        typed(path)
    assert len(typed(write_lines(path, "image_id,label", *rows)).rows) == 8


def test_numbers_that_recur_in_several_folders_are_found_in_the_one_that_is_proposed(tmp_path: Path) -> None:
    for part in ("test", "train"):
        touch(tmp_path, *(f"{part}ing/{number}.png" for number in range(4)))
        write_lines(tmp_path / f"{part}_labels.csv", "id,label", *(f"{number},{number % 2}" for number in range(4)))
    with pytest.raises(UserError, match=r"train_labels.csv: .* several files may be meant; write the full") as caught:
        typed(tmp_path)
    option = str(caught.value).splitlines()[0].partition("give this CSV with ")[2].removesuffix(":")
    assert labels_of(typed(tmp_path / "train_labels.csv", options=option)) == {f"{n}.png": n % 2 for n in range(4)}
    assert option == f"--base {tmp_path / 'training'}"


def test_copies_in_one_folder_are_told_apart_by_their_full_paths_only(tmp_path: Path) -> None:
    touch(tmp_path, *(f"cells/{number}.{suffix}" for number in range(4) for suffix in ("jpg", "webp")))
    path = write_lines(tmp_path / "cells.csv", "file,label", *(f"{number},{number % 2}" for number in range(4)))
    with pytest.raises(UserError, match=r"may be meant; write the full path:\n  row 2: 0 may be cells/0.jpg, cells/0"):
        typed(path)
    write_lines(path, "file,label", *(f"cells/{number}.jpg,{number % 2}" for number in range(4)))
    assert len(typed(path).rows) == 4


def test_folders_of_patients_are_found_without_their_leading_zeros(tmp_path: Path) -> None:
    touch(tmp_path, *(f"data/{case:05d}/2023/{number}.png" for case in (412, 7, 1077) for number in range(2)))
    write_lines(tmp_path / "cases.csv", "N\u00ba Historia;Edad;label", "412;7;0", "7;5;1", "1077;11;0")
    source = typed(tmp_path, options="--subject-column 'N\u00ba Historia'")
    assert {row.path.parent.parent.name: (row.label, row.subject) for row in source.rows} == {
        "00412": (0, "412"),
        "00007": (1, "7"),
        "01077": (0, "1077"),
    }
