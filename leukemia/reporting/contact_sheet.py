"""The contact sheet of a data set: a row of images of each class, as the network sees them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from leukemia.base.errors import UserError
from leukemia.base.files import resolved
from leukemia.base.new_file import require_new
from leukemia.base.printable import escaped
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.specimens import PER_ROW, Seen, Specimen, Specimens, choose_specimens
from leukemia.data.survival import describe_survival
from leukemia.data.view import view_of
from leukemia.reporting.canvas import BLUE, GREY, INK, ORANGE, new_figure, save_figure

_COLOURS = {-1: GREY, 0: BLUE, 1: ORANGE}
_SIDE, _GAP, _BETWEEN, _MARGIN = 1.3, 0.09, 0.24, 0.2
"""Side of an image, distances between images and between rows, margin of the sheet; in inches."""

_HEADING, _TITLE, _LINE = 0.4, 0.28, 0.17
"""Heights of the sheet's first line, of a row's title, and of a line below an image; in inches."""

_LONGEST_NAME = 20
"""Of a subject, in characters; the middle of a longer one is left out."""


def require_new_picture(path: Path, data: Path) -> None:
    """Check, before the images are read, that a picture can be written.

    Args:
        data: the data set, which is only read: a picture in its folder would become one of its images.

    Raises:
        UserError: another suffix than ``.png``, a file that exists, a folder that does not, or one of ``data``.
    """
    option = f"--contact-sheet {path}"
    if path.suffix.lower() != ".png":
        raise UserError(f"{option}: expected the name of a PNG file, such as {path.stem or 'sheet'}.png")
    require_new(path, "--contact-sheet")
    folder, images = (resolved(each, "correct the path") for each in (path.parent, data))
    if images.is_dir() and folder.is_relative_to(images):
        raise UserError(f"{option}: expected a file outside of the images in {images}, which are only read")


def draw_contact_sheet(
    catalog: Catalog, recipe: Recipe, path: Path, *, seen: Seen | None = None, with_subjects: bool
) -> None:
    """Draw a few images of each class of a data set, as ``choose_specimens`` and ``plot_contact_sheet``.

    Args:
        recipe: resolved.
    """
    text = f"As the network sees them: {describe_survival(view_of(recipe), catalog.sizes)}"
    plot_contact_sheet(choose_specimens(catalog, recipe, seen), text, path, with_subjects=with_subjects)


def plot_contact_sheet(rows: Sequence[Specimens], text: str, path: Path, *, with_subjects: bool) -> None:
    """Draw images with their sizes in pixels and, if wanted, their subjects below them.

    Args:
        rows: one per class or subclass; at least one.
        text: one line on all of them.
    """
    has_subjects = with_subjects and any(each.subject is not None for row in rows for each in row.images)
    height = _TITLE + _SIDE + _GAP + _LINE * (1 + has_subjects)
    sheet = _Sheet(
        width=2 * _MARGIN + PER_ROW * (_SIDE + _GAP) - _GAP,
        height=2 * _MARGIN + _HEADING + len(rows) * (height + _BETWEEN) - _BETWEEN,
    )
    sheet.text(_MARGIN, _MARGIN + _LINE / 2, text, fontsize=9.5, color=GREY)
    for number, row in enumerate(rows):
        top = _MARGIN + _HEADING + number * (height + _BETWEEN)
        sheet.dot(_MARGIN + 0.05, top + _LINE / 2, _COLOURS[row.label])
        sheet.text(_MARGIN + 0.17, top + _LINE / 2, row.title, fontsize=10.5)
        for column, image in enumerate(row.images):
            sheet.image(_MARGIN + column * (_SIDE + _GAP), top + _TITLE, image, with_subject=has_subjects)
    with warnings.catch_warnings():
        # Letters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph")
        save_figure(sheet.figure, path)


class _Sheet:
    """A figure on which positions are distances from its left and upper edge, in inches."""

    def __init__(self, width: float, height: float) -> None:
        self.figure: Figure = new_figure(width, height)
        self.figure.set_layout_engine("none")
        self._width, self._height = width, height

    def text(self, left: float, middle: float, text: str, **style: Any) -> None:
        """One line, never read as a formula: a name may have dollar signs."""
        common: dict[str, Any] = {"color": INK, "va": "center_baseline", "parse_math": False}
        self.figure.text(left / self._width, 1 - middle / self._height, escaped(text), **common | style)

    def dot(self, centre: float, middle: float, colour: str) -> None:
        """A filled circle."""
        centre, middle, size = centre / self._width, 1 - middle / self._height, 0.1
        patch = Ellipse((centre, middle), size / self._width, size / self._height, color=colour, linewidth=0)
        self.figure.add_artist(patch)

    def image(self, left: float, top: float, image: Specimen, *, with_subject: bool) -> None:
        """An image with its size, and its subject if it has one, in the middle below."""
        width, height = self._width, self._height
        axes = self.figure.add_axes((left / width, 1 - (top + _SIDE) / height, _SIDE / width, _SIDE / height))
        axes.imshow(image.pixels, interpolation="antialiased")
        axes.set_axis_off()
        line, centre = top + _SIDE + _GAP + _LINE / 2, left + _SIDE / 2
        if with_subject:
            name = "–" if image.subject is None else _shortened(image.subject)
            self.text(centre, line, name, ha="center", fontsize=8.5)
            line += _LINE
        self.text(centre, line, f"{image.width} × {image.height}", ha="center", fontsize=7.5, color=GREY)


def _shortened(name: str) -> str:
    """A name of at most ``_LONGEST_NAME`` characters.

    >>> _shortened("H10"), _shortened("patient-of-2024-11-000017")
    ('H10', 'patient-of…11-000017')
    """
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[1 - half :]}"
