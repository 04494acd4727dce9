"""The examples of plug-ins through a small search, ``leukemia.final`` and a prediction; the network of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.deliveries import deliver
from helpers.plugins import unknown, written
from helpers.wings import ROOT

import leukemia
import search
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.plugins.registry import load_named
from leukemia.study.folder import Study
from leukemia.training.gradcam import layer_of
from leukemia.training.model import build_model
from leukemia.training.plugged import check_network

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples" / "plugins"
RUN = ("efficientnet.py", "lion.py", "stain.py")
SETTINGS = {
    "model.network": "efficientnet",
    "optimizer.name": "lion",
    "augment.stain": 0.5,
    "data.size_px": 32,
    "train.epochs": 1,
    "train.batch_size": 16,
    "evaluate.tta": "none",
}


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    with unknown():
        yield


def test_the_examples_are_searched_and_delivered(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    # Outside of the project, as those of a user: workers get their text only.
    own = [Path(shutil.copy(EXAMPLES / name, tmp_path)) for name in RUN]
    found = search.search(
        tiny_folder,
        runs=tmp_path / "runs",
        study="one",
        plugins=own,
        settings=SETTINGS,
        trials=1,
        folds=2,
        repeats=0,
        racing=False,
        address="local",
        device="cpu",
        quiet=True,
    )
    best = found.best
    assert best.recipe.flat().items() >= SETTINGS.items()
    assert [name for name, _ in best.recipe.plugins] == ["efficientnet", "lion", "stain"]
    assert "plug-in: lion.py (optimizer lion), SHA-256 " in capfd.readouterr().out
    folder = found.folder
    with unknown():
        assert deliver(Study.open(folder), "--plugin", *_named(folder / "plugins")) == 0
    with unknown():
        with pytest.raises(UserError, match=r"^the plug-in 'efficientnet' of .* name it with --plugin FILE.py"):
            leukemia.load(folder / "final", "cpu")
        model = leukemia.load(folder / "final", "cpu", plugins=own[:1])
        images = sorted(tiny_folder.rglob("*.png"))[:3]
        assert model.predict(images)["probability_leukemic"].between(0, 1).all()
        assert len(model.explain(images)) == 3


def _named(folder: Path) -> list[str]:
    """The copies of a study, with the option between them."""
    return " --plugin ".join(str(folder / name) for name in RUN).split()


def test_the_network_of_the_page_can_be_trained_and_explained(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    load_named(written(tmp_path, densenet=page.split("```python\n")[1].partition("```")[0]))
    recipe = Recipe().with_settings({"model.network": "densenet"}).resolved([(64, 64)])
    check_network(recipe)
    check_network(recipe.with_settings({"data.grayscale": True}))
    assert layer_of(build_model(recipe), recipe, 64)
