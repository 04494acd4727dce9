"""Images of a folder that its tables do not list: counted first, or refused if they may be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.second_try import found, refusal, touch, write

from leukemia.data.label_sheet import LabelSheet
from leukemia.data.reading import DEFAULT

LISTED = [f"porto/images/P{n}.jpg" for n in range(4)]


def centres(data: Path, *others: str) -> Path:
    """A centre with a table, beside other images."""
    table = "\n".join(["file,label", *(f"{Path(path).name},{n % 2}" for n, path in enumerate(LISTED))])
    return write(touch(data, *LISTED, *others), {"porto/cells.csv": table})


@pytest.mark.parametrize(
    "folders",
    [
        ("lyon/sain", "lyon/leucemie"),
        ("lyon/x", "lyon/y"),
        ("leucemie",),
        ("porto/leucemie",),
    ],
)
def test_images_in_folders_that_may_be_classes_are_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    data = centres(tmp_path / "data", *(f"{folder}/L{n}.tif" for folder in folders for n in range(2)))
    number = 2 * len(folders)
    message = refusal(data)
    assert message.startswith(f"{data}: {number} of {number + 4} images of the folder are in no list that is read: ")
    assert all(f"{folder}/ (2)" in message for folder in folders)
    assert f"\n  to read only the images that are listed, give {data}/porto/cells.csv\n" in message
    top = Path(folders[0]).parts[0]
    assert (f"\n  to read only the others, give {data / top}\n" in message) == (top != "porto")
    assert len(found(data / "porto" / "cells.csv").rows) == 4
    assert "--label-sheet" in message.splitlines()[-1]
    sheet = LabelSheet(path=tmp_path / "sheet.csv", data=data, reading=DEFAULT)
    assert sheet.write() == (number + 4, 4)


@pytest.mark.parametrize(
    ("others", "where"),
    [
        (["test/sain/1.jpg", "test/sain/2.jpg", "test/leucemie/3.jpg"], "test/sain/ (2), test/leucemie/ (1)"),
        ([f"porto/images/more_{n}.jpg" for n in range(3)], "porto/images/ (3)"),
        ([f"overviews/{n}.jpg" for n in range(3)], "overviews/ (3)"),
        (
            [f"lyon/patient_{n}/1.jpg" for n in range(3)],
            "lyon/patient_0/ (1), lyon/patient_1/ (1), lyon/patient_2/ (1)",
        ),
    ],
)
def test_other_images_are_counted_in_the_first_note(tmp_path: Path, others: list[str], where: str) -> None:
    source = found(centres(tmp_path, *others))
    assert sorted(row.path.relative_to(tmp_path).as_posix() for row in source.rows) == LISTED
    number = len(others)
    assert (
        source.named_notes[0] == f"{number} of {number + 4} images of the folder are in no list that is read: {where}"
    )


def test_without_other_images_there_is_no_such_note(tmp_path: Path) -> None:
    """Rows that an option leaves out are in the list."""
    data = centres(tmp_path)
    assert "in no list" not in "".join(found(data).named_notes)
    write(data, {"porto/cells.csv": "file,label\nP0.jpg,hem\nP1.jpg,all\nP2.jpg,odd\nP3.jpg,odd\n"})
    source = found(data, "normal=hem", "leukemic=all", "ignore=odd")
    assert len(source.rows) == 2
    assert "in no list" not in "".join(source.named_notes)
