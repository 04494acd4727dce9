"""Folders of masks that are called anything: recognized by their pixels, never trained as cells."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.masks import looks_like_mask
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading
from tests.helpers.second_try import before_list

BINARY, LEVELS, COLOURS = (0, 255), (0, 20, 40), ((0, 0, 0), (255, 0, 0), (0, 255, 0))


def found(data: Path, *classes: str, labels: bool = True) -> Source:
    return find_images(data, Reading(classes=classes or None), labels=labels)


def refusal(data: Path, *classes: str, labels: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        found(data, *classes, labels=labels)
    return str(caught.value)


def draw(data: Path, cells: str, masks: str, words: tuple[str, str], values: object = BINARY, suffix: str = "") -> Path:
    """Three images of each class and their masks, in the folders that the patterns say."""
    generator = np.random.default_rng(0)
    for label, word in enumerate(words):
        for number in range(3):
            cell, mask = draw_cell(generator, label), data / masks.format(word) / f"{number}{suffix}.png"
            disc = (cell.max(axis=2) > 60).astype(int) + (cell.max(axis=2) > 140)
            for path, pixels in ((data / cells.format(word) / f"{number}.png", cell), (mask, disc)):
                path.parent.mkdir(parents=True, exist_ok=True)
                if path == mask:
                    pixels = np.array(values, np.uint8)[np.minimum(disc, len(values) - 1)]  # type: ignore[arg-type]
                Image.fromarray(pixels).save(path)
    return data


@pytest.mark.parametrize("values", [BINARY, LEVELS, COLOURS])
@pytest.mark.parametrize(
    ("cells", "masks", "name"),
    [
        ("{}/img", "{}/bw", "bw"),
        ("img/{}", "label_png/{}", "label_png"),
        ("{}", "{}/binary", "binary"),
        ("train/{}/P1/cells", "train/{}/P1/nuclei", "nuclei"),
    ],
)
def test_masks_are_refused_and_left_out_at_the_second_try(
    tmp_path: Path, values: object, cells: str, masks: str, name: str
) -> None:
    message = refusal(draw(tmp_path, cells, masks, ("hem", "all"), values))
    assert "6 of 12 images are masks, thumbnails or other versions of images in the data" in message
    assert f", by their names and pixels: {name}/ (6); leave" in message
    typed = shlex.split(message.rpartition("--classes ")[2].partition("\n")[0])
    assert typed == ["normal=hem", "leukemic=all", f"ignore={name}"]
    assert {row.path.parent.name == name for row in found(tmp_path, *typed).rows} == {False}
    assert len(found(tmp_path, *typed).rows) == 6


def test_masks_with_words_in_their_names_and_classes_to_map(tmp_path: Path) -> None:
    message = refusal(draw(tmp_path, "img/{}", "bw/{}", ("Control", "AML"), suffix="_bw"))
    assert "\n  AML (3)\n  Control (3)\n  write each of AML,Control after its class" in message
    assert before_list(message).endswith(" --classes normal=WORD,... leukemic=WORD,... ignore=bw")
    assert len(found(tmp_path, "normal=Control", "leukemic=AML", "ignore=bw").rows) == 6


def test_masks_beside_their_cells_are_refused_and_copies_are_not(tmp_path: Path) -> None:
    message = refusal(draw(tmp_path, "{}", "{}", ("hem", "all"), suffix="_bw"))
    assert "6 of 12 images are masks, thumbnails or other versions" in message
    assert ", by their names and pixels: *_bw (6); leave them out" in message
    for path in tmp_path.glob("*/*_bw.png"):
        path.unlink()
        path.with_stem(path.stem.replace("bw", "1")).write_bytes((path.parent / f"{path.stem[0]}.png").read_bytes())
    assert len(found(tmp_path).rows) == 12


def test_masks_are_in_the_advice_on_classes_to_map(tmp_path: Path) -> None:
    draw(tmp_path, "P1/raw/{}", "P1/anno/{}", ("normal", "blast"))
    message = refusal(tmp_path)
    assert before_list(message).endswith(" --classes normal=normal leukemic=WORD,... ignore=anno")
    assert len(found(tmp_path, "normal=normal", "leukemic=blast", "ignore=anno").rows) == 6


def test_masks_of_any_name_are_no_class(tmp_path: Path) -> None:
    draw(tmp_path, "cells", "bw", ("", ""))
    assert "the 3 images in folders bw are masks (few grey levels); the cells are in" in refusal(
        tmp_path, "normal=cells", "leukemic=bw"
    )


def test_masks_in_a_folder_without_labels(tmp_path: Path) -> None:
    draw(tmp_path, "cells", "gt", ("", ""))
    message = refusal(tmp_path, labels=False)
    assert message.endswith("no folder names a class; give the path of the one with the cells, or a CSV")
    assert len(found(tmp_path / "cells", labels=False).rows) == 3


def test_cells_of_equal_names_and_masks_alone_are_read(tmp_path: Path) -> None:
    draw(tmp_path / "cells", "{}/a", "{}/b", ("hem", "all"))
    for path in (tmp_path / "cells").glob("*/b/*"):
        path.write_bytes((path.parents[1] / "a" / path.name).read_bytes())
    assert len(found(tmp_path / "cells").rows) == 12
    draw(tmp_path / "masks", "{}", "{}", ("hem", "all"))
    assert len(found(tmp_path / "masks").rows) == 6


def test_a_mask_in_a_jpeg_is_recognized_and_a_cell_on_black_is_none(tmp_path: Path) -> None:
    disc = (np.hypot(*(np.mgrid[:200, :200] - 100)) < 60).astype(np.uint8) * 255
    Image.fromarray(disc).save(tmp_path / "mask.jpg")
    pixels = np.asarray(Image.open(tmp_path / "mask.jpg"))
    assert len(np.unique(pixels)) > 8
    assert looks_like_mask(pixels)
    assert not looks_like_mask(draw_cell(np.random.default_rng(0), 1))
    assert not looks_like_mask(np.pad(draw_cell(np.random.default_rng(0), 1), ((200, 200), (200, 200), (0, 0))))
