"""The contact sheet: which images it has, what is written about them, and where it may be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers.cells import draw_cells
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from leukemia import catalog as catalog_command
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Data
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.specimens import PER_ROW, Specimen, Specimens, choose_specimens
from leukemia.reporting import contact_sheet
from leukemia.reporting.contact_sheet import draw_contact_sheet, plot_contact_sheet
from search.launch.search import _draw_images

RECIPE = Recipe(data=Data(fit="crop", crop_px=32, size_px=32))


def table_of(subjects: list[str | None], *, label: int = 0, subclass: str | None = None) -> pd.DataFrame:
    """Images 0, 1, ... with these subjects."""
    table = pd.DataFrame({"subject": pd.Series(subjects, dtype="object"), "label": label, "width": 40, "height": 50})
    return table.assign(
        subclass=pd.Series([subclass] * len(table), dtype="object"), path="absent", image_id=list(map(str, table.index))
    )


def chosen(*tables: pd.DataFrame, recipe: Recipe = RECIPE) -> list[Specimens]:
    """The choice from a catalogue of these tables, with images that have their row as the colour."""
    catalog = Catalog(
        table=pd.concat(tables, ignore_index=True),
        root=Path(),
        layout="csv",
        fingerprint="0" * 64,
        duplicates=(),
        class_words=("hem", "all"),
    )
    return choose_specimens(catalog, recipe, lambda row: np.full((32, 32, 3), row, np.uint8))


def rows_of(specimens: Specimens) -> list[int]:
    return [int(image.pixels[0, 0, 0]) for image in specimens.images]


def test_images_are_from_as_many_subjects_as_possible() -> None:
    (many,) = chosen(table_of([f"H{number // 3}" for number in range(48)]))
    assert many.title == "normal (hem): 48 images of 16 subjects"
    assert [image.subject for image in many.images] == [f"H{number}" for number in range(1, 16, 2)]
    assert rows_of(many) == [3 * number + 1 for number in range(1, 16, 2)]
    (few,) = chosen(table_of(["2"] * 50 + ["10"] + ["9"] * 5, label=1))
    assert few.title == "leukemic (all): 56 images of 3 subjects"
    assert [image.subject for image in few.images] == ["2"] * 4 + ["9"] * 3 + ["10"]
    assert rows_of(few) == [6, 18, 31, 43, 51, 53, 55, 50]
    assert rows_of(chosen(table_of([None] * 3))[0]) == [0, 1, 2]
    assert len(chosen(table_of(["unknown"] * 30))[0].images) == PER_ROW


def test_each_subclass_has_a_row() -> None:
    found = chosen(
        table_of(["1"] * 2),
        table_of(["2"], label=1, subclass="Pre"),
        table_of(["3"] * 3, label=1, subclass="Early"),
        table_of(["unknown"], label=1),
    )
    assert [(each.label, each.title) for each in found] == [
        (0, "normal (hem): 2 images of 1 subject"),
        (1, "leukemic (all), Early: 3 images of 1 subject"),
        (1, "leukemic (all), Pre: 1 image of 1 subject"),
        (1, "leukemic (all), no subclass: 1 image"),
    ]
    assert found[3].images[0].subject is None
    assert [each.title for each in chosen(table_of([None] * 4, label=-1))] == ["without label: 4 images"]


def test_images_are_those_of_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    catalog = read_catalog(draw_cells(tmp_path / "cells", seed=1, subjects=range(1, 3), per_subject=2))
    half = replace(RECIPE, data=Data(fit="crop", crop_px=32, size_px=32, grayscale=True))
    first = choose_specimens(catalog, half)[0].images[0]
    row = catalog.table[catalog.table["subject"] == "H1"].iloc[0]
    gray = cv2.cvtColor(np.asarray(Image.open(row["path"])), cv2.COLOR_RGB2GRAY)
    assert np.array_equal(first.pixels, np.repeat(gray[:, :, None], 3, axis=2))
    assert (first.subject, first.width, first.height) == ("H1", 32, 32)
    Path(row["path"]).unlink()
    with pytest.raises(UserError, match=r"^/.*UID_H1_1_1_hem.png: missing$"):
        choose_specimens(catalog, half)


def test_the_reports_sheet_has_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    figures: list[Figure] = []
    monkeypatch.setattr(contact_sheet, "save_figure", lambda figure, path: figures.append(figure))
    catalog = read_catalog(draw_cells(tmp_path / "cells", seed=1, subjects=range(70, 72), per_subject=1))
    images = np.zeros((len(catalog.table), 32, 32, 3), np.uint8)
    plan: Any = SimpleNamespace(catalog=catalog, space=SimpleNamespace(start=RECIPE))
    _draw_images(images, plan, SimpleNamespace(folder=tmp_path))  # type: ignore[arg-type]
    draw_contact_sheet(catalog, RECIPE, tmp_path / "sheet.png", with_subjects=True)
    of_report, own = ([text.get_text() for text in figure.texts] for figure in figures)
    assert of_report == [
        "As the network sees them: the central 32 px: 100 % of the median image, 100 % of the worst (32x32 px)",
        "normal (hem): 2 images of 2 subjects",
        *["32 × 32"] * 2,
        "leukemic (all): 2 images of 2 subjects",
        *["32 × 32"] * 2,
    ]
    assert sorted(set(own) - set(of_report)) == ["70", "71", "H70", "H71"]
    assert (tmp_path / "augmented.png").is_file()


def test_any_name_can_be_drawn(tmp_path: Path) -> None:
    names = ["$x_{1$", "患者", "a\x1b[31m", "n" * 500, None]
    image = np.full((32, 32, 3), 200, np.uint8)
    images = [Specimen(pixels=image, width=2592, height=1944, subject=name) for name in names]
    rows = [Specimens(label=label, title="$a_{$", images=tuple(images)) for label in (0, 1, -1)]
    sizes = []
    for with_subjects in (True, False):
        plot_contact_sheet(rows, "text", tmp_path / "sheet.png", with_subjects=with_subjects)
        sizes.append(imread(tmp_path / "sheet.png").shape[:2])
    assert sizes[0][1] == sizes[1][1]
    # Without subjects, there is one line less in each row.
    assert sizes[0][0] > sizes[1][0]


def test_the_command_draws_a_new_file_outside_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    data, sheet = draw_cells(tmp_path / "cells", seed=1), tmp_path / "sheet.png"
    assert catalog_command.main([str(data), "--contact-sheet", str(sheet)]) == 0
    printed = capsys.readouterr().out
    assert "\ninput:       the central 32 px: 100 % of the median image, 100 % of the worst (32x32 px)\n" in printed
    assert f"\nsheet:       {sheet}\n" in printed
    drawn = sheet.read_bytes()
    other = tmp_path / "other.PNG"
    assert catalog_command.main([str(data), "--contact-sheet", str(other)]) == 0
    assert other.read_bytes() == drawn
    for path, message in (
        (sheet, r"^--contact-sheet .*sheet.png: exists already; give another name, or remove it$"),
        (tmp_path / "sheet.jpg", r"sheet.jpg: expected the name of a PNG file, such as sheet.png$"),
        (tmp_path / "absent" / "a.png", r"a.png: no folder at .*absent; create it, or give another one$"),
        (data / "fold_0" / "a.png", r"a.png: expected a file outside of the images in .*cells, which are only read"),
    ):
        with pytest.raises(UserError, match=message):
            catalog_command.main([str(data), "--contact-sheet", str(path)])
    assert sheet.read_bytes() == drawn
    assert not list(data.rglob("a.png"))
