"""A model of whole images sees test images and new images as it saw those of its training, whatever their sizes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.deliveries import RECIPE, deliver, searched
from PIL import Image

from leukemia import predict as predict_command
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.study.models import ModelRecord


def draw_fields(folder: Path, sizes: list[tuple[int, int]], first: int) -> Path:
    """Images of noise, two of each size (width, height), one of each class; each of its own subject."""
    generator = np.random.default_rng(first)
    for number, (width, height) in enumerate(2 * sizes):
        label = number // len(sizes)
        path = folder / ("hem", "all")[label] / f"UID_{'H' * (1 - label)}{first + number}_1_1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 128, (height, width, 3), dtype=np.uint8) + 100 * label
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def test_new_images_are_seen_as_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    data = draw_fields(tmp_path / "data", [(150, 60), (170, 60), (160, 64), (180, 50)], first=0)
    # Single cells, which a search would crop, and one that is too small.
    test = draw_fields(tmp_path / "test", [(64, 64), (66, 64), (20, 20)], first=100)
    catalog = read_catalog(data)
    recipe = RECIPE.with_settings({"data.fit": "auto", "data.size_px": 32}).resolved(catalog.sizes)
    assert recipe.data.fit == "resize"
    study = searched(tmp_path / "runs", catalog, str(data), recipe=recipe)
    assert deliver(study, "--test", test) == 0
    folder = study.folder / "final"
    note = (
        "2 of 6 images are smaller than the input of 32 px (the smallest is 20x20 px): padded with black; data.small="
    )
    assert f"note: test data: {note}" in capsys.readouterr().out
    assert Recipe.load(folder / "recipe.json") == recipe
    record = ModelRecord.read(folder)
    assert record is not None
    assert record.evaluation is not None
    assert record.evaluation.notes[-1].startswith(note)
    assert (
        "\nInput: whole images, scaled down to 32 px; smaller ones are padded" in (folder / "MODEL_CARD.md").read_text()
    )
    tested = pd.read_csv(folder / "predictions.csv")
    paths = [str(test / image_id) for image_id in tested["image_id"]]
    assert predict_command.main(["--model", str(folder), *paths, "--device", "cpu"]) == 0
    again = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_allclose(again["probability_leukemic"], tested["probability_leukemic"], atol=2e-6)


def test_a_model_never_decides_how_it_sees(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    RECIPE.with_settings({"data.fit": "auto"}).save(tmp_path / "final" / "recipe.json")
    with pytest.raises(
        UserError, match=r"recipe.json: expected data.size_px and either data.crop_px or data.fit=resiz"
    ):
        predict_command.main(["--model", str(tmp_path / "final"), "image.png"])
