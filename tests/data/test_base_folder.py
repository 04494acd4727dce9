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


def test_lists_in_the_only_folder_that_has_any_are_read(data: Path) -> None:
    assert len(typed(data).rows) == 4
    write_lines(data / "more/cells.csv", "file,kind,label", "images/0.png,x,0")
    with pytest.raises(UserError, match=r"found lists/cells.csv, more/cells.csv: give the path of one"):
        typed(data)


def test_the_path_of_a_list_with_the_base_of_its_images_is_read(data: Path) -> None:
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


@pytest.mark.parametrize("form", ["Class Labels of {}.csv", "{}.csv", "{}_labels.csv"])
def test_a_list_named_after_a_folder_beside_it_is_about_its_images(tmp_path: Path, form: str) -> None:
    for number in (1, 2):
        touch(tmp_path, *(f"Dataset {number}/{image:03d}.bmp" for image in range(1, 5)))
        rows = [f"{image},{1 + (image + number) % 2}" for image in range(1, 5)]
        write_lines(tmp_path / form.format(f"Dataset {number}"), "image ID,class label", *rows)
    with pytest.raises(
        UserError, match=r"read one with --label-column 'class label' .*\n  class label: 1 \(4\), 2 \(4\)\n"
    ):
        typed(tmp_path)
    options = "--label-column 'class label' --classes normal=1 leukemic=2"
    labels = labels_of(typed(tmp_path, options=options))
    assert labels == {f"Dataset {n}/{image:03d}.bmp": (image + n) % 2 for n in (1, 2) for image in range(1, 5)}
    one = typed(tmp_path / form.format("Dataset 2"), options=options)
    assert len(one.rows) == 4
    assert f"the paths in the CSV are below {tmp_path / 'Dataset 2'}, which its name has" in one.notes


def test_a_list_whose_images_are_clear_is_not_read_otherwise(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{number}.png" for number in range(4)), "other/x.png")
    path = write_lines(tmp_path / "train.csv", "file,label", *(f"{number},{number % 2}" for number in range(4)))
    source = typed(path)
    assert source.root == tmp_path
    assert "train/0.png" in labels_of(source)


def test_a_column_called_like_labels_is_proposed_though_its_words_are_many(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(5)))
    write_lines(
        tmp_path / "list.csv", "file,cell type", *(f"{row}.png,{'abcde'[row] if row < 4 else 'a'}" for row in range(5))
    )
    with pytest.raises(UserError, match=r"read one with --label-column 'cell type'"):
        typed(tmp_path)
