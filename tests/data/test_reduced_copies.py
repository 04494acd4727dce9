"""Thumbnails and previews in folders or beside the cells, whatever they are called: never images of their own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.cells import draw_cell
from PIL import Image, ImageFilter

from leukemia.base.errors import UserError
from leukemia.data.classes import Vocabulary
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.ignored_endings import ignored_ending, ignored_endings
from leukemia.data.layouts.source import Source
from leukemia.data.reading import Reading

PX = 48


def found(data: Path, *classes: str) -> Source:
    return find_images(data, Reading(classes=classes or None), labels=True)


def refusal(data: Path, *classes: str) -> str:
    with pytest.raises(UserError) as caught:
        found(data, *classes)
    return str(caught.value)


def names_of(source: Source) -> set[str]:
    return {row.path.relative_to(source.root).as_posix() for row in source.rows}


def cell(seed: int, label: int) -> Image.Image:
    """A cell of its own size and place."""
    generator = np.random.default_rng(seed)
    image = Image.fromarray(draw_cell(generator, label)).resize((150 + 9 * seed, 180 - 7 * seed))
    # Without its noise, as of a microscope.
    return image.rotate(40 * seed, expand=False).filter(ImageFilter.GaussianBlur(3))


def squeezed(image: Image.Image) -> Image.Image:
    return image.resize((PX, PX))


def fitted(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.thumbnail((PX, PX))
    return image


def draw(data: Path, cells: str, copies: str, shrink: Callable[[Image.Image], Image.Image]) -> set[str]:
    """Three images of each class and their copies at places with a class and a number; returns those of the cells."""
    for seed in range(6):
        image = cell(seed, seed % 2)
        word = ("NEG", "POS")[seed % 2]
        for place, drawn in ((cells, image), (copies, shrink(image))):
            path = data / place.format(word=word, number=seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(path)
    return {cells.format(word=("NEG", "POS")[seed % 2], number=seed) for seed in range(6)}


@pytest.mark.parametrize("shrink", [squeezed, fitted])
@pytest.mark.parametrize(
    ("cells", "copies", "ignored"),
    [
        ("imagens/P{number}_{word}.png", "miniaturas/P{number}_{word}.jpg", "miniaturas"),
        ("{word}/{number}.png", "{word}/vorschau/{number}.png", "vorschau"),
        ("gross/{word}/{number}.png", "web/{word}/{number}_web.jpg", "web"),
        ("{word}/{number}.bmp", "{word}/{number}_klein.jpg", "klein"),
    ],
)
def test_reduced_copies_are_refused_with_what_leaves_them_out(
    tmp_path: Path, cells: str, copies: str, ignored: str, shrink: Callable[[Image.Image], Image.Image]
) -> None:
    kept = draw(tmp_path, cells, copies, shrink)
    message = refusal(tmp_path, "normal=NEG", "leukemic=POS")
    assert "6 of 12 images are masks, thumbnails or other versions of images in the data, by their names and" in message
    match = re.search(r"to leave out these \w+: --classes (.*)", message)
    assert match is not None
    typed = shlex.split(match[1])
    assert typed == ["normal=NEG", "leukemic=POS", f"ignore={ignored}"]
    assert names_of(found(tmp_path, *typed)) == kept
    # The advice of the first refusal leaves them out at once.
    assert f"ignore={ignored}\n" in refusal(tmp_path)


def test_smaller_images_of_other_cells_are_no_copies(tmp_path: Path) -> None:
    """As the images of two patients, both numbered from 0."""
    for seed in range(6):
        for patient, image in (("A", cell(seed, seed % 2)), ("B", squeezed(cell(seed + 6, seed % 2)))):
            path = tmp_path / ("hem", "all")[seed % 2] / patient / f"{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    assert len(found(tmp_path).rows) == 12


def test_copies_of_the_same_size_stay_to_be_reported_as_duplicates(tmp_path: Path) -> None:
    draw(tmp_path, "a/{word}/{number}.png", "b/{word}/{number}.png", Image.Image.copy)
    assert len(found(tmp_path, "normal=NEG", "leukemic=POS").rows) == 12


def test_the_last_word_of_a_name_is_ignored_unless_it_is_a_number_or_a_folder() -> None:
    vocabulary = Vocabulary.given(("normal=a", "leukemic=b", "ignore=Maske,0,odd"))
    endings = ignored_endings(vocabulary, ["a", "b", "Odd"])
    names = ("1_maske.png", "2-Maske.jpg", "maske.png", "img_0.png", "3_odd.png")
    assert [ignored_ending(Path(name), endings) for name in names] == ["maske", "Maske", None, None, None]
