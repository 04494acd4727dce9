"""Several labels of the same images: tables at different depths, and folders of several raters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image

from leukemia.base.errors import UserError
from leukemia.data.classes import LabelError
from leukemia.data.layouts.detect import find_images
from leukemia.data.reading import DEFAULT


def test_a_table_below_with_other_labels_of_the_same_images_is_refused(tmp_path: Path) -> None:
    names = [f"part{number % 2}/img/{number}.png" for number in range(8)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    lines = [f"img/{Path(name).name},{number // 4}\n" for number, name in enumerate(names)]
    top, below = tmp_path / "labels (1).csv", tmp_path / "part0/labels.csv"
    for path in (top, below):
        path.write_text("file,label\n" + "".join(lines))
    assert len(find_images(tmp_path, DEFAULT, labels=True).rows) == 8
    below.write_text("file,label\n" + "".join(lines).replace("img/0.png,0", "img/0.png,1"))
    with pytest.raises(LabelError, match=r"labels for 1 of 8 images, such as part0/img/0.png: 0 and 1") as caught:
        find_images(tmp_path, DEFAULT, labels=True)
    assert all(str(path) in str(caught.value) for path in (top, below))
    assert len(find_images(tmp_path, DEFAULT, labels=False).rows) == 8


def write_raters(data: Path, *, same: bool) -> None:
    """Images of three raters, saved as JPEG of different quality; one is in another class for the last rater."""
    for rater, quality in (("Anna", 95), ("Ben", 90), ("Cleo", 85)):
        generator = np.random.default_rng(0 if same else quality)
        for number in range(8):
            label = number % 2
            pixels = draw_cell(generator, label)
            word = ("hem", "all")[1 - label if (rater, number) == ("Cleo", 3) else label]
            path = data / rater / word / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, quality=quality)


def test_folders_of_raters_that_disagree_are_refused(tmp_path: Path) -> None:
    write_raters(tmp_path / "same", same=True)
    with pytest.raises(UserError, match=r"folders Anna, Cleo have the same images.* 1 of them in .*/Anna or /.*/Cleo"):
        find_images(tmp_path / "same", DEFAULT, labels=True)
    assert len(find_images(tmp_path / "same/Cleo", DEFAULT, labels=True).rows) == 8
    write_raters(tmp_path / "other", same=False)
    assert len(find_images(tmp_path / "other", DEFAULT, labels=True).rows) == 24
