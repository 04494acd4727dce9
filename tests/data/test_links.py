"""Images that are symbolic links to a store: their names are those of the links, in folders and in CSVs alike."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.reading import Reading

PATTERN = Reading(subject_pattern=r"(P\d)_")
NAMES = [f"cells/P{number // 3}_{number}.png" for number in range(6)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder ``data`` whose images are links to ``.objects/NUMBER``, as in git-annex, with a list of them."""
    data = tmp_path / "data"
    (data / ".objects").mkdir(parents=True)
    (data / "cells").mkdir()
    for number, name in enumerate(NAMES):
        target = data / ".objects" / f"{number:08d}"
        Image.fromarray(draw_cell(np.random.default_rng(number), number % 2)).save(target, format="PNG")
        (data / name).symlink_to(Path("../.objects") / target.name)
    rows = [f"{name},{number % 2}" for number, name in enumerate(NAMES)]
    (data / "list.csv").write_text("\n".join(["Path,label", *rows]) + "\n")
    return data


@pytest.mark.parametrize("given", ["list.csv", "."])
def test_names_and_subjects_are_those_of_the_links(store: Path, given: str) -> None:
    catalog = read_catalog(store / given, PATTERN)
    assert catalog.table["image_id"].tolist() == NAMES
    assert catalog.table["subject"].tolist() == ["P0"] * 3 + ["P1"] * 3
    assert catalog.notes == read_catalog(store / given, PATTERN).notes


def test_links_that_are_found_by_name_keep_their_names(store: Path) -> None:
    rows = [f"/elsewhere/{Path(name).name},{number % 2}" for number, name in enumerate(NAMES)]
    (store / "list.csv").write_text("\n".join(["Path,label", *rows]) + "\n")
    assert read_catalog(store / "list.csv").table["image_id"].tolist() == NAMES


def test_a_label_sheet_lists_the_links(store: Path) -> None:
    sheet = store.parent / "sheet.csv"
    assert LabelSheet(path=sheet, data=store / "list.csv", reading=PATTERN).write() == (6, 6)
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["Path"] for row in rows] == [f"data/{name}" for name in NAMES]
    assert [row["subject"] for row in rows] == ["P0"] * 3 + ["P1"] * 3


def test_a_link_and_its_target_in_two_lists_are_one_image(store: Path) -> None:
    (store / "other.csv").write_text("Path,label\n.objects/00000000,0\n")
    with pytest.raises(UserError, match="the CSVs have 1 images in common"):
        read_catalog(store / "list.csv", Reading(also=(str(store / "other.csv"),)))


def test_targets_of_listed_links_are_not_counted_as_unlisted(store: Path) -> None:
    visible = store / "store"
    visible.mkdir()
    for number, name in enumerate(NAMES):
        (store / ".objects" / f"{number:08d}").rename(visible / f"{number}.png")
        (store / name).unlink()
        (store / name).symlink_to(Path("../store") / f"{number}.png")
    catalog = read_catalog(store)
    assert catalog.table["image_id"].tolist() == NAMES
    assert not any("in no list" in note for note in catalog.remarks)


def test_a_link_out_of_the_folder_is_named_with_the_option_that_reads_it(store: Path) -> None:
    nas = store.parent / "nas"
    shutil.copytree(store / "cells", nas)
    shutil.rmtree(store / "cells")
    (store / "cells").symlink_to(nas)
    with pytest.raises(UserError, match=rf"out of it: cells -> {nas}; give --base {store.parent}, which has their im"):
        read_catalog(store / "list.csv")
    assert len(read_catalog(store / "list.csv", Reading(base=str(store.parent))).table) == 6
    # The same names are below both folders.
    shutil.copytree(nas, store.parent / "copy" / "cells")
    with pytest.raises(
        UserError, match=rf"cells -> {nas}; put the images in the place of the links:\n  row 2: cells/P0_"
    ):
        read_catalog(store / "list.csv")
