"""Masks that are called so, beside cells with other folders and other names."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.label_sheet import LabelSheet
from leukemia.data.layouts.companions import companions_among
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import Reading


def draw(data: Path, cell: str, mask: str) -> None:
    """A cell and its mask for each of two images of four patients, where the patterns say."""
    generator = np.random.default_rng(0)
    for patient in range(4):
        for number in range(2):
            pixels = draw_cell(generator, patient % 2)
            values = {"patient": f"sub-{patient}", "word": ("hem", "all")[patient % 2], "number": 10 * patient + number}
            for name, image in ((cell, pixels), (mask, (pixels.max(axis=2) > 60).astype(np.uint8) * 255)):
                path = data / name.format(**values)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)


@pytest.mark.parametrize(
    ("cell", "mask", "ignored"),
    [
        ("{patient}/micr/{number}_BF.png", "derivatives/seg/{patient}/micr/{number}_mask.png", "seg"),
        ("{patient}/micr/{number}_BF.png", "masks/{patient}/micr/{number}_mask.png", "masks"),
        ("images/{word}/{number}_BF.png", "masks/{word}/{number}_mask.png", "masks"),
        ("{patient}/{number}_BF.png", "{patient}/other/{number}_label.png", "label"),
    ],
)
def test_masks_without_a_cell_of_the_same_path_are_refused_and_left_out(
    tmp_path: Path, cell: str, mask: str, ignored: str
) -> None:
    draw(data := tmp_path / "data", cell, mask)
    if "word" not in cell:
        (data / "patients.tsv").write_text("participant_id\tlabel\nsub-0\them\nsub-1\tall\nsub-2\them\nsub-3\tall\n")
    with pytest.raises(UserError, match=r"8 of 16 images are masks.* by their names and pixels: ") as caught:
        find_images(data, Reading(), labels=True)
    typed = shlex.split(str(caught.value).rpartition(" --classes ")[2].partition("\n")[0])
    assert typed == ["normal=hem", "leukemic=all", f"ignore={ignored}"]
    source = find_images(data, Reading(classes=tuple(typed)), labels=True)
    assert len(source.rows) == 8
    assert all(row.path.stem.endswith("_BF") for row in source.rows)
    assert LabelSheet(path=tmp_path / "new.csv", data=data, reading=Reading()).write()[0] == 8


def test_cells_in_folders_called_for_masks_are_none(tmp_path: Path) -> None:
    draw(tmp_path, "labels/{number}.png", "other/{number}.x.png")
    assert not companions_among(tmp_path, sorted(tmp_path.glob("labels/*")))
    found = companions_among(tmp_path, sorted(tmp_path.glob("*/*")))
    assert {path.parent.name for path in found} <= {"other"}
