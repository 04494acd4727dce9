"""ONNX: the same probabilities as torch, from pixels; an example script needs nothing of ours."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import leukemia
from leukemia import export
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.delivery.onnx_graph import Graph
from leukemia.study.decision import Decision
from leukemia.training.inference import predict
from leukemia.training.model import build_model

pytest.importorskip("onnxruntime")

from leukemia.delivery.onnx_file import OnnxModel, write_onnx

SCRIPT = Path(__file__).parents[2] / "examples" / "onnx_predict.py"


def recipe_of(depth: int, shortcut: str, grayscale: bool) -> Recipe:
    settings = {
        "model.depth": depth,
        "model.shortcut": shortcut,
        "data.grayscale": grayscale,
        "data.size_px": 32,
        "train.precision": "float32",
    }
    return Recipe().with_settings(settings).resolved([(40, 40)])


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shortcut", "grayscale", "tta", "temperature"),
    [("add", False, "none", 1.0), ("concat", True, "flips", 0.4), ("weighted", False, "d4", 1.7)],
)
def test_an_exported_network_has_torchs_probabilities(
    tmp_path: Path, shortcut: str, grayscale: bool, tta: Tta, temperature: float
) -> None:
    recipe, path = recipe_of(18, shortcut, grayscale), tmp_path / "model.onnx"
    torch.manual_seed(0)
    network = build_model(recipe)
    decision = Decision(rule="0.4", threshold=0.4, temperature=temperature)
    write_onnx(path, network, recipe, decision=decision, weights_sha256="0" * 64, tta=tta)
    found, pixels = OnnxModel(path), noise(7)
    expected = predict(network, recipe, pixels, range(7), device=torch.device("cpu"), tta=tta)
    np.testing.assert_allclose(found.probabilities(pixels), decision.probabilities(expected), atol=1e-5)
    assert np.ptp(expected) > 1e-3
    assert (found.metadata["threshold"], found.metadata["temperature"]) == ("0.4", str(temperature))
    assert (found.metadata["crop_px"], found.metadata["size_px"]) == ("40", "32")
    assert Recipe.from_json(found.metadata["recipe"]) == recipe


def test_gray_is_that_of_opencv() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    graph = Graph(build_model(recipe_of(18, "add", True)), "none", 1.0, grayscale=True)
    found = graph.gray(torch.from_numpy(colors).permute(0, 3, 1, 2).float())
    np.testing.assert_array_equal(found[0, 0].numpy(), cv2.cvtColor(colors[0], cv2.COLOR_RGB2GRAY))


def test_the_example_needs_only_onnxruntime_and_opencv(plain_model: Path, pictures: list[Path], tmp_path: Path) -> None:
    """The names have no comma, which such a short script does not quote."""
    images = [tmp_path / path.name for path in pictures]
    for path, image in zip(pictures, images, strict=True):
        shutil.copy(path, image)
    assert export.main(["--model", str(plain_model)]) == 0
    command = [sys.executable, "-I", str(SCRIPT), str(plain_model / "model.onnx"), *map(str, images)]
    rows = list(csv.DictReader(StringIO(subprocess.run(command, check=True, capture_output=True, text=True).stdout)))
    expected = leukemia.load(plain_model, device="cpu").predict(images)
    np.testing.assert_allclose(
        [float(row["probability_leukemic"]) for row in rows], expected["probability_leukemic"], atol=1e-3
    )
    assert [int(row["predicted"]) for row in rows] == expected["predicted"].tolist()
    assert len(SCRIPT.read_text().splitlines()) <= 40


def test_a_file_is_not_replaced(plain_model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_text("mine")
    with pytest.raises(UserError, match=r"--onnx .*mine.onnx: exists already"):
        export.main(["--model", str(plain_model), "--onnx", str(tmp_path / "mine.onnx")])


def test_other_probabilities_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, path = recipe_of(18, "add", False), tmp_path / "model.onnx"
    monkeypatch.setattr(OnnxModel, "probabilities", lambda self, pixels: np.full(len(pixels), np.nan, np.float32))
    with pytest.raises(UserError, match=r"model.onnx: not written, since its probabilities differ .* by nan"):
        write_onnx(path, build_model(recipe), recipe, decision=Decision(), weights_sha256="0" * 64, tta="none")
    assert not list(tmp_path.iterdir())
