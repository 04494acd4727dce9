"""The base folder of a CSV's paths: its own folder, one above up to the one that was given, or what ``--base`` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from tests.helpers.tables import labels_of, touch, typed, write_lines

ROWS = [f"images/{number}.png,{number % 2}" for number in range(4)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images, and a list in another folder whose paths are from the outer one."""
    touch(tmp_path / "data", *(row.split(",")[0] for row in ROWS))
    write_lines(tmp_path / "data/lists/cells.csv", "Path,label", *ROWS)
    return tmp_path / "data"


def test_paths_from_the_folder_above_are_found_and_said(data: Path) -> None:
    for given in (data / "lists/cells.csv", data / "lists"):
        source = typed(given)
        assert labels_of(source) == {f"images/{number}.png": number % 2 for number in range(4)}
        assert f"the paths in the CSV are below {data}, not below its own folder" in source.notes


def test_the_line_for_a_list_in_a_folder_works(data: Path) -> None:
    with pytest.raises(UserError, match=rf"found lists/cells.csv: give its path, with --base {data}$"):
        typed(data)
    option = f"--base '{data}'"
    assert len(typed(data / "lists/cells.csv", options=option).rows) == len(typed(data, options=option).rows) == 4


def test_a_list_of_names_deep_in_the_data_is_found(data: Path) -> None:
    touch(data, *(f"images/c{number}.png" for number in range(4)))
    write_lines(data / "meta/a/names.csv", "name,cell type", *(f"c{number},{'xy'[number % 2]}" for number in range(4)))
    source = typed(data, options="--label-column 'cell type' --classes normal=x leukemic=y")
    assert labels_of(source) == {f"images/c{number}.png": number % 2 for number in range(4)}


def test_images_below_the_own_folder_are_meant_although_some_are_missing(data: Path) -> None:
    touch(data / "lists", "images/0.png")
    with pytest.raises(UserError, match=r"3 of 4 images do not exist below .*lists; restore them"):
        typed(data / "lists/cells.csv")


def test_the_folder_above_is_not_taken_for_some_of_the_images(data: Path) -> None:
    (data / "images/3.png").unlink()
    with pytest.raises(UserError, match=r"none of the 4 images exists below .*lists, the first is images/0.png"):
        typed(data / "lists/cells.csv")


def test_the_folder_above_is_not_searched_for_names(data: Path) -> None:
    write_lines(data / "lists/cells.csv", "Path,label", *(f"{number}.png,{number % 2}" for number in range(4)))
    with pytest.raises(UserError, match=r"none of the 4 images exists below .*lists"):
        typed(data / "lists/cells.csv")
