"""Tables of cells in which one column names slides and another the crop of each cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import UserError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading


def write(data: Path, *, letter: str) -> None:
    """Three cells of each of four slides, with a thumbnail of the slide, and a table of slides."""
    rows = []
    for number in range(12):
        slide, crop = f"s{number // 3}.svs", f"{letter}{number}0"
        for path in (data / "thumbnails" / f"{slide}.jpg", data / "crops" / slide[:2] / f"{crop}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        rows.append(f"{slide}\t{crop}\t{('hem', 'all')[number % 2]}\n")
    (data / "cells.tsv").write_text("Image\tObject ID\tClass\n" + "".join(rows))
    cohorts = ("development", "development", "holdout", "holdout")
    slides = "".join(f"s{number}.svs,C{number},{cohort}\n" for number, cohort in enumerate(cohorts))
    (data / "cases.csv").write_text(f"slide,case,cohort\n{slides}")


def test_the_column_of_more_images_is_read_and_a_cohort_of_another_table_named(tmp_path: Path) -> None:
    write(data := tmp_path / "data", letter="c")
    source = find_images(data, Reading(subject_column="case"), labels=True)
    assert {row.path.relative_to(source.root).parts[0] for row in source.rows} == {"crops"}
    assert (len(source.rows), len({row.subject for row in source.rows})) == (12, 4)
    assert any("the column cohort may be a split, and is not read (development (6)" in x for x in source.named_notes)
    assert LabelSheet(path=tmp_path / "new.csv", data=data, reading=Reading()).write() == (12, 12)


def test_rows_of_slides_are_not_to_be_removed_if_another_column_may_name_cells(tmp_path: Path) -> None:
    write(tmp_path, letter="")
    with pytest.raises(UserError, match="different labels in several rows; object id names another image in each"):
        find_images(tmp_path, Reading(), labels=True)
