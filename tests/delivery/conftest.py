"""A finished study, test images of other patients, and networks in the place of a training."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cells import draw_cell, draw_cells
from helpers.deliveries import deliver, searched
from PIL import Image

from leukemia.base.files import write_text
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.delivery import retraining
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.training.model import build_model, save_model
from leukemia.training.resnet import ResNet


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog, tiny_folder: Path) -> Study:
    return searched(tmp_path / "runs", tiny_catalog, str(tiny_folder))


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 labelled images of subjects that are not in ``tiny_folder``."""
    return draw_cells(tmp_path_factory.mktemp("test") / "patients", seed=7, subjects=range(11, 14), per_subject=2)


def untrained_fit(asked: list[Recipe]) -> Callable[..., Generator[Epoch, None, ResNet]]:
    """A training that changes no weights, and adds its recipe to ``asked``."""

    def fit(recipe: Recipe, side: object, *, fold: int, **rest: object) -> Generator[Epoch, None, ResNet]:
        asked.append(recipe)
        yield Epoch(
            seed=recipe.train.seed,
            fold=fold,
            epoch=1,
            train_loss=0.5,
            train_accuracy=0.5,
            validation_loss=float("nan"),
            validation_accuracy=float("nan"),
            learning_rate=1e-3,
            seconds=1.0,
            images_per_second=1.0,
            device_memory_mb=0.0,
        )
        torch.manual_seed(recipe.train.seed)
        return build_model(recipe).eval()

    return fit


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Replace training by an untrained network; returns the list of requested recipes."""
    asked: list[Recipe] = []
    monkeypatch.setattr(retraining, "fit", untrained_fit(asked))
    return asked


@pytest.fixture(scope="module")
def delivered_runs(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """A study whose winner was delivered, untrained and untested; only read."""
    runs = tmp_path_factory.mktemp("delivered") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKEMIA_CACHE", str(session_cache))
        patch.setenv("WANDB_MODE", "disabled")
        patch.setattr(retraining, "fit", untrained_fit([]))
        deliver(searched(runs, read_catalog(tiny_folder), str(tiny_folder)))
    return runs


@pytest.fixture
def delivered(delivered_runs: Path, tmp_path: Path, untrained: list[Recipe]) -> Study:
    """A copy of that study, whose next model would be untrained as well."""
    return Study.open(Path(shutil.copytree(delivered_runs, tmp_path / "runs")) / "one")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if training starts."""
    monkeypatch.delattr(retraining, "fit")


CROPPED = Recipe.from_flat({"data.size_px": 32, "train.precision": "float32", "evaluate.tta": "d4"}).resolved(
    [(64, 64)]
)
"""Of a model that sees the central 64 px of an image, at 32 px."""


@pytest.fixture(scope="module")
def network() -> ResNet:
    """Random weights, with a head that spreads the probabilities."""
    torch.manual_seed(0)
    network = build_model(CROPPED)
    with torch.no_grad():
        network.fc.weight.mul_(3)
    return network.eval()


@pytest.fixture(scope="module")
def plain_model(network: ResNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model of an early version: weights and recipe alone."""
    folder = tmp_path_factory.mktemp("study") / "final"
    folder.mkdir()
    save_model(network, folder / layout.WEIGHTS)
    write_text(folder / layout.RECIPE, CROPPED.to_json())
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three images of 128 px."""
    generator = np.random.default_rng(4)
    paths = [tmp_path / "Zellen, é" / f"{number}.png" for number in range(3)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        Image.fromarray(np.kron(draw_cell(generator, number % 2), np.ones((4, 4, 1), np.uint8))).save(path)
    return paths
