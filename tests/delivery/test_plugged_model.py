"""Models of plug-ins: delivered with a copy of the file, which runs only if it is named, and with its very text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.deliveries import RECIPE, deliver, searched
from helpers.plugins import NETWORK, TEXTS, unknown, written

import leukemia
from leukemia import evaluate, export, predict
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.plugins.registry import load_named
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.results import StudyResults
from leukemia.training.ensemble import members_of

USED = {"model.network": "tiny", "optimizer.name": "plain", "augment.swap": 0.5}


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    with unknown():
        yield


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Exists once the plug-in has been run."""
    return tmp_path / "ran"


@pytest.fixture
def plugins(tmp_path: Path, marker: Path) -> list[Path]:
    noted = NETWORK + f"\nwith open({str(marker)!r}, 'a') as stream:\n    stream.write('x')\n"
    return written(
        tmp_path / "own", **{name.removesuffix(".py"): text for name, text in TEXTS.items()} | {"tiny": noted}
    )


def named(plugins: list[Path]) -> list[str | Path]:
    return [word for path in plugins for word in ("--plugin", path)]


def study_of(tmp_path: Path, catalog: Catalog, folder: Path, plugins: list[Path], **changes: object) -> Study:
    """A finished study whose winner was trained with the plug-ins, which this process has not loaded."""
    with unknown():
        load_named(plugins)
        recipe = RECIPE.with_settings({**USED, **changes}).resolved([(32, 32)])
        return searched(tmp_path / "runs", catalog, str(folder), recipe=recipe)


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog, tiny_folder: Path, plugins: list[Path], marker: Path) -> Study:
    found = study_of(tmp_path, tiny_catalog, tiny_folder, plugins)
    marker.unlink()
    return found


@pytest.fixture
def final(study: Study, plugins: list[Path], untrained: list[Recipe], marker: Path) -> Path:
    """The folder of the delivered model."""
    with unknown():
        assert deliver(study, *named(plugins)) == 0
    marker.unlink()
    return study.folder / "final"


def test_a_retraining_needs_the_very_same_plugins(
    study: Study, plugins: list[Path], no_training: None, tmp_path: Path, marker: Path
) -> None:
    with pytest.raises(UserError, match=r"^the plug-in 'plain' of this recipe is .* not been named; name it with"):
        deliver(study)
    assert not marker.exists()
    changed = written(tmp_path / "changed", tiny=NETWORK)
    with unknown(), pytest.raises(UserError, match=r"^--plugin tiny.py: the winner was trained with another text"):
        deliver(study, *named([*changed, *plugins[1:]]))


def test_a_model_has_a_copy_of_its_plugins(final: Path, plugins: list[Path]) -> None:
    assert {path.name: path.read_bytes() for path in (final / "plugins").iterdir()} == {
        path.name: path.read_bytes() for path in plugins
    }
    recipe = Recipe.load(final / "recipe.json")
    assert [name for name, _ in recipe.plugins] == ["plain", "swap", "tiny"]
    card = (final / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert 'leukemia.load("FOLDER", plugins=["FOLDER/plugins/tiny.py"])' in card
    assert "leukemia.predict --model FOLDER --plugin FOLDER/plugins/tiny.py IMAGES..." in card


def test_the_copy_is_not_run_unless_it_is_named(final: Path, marker: Path, pictures: list[Path]) -> None:
    copy = final / "plugins" / "tiny.py"
    message = rf"^the plug-in 'tiny' of .* not been named; name it with --plugin FILE.py, .* {re.escape(str(copy))}$"
    with pytest.raises(UserError, match=message):
        leukemia.load(final)
    for command in (predict, evaluate, export):
        arguments = {predict: [str(pictures[0])], evaluate: ["--test", str(pictures[0].parent)], export: []}[command]
        with pytest.raises(UserError, match=message):
            command.main(["--model", str(final), *arguments])
    assert not marker.exists()
    model = leukemia.load(final, "cpu", plugins=[copy])
    assert marker.exists()
    table = model.predict(pictures[0])
    assert 0 <= table["probability_leukemic"][0] <= 1
    (explanation,) = model.explain(pictures[0])
    assert explanation.overlay().shape == (32, 32, 3)
    assert repr(model).startswith(f"<model {final}: tiny, color, plain 5.0e-02, on cpu>")


def test_a_model_with_another_plugin_is_refused(final: Path, tmp_path: Path, plugins: list[Path]) -> None:
    with pytest.raises(UserError, match=r"^the plug-in 'tiny' .* and --plugin tiny.py has another text; .*; a copy is"):
        leukemia.load(final, plugins=written(tmp_path / "changed", tiny=NETWORK))
    with (
        unknown(),
        pytest.raises(UserError, match=r"^--plugin more.py: the model uses nothing of it \(more\); leave it"),
    ):
        leukemia.load(final, plugins=[plugins[0], *written(tmp_path, more=NETWORK.replace('"tiny"', '"more"'))])


def test_what_only_training_needs_is_not_needed_later(
    tmp_path: Path,
    tiny_catalog: Catalog,
    tiny_folder: Path,
    plugins: list[Path],
    untrained: list[Recipe],
    marker: Path,
    pictures: list[Path],
) -> None:
    study = study_of(tmp_path, tiny_catalog, tiny_folder, plugins[1:], **{"model.network": "resnet"})
    with unknown():
        deliver(study, *named(plugins[1:]))
    assert len(leukemia.load(study.folder / "final", "cpu").predict(pictures)) == 3


def test_studies_are_read_without_plugins(study: Study, marker: Path) -> None:
    results = StudyResults(study.folder)
    assert results.trials()["model.network"].tolist() == ["tiny"]
    assert results.trials()["augment.swap"].tolist() == [0.5]
    assert Best.of(study).recipe.describe() == "tiny, color, plain 5.0e-02"
    assert not marker.exists()


def test_a_network_is_exported_and_compared(final: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--model", str(final), "--plugin", str(final / "plugins" / "tiny.py")]) == 0
    assert (final / "model.onnx").is_file()

    from leukemia.delivery.onnx_file import OnnxModel

    assert np.isfinite(OnnxModel(final / "model.onnx").probabilities(np.zeros((1, 32, 32, 3), np.uint8))).all()


def test_an_ensemble_is_delivered_beside_the_single_model(
    study: Study, plugins: list[Path], untrained: list[Recipe], patients: Path, pictures: list[Path], marker: Path
) -> None:
    with unknown():
        assert deliver(study, "--ensemble", "folds", "--test", patients, *named(plugins)) == 0
    marker.unlink()
    # The single model, then one without each fold.
    assert [recipe.model.network for recipe in untrained] == ["tiny"] * 3
    for name in ("final", "ensemble"):
        folder = study.folder / name
        assert {path.name for path in (folder / "plugins").iterdir()} == {path.name for path in plugins}
        with unknown(), pytest.raises(UserError, match=r"^the plug-in 'tiny' of .* not been named; name it with"):
            leukemia.load(folder)
    assert not marker.exists()
    folder = study.folder / "ensemble"
    model = leukemia.load(folder, "cpu", plugins=[folder / "plugins" / "tiny.py"])
    assert len(members_of(model.network)) == 2
    assert repr(model).startswith(f"<model {folder}: tiny, color, plain 5.0e-02, ensemble of 2 (folds), on cpu>")
    assert model.predict(pictures)["probability_leukemic"].between(0, 1).all()
    assert len(model.explain(pictures)) == 3
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "It is an ensemble of 2 networks, each trained without one fold" in card
    assert "--plugin FOLDER/plugins/tiny.py" in card


def test_a_report_says_that_a_network_has_no_maps(
    tmp_path: Path, tiny_catalog: Catalog, tiny_folder: Path, untrained: list[Recipe], patients: Path
) -> None:
    flat = """
from torch import nn
from leukemia.plugins import network

@network("tiny")
def tiny(recipe, in_channels, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * recipe.data.size_px**2, num_classes))
"""
    own = written(tmp_path / "flat", tiny=flat)
    others = written(tmp_path / "own", plain=TEXTS["plain.py"], swap=TEXTS["swap.py"])
    study = study_of(tmp_path, tiny_catalog, tiny_folder, [*own, *others])
    deliver(study, *named([*own, *others]), "--test", patients)
    page = (study.folder / "final" / "report.html").read_text(encoding="utf-8")
    assert "The network tiny has no layer with a map of at least 7 x 7 cells at 32 px" in page
