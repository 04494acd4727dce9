"""``leukemia.final --ensemble folds`` and ``--seeds``: what is averaged, compared, resumed and said."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.deliveries import RECIPE, deliver, hidden, searched
from helpers.wandb_server import WandbServer

import leukemia
from leukemia import evaluate as evaluate_command
from leukemia import export
from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import write_record
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.folds import Splits
from leukemia.data.images import open_images
from leukemia.data.view import view_of
from leukemia.delivery import retraining
from leukemia.delivery.caveats import OF_SINGLE_MODELS
from leukemia.delivery.delivery import NOT_COMPARED, NOT_OF_THE_ENSEMBLE
from leukemia.delivery.loading import load_delivered
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.training import train
from leukemia.training.crossval import cross_validate
from leukemia.training.ensemble import Ensemble, members_of
from leukemia.training.inference import model_to_device, predict
from leukemia.training.model import build_model
from leukemia.training.resnet import ResNet

CPU = torch.device("cpu")
FOLDS = ("--ensemble", "folds")


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


Asked = list[tuple[int, int, int]]
"""Seed, fold and number of training images of each training."""


def untrained_fit(asked: Asked) -> Callable[..., Generator[Epoch, None, ResNet]]:
    """A training that gives random weights of (seed, fold)."""

    def fit(recipe: Recipe, split: train.Split, *, fold: int, **rest: object) -> Generator[Epoch, None, ResNet]:
        asked.append((recipe.train.seed, fold, len(split.training)))
        yield Epoch(
            seed=recipe.train.seed,
            fold=fold,
            epoch=1,
            train_loss=0.5 + fold,
            train_accuracy=0.5,
            validation_loss=0.25 if len(split.validation) else float("nan"),
            validation_accuracy=0.5 if len(split.validation) else float("nan"),
            learning_rate=1e-3,
            seconds=1.0,
            images_per_second=1.0,
            device_memory_mb=0.0,
        )
        torch.manual_seed(10 * recipe.train.seed + fold)
        return build_model(recipe).eval()

    return fit


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Replace training by random weights; returns what was asked for."""
    asked: Asked = []
    monkeypatch.setattr(retraining, "fit", untrained_fit(asked))
    return asked


@pytest.fixture(scope="module")
def ensemble_runs(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """A study with an ensemble of its two folds, untrained and untested; only read."""
    runs = tmp_path_factory.mktemp("ensemble") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKEMIA_CACHE", str(session_cache))
        patch.setenv("WANDB_MODE", "disabled")
        patch.setattr(retraining, "fit", untrained_fit([]))
        deliver(searched(runs, read_catalog(tiny_folder), str(tiny_folder)), *FOLDS)
    return runs


@pytest.fixture
def averaged(ensemble_runs: Path, tmp_path: Path, trained: Asked) -> Study:
    """A copy of that study, whose next model would be untrained as well."""
    return Study.open(Path(shutil.copytree(ensemble_runs, tmp_path / "runs")) / "one")


def metrics_in(folder: Path) -> dict:
    return json.loads((folder / layout.METRICS).read_text())


def test_members_are_the_networks_of_the_search(study: Study, tiny_catalog: Catalog, session_cache: Path) -> None:
    """Each has the search's own out-of-fold predictions, to the last bit."""
    assert deliver(study, *FOLDS) == 0
    network, recipe = load_delivered(study.folder / layout.ENSEMBLE)
    images, labels = open_images(tiny_catalog, view_of(recipe)), tiny_catalog.table["label"].to_numpy()
    rows = list(Splits.load(study.folder / layout.SPLITS, tiny_catalog.fingerprint).rows(tiny_catalog))
    found = [each for each in cross_validate(RECIPE, images, labels, rows, device=CPU) if isinstance(each, FoldResult)]
    members = members_of(network)
    assert len(members) == len(found) == 2
    for member, result in zip(members, found, strict=True):
        again = predict(model_to_device(member, CPU), recipe, images, result.rows, device=CPU, tta=recipe.evaluate.tta)
        np.testing.assert_array_equal(again, result.probabilities)
        assert np.ptp(again) > 1e-4
    epochs = pd.read_csv(study.folder / layout.ENSEMBLE / layout.EPOCHS)
    assert epochs[["seed", "fold", "epoch"]].to_numpy().tolist() == [[0, 0, 1], [0, 1, 1]]
    assert epochs["validation_loss"].notna().all()
    assert not (session_cache / "checkpoints" / "abcd1234-final").exists()


def test_an_ensemble_is_delivered_beside_the_single_model_and_compared(
    study: Study, patients: Path, trained: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(study, *FOLDS, "--test", patients) == 0
    output, folder = capsys.readouterr().out, study.folder / layout.ENSEMBLE
    assert trained == [(0, 2, 48), (0, 0, 24), (0, 1, 24)], "all images, then those of each fold"
    assert "first the single model, with which the ensemble is compared: final/" in output
    assert f"trial 0000: {RECIPE.describe()}, ensemble of 2 (folds) on cpu" in output
    assert "model 2/2, epoch 1/1: loss 1.5000" in output
    metrics = metrics_in(folder)
    assert metrics["difference"]["against"] == "the single model (final/)"
    assert "compared with the single model (final/), accuracy: " in output
    # The difference is that of the probabilities of both, with classes from 0.5 on.
    test = read_catalog(patients)
    labels, images = test.table["label"].to_numpy(), open_images(test, view_of(RECIPE))
    found = []
    for name in (layout.ENSEMBLE, layout.FINAL):
        network, recipe = load_delivered(study.folder / name)
        probabilities = [
            predict(member, recipe, images, range(12), device=CPU, tta="flips", is_exact=True)
            for member in members_of(network)
        ]
        found.append(((np.mean(probabilities, axis=0) >= 0.5) == labels).mean())
    assert metrics["difference"]["accuracy"]["value"] == pytest.approx(found[0] - found[1])
    for text in (output, (folder / layout.CARD).read_text(), (folder / layout.REPORT).read_text()):
        assert OF_SINGLE_MODELS in text
        assert NOT_OF_THE_ENSEMBLE in text
    assert metrics["quote"].endswith(NOT_OF_THE_ENSEMBLE)
    assert OF_SINGLE_MODELS in metrics["caveats"]
    single = metrics_in(study.folder / layout.FINAL)
    assert (single["caveats"], single["difference"]) == ([], None)
    assert NOT_OF_THE_ENSEMBLE not in single["quote"]
    card = (folder / layout.CARD).read_text()
    assert card.startswith(f"# {RECIPE.describe()}, ensemble of 2 (folds)\n")
    assert "It is an ensemble of 2 networks, each trained without one fold of the search, whose probabilities" in card
    assert "the mean over the 2 networks and the views of test-time augmentation (flips)" in card
    assert "then trained on all training images but those of one fold, once for each fold; the last epoch" in card
    assert "\n- kind of model: ensemble of 2 networks, each trained without one fold of the search\n" in card
    page = (folder / layout.REPORT).read_text()
    assert "2 networks, each trained on the 48 training images without those of one fold" in page
    assert hidden(study) == [".ensemble.lock"]


def test_what_is_delivered_is_not_trained_again(
    averaged: Study, patients: Path, trained: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a test set, the single model was of no use."""
    study = averaged
    assert NOT_COMPARED in (study.folder / layout.ENSEMBLE / layout.CARD).read_text()
    assert not (study.folder / layout.FINAL).exists()
    weights = (study.folder / layout.ENSEMBLE / layout.WEIGHTS).read_bytes()
    for expected in ([(0, 2, 48)], []):
        trained.clear()
        assert deliver(study, *FOLDS, "--test", patients) == 0
        assert trained == expected
    assert "already delivered: " in capsys.readouterr().out
    assert metrics_in(study.folder / layout.ENSEMBLE)["difference"]["against"] == "the single model (final/)"
    assert (study.folder / layout.ENSEMBLE / layout.WEIGHTS).read_bytes() == weights


def test_an_unlabelled_test_set_gives_no_comparison(
    study: Study, patients: Path, trained: Asked, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = shutil.copytree(patients, tmp_path / "images")
    listing = images / "test.csv"
    listing.write_text("\n".join(["Path", *map(str, sorted(images.rglob("*.png")))]) + "\n")
    assert deliver(study, *FOLDS, "--test", listing) == 0
    assert NOT_COMPARED in capsys.readouterr().out
    assert trained == [(0, 0, 24), (0, 1, 24)]
    assert metrics_in(study.folder / layout.ENSEMBLE)["difference"] is None


def test_seeds_are_those_after_the_recipes_own_and_begin_with_the_single_model(
    study: Study, patients: Path, trained: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(study, "--set", "train.seed=5")
    trained.clear()
    assert deliver(study, "--set", "train.seed=5", "--seeds", "3", "--test", patients) == 0
    assert trained == [(6, 2, 48), (7, 2, 48)]
    folder = study.folder / layout.ENSEMBLE
    assert f"model 1/3: that of {study.folder / 'final'}\n" in capsys.readouterr().out
    network, recipe = load_delivered(folder)
    single, _ = load_delivered(study.folder / layout.FINAL)
    assert recipe.train.seed == 5
    first = members_of(network)[0].state_dict()
    assert all(torch.equal(value, first[name]) for name, value in single.state_dict().items())
    assert pd.read_csv(folder / layout.EPOCHS)["seed"].tolist() == [5, 6, 7]
    card = (folder / layout.CARD).read_text()
    assert "It is an ensemble of 3 networks, trained on all images with different seeds, whose" in card
    assert "then trained on all training images, once for each seed; the last epoch counts" in card
    page = (folder / layout.REPORT).read_text()
    assert "3 networks, each trained on all 48 training images: none are left to validate them on." in page


def test_without_a_single_model_all_seeds_are_trained(study: Study, trained: Asked) -> None:
    deliver(study, "--seeds", "2", "--out", "pair")
    assert trained == [(0, 2, 48), (1, 2, 48)]
    assert [path.name for path in study.folder.iterdir() if (path / layout.MODEL).is_file()] == ["pair"]


def test_finished_members_are_not_trained_again_after_an_interruption(
    study: Study, monkeypatch: pytest.MonkeyPatch, session_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs, run_epoch = list[tuple[int, int]](), train._Fit.run_epoch

    def counted(self: train._Fit, epoch: int) -> Epoch:
        epochs.append((self.fold, epoch))
        return run_epoch(self, epoch)

    monkeypatch.setattr(train._Fit, "run_epoch", counted)
    long = (*FOLDS, "--set", "train.epochs=2")
    print_line = retraining.print_line

    def interrupt(console: object, line: str) -> None:
        if line.startswith("model 2/2, epoch 1/2"):
            raise KeyboardInterrupt
        print_line(console, line)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "print_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            deliver(study, *long)
    assert epochs == [(0, 1), (0, 2), (1, 1)]
    assert len(list((session_cache / "checkpoints" / "abcd1234-final").glob("*.pt"))) == 2
    epochs.clear()
    deliver(study, *long)
    assert epochs == [(1, 2)]
    assert not (session_cache / "checkpoints" / "abcd1234-final").exists()


@pytest.mark.usefixtures("no_training")
def test_the_disk_has_to_hold_all_networks(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(study.folder)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"^not enough disk space for the delivered model: 109 MB needed in "):
        deliver(study, *FOLDS)
    usage = usage._replace(free=2 * 10**8)
    with pytest.raises(UserError, match=r"^not enough disk space for the training's checkpoints: 4\d\d MB needed in "):
        deliver(study, *FOLDS)


def test_a_loaded_ensemble_is_used_like_a_model(
    averaged: Study, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = averaged.folder / layout.ENSEMBLE
    model, images = leukemia.load(folder, device="cpu"), sorted(patients.rglob("*.png"))
    assert repr(model) == f"<model {folder}: {RECIPE.describe()}, ensemble of 2 (folds), on cpu>"
    assert isinstance(model.network, Ensemble)
    pixels = open_images(read_catalog(patients), view_of(RECIPE))
    single = [
        predict(member, model.recipe, pixels, range(12), device=CPU, tta="flips", is_exact=True)
        for member in model.network.members
    ]
    expected = model.decision.probabilities(np.mean(single, axis=0))
    found = model.predict(images).set_index("path")["probability_leukemic"]
    order = [str(path) for path in read_catalog(patients).table["path"]]
    np.testing.assert_allclose(found[order], expected, atol=1e-6)
    assert np.abs(single[0] - single[1]).max() > 1e-3
    (explanation,) = model.explain(images[:1])
    assert explanation.relevance.shape == (32, 32)
    capsys.readouterr()
    assert evaluate_command.main(["--model", str(folder), "--test", str(patients), "--device", "cpu"]) == 0
    assert NOT_COMPARED in capsys.readouterr().out
    metrics = metrics_in(folder)
    assert metrics["test"]["n"] == 12
    assert metrics["quote"].endswith(NOT_OF_THE_ENSEMBLE)
    assert OF_SINGLE_MODELS in metrics["caveats"]


def test_an_ensemble_is_exported_as_onnx(averaged: Study, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from leukemia.delivery.onnx_file import TOLERANCE, OnnxModel

    folder = averaged.folder / layout.ENSEMBLE
    assert export.main(["--model", str(folder), "--onnx", str(tmp_path / "model.onnx")]) == 0
    model = leukemia.load(folder, device="cpu")
    pixels = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    of_network = predict(model.network, model.recipe, pixels, range(7), device=CPU, tta="flips", is_exact=True)
    expected = model.decision.probabilities(of_network)
    np.testing.assert_allclose(OnnxModel(tmp_path / "model.onnx").probabilities(pixels), expected, atol=TOLERANCE)


def test_weights_that_no_onnx_file_can_hold_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from leukemia.delivery.onnx_file import write_onnx
    from leukemia.study.decision import Decision

    with torch.device("meta"):
        network = Ensemble([ResNet(50, "concat"), ResNet(50, "concat")])
    with pytest.raises(UserError, match=r"model.onnx: not written, since an ONNX file can have at most 2.1 GB, a"):
        write_onnx(tmp_path / "model.onnx", network, RECIPE, decision=Decision(), weights_sha256="0" * 64, tta="none")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_training")
def test_options_that_contradict_are_refused(study: Study, patients: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^--seeds: expected at least 2 models to average, got 1$"):
        deliver(study, "--seeds", "1")
    with pytest.raises(UserError, match=r"^--against-start: an ensemble is compared with the single model; compare"):
        deliver(study, *FOLDS, "--against-start", "--test", patients)
    with pytest.raises(UserError, match=r"^--out: final is the folder of the single model; choose another for the"):
        deliver(study, "--seeds", "2", "--out", "final")
    with pytest.raises(UserError, match=r"^--out: expected letters"):
        deliver(study, "--seeds", "2", "--out", "")
    for options in ((*FOLDS, "--seeds", "2"), ("--ensemble", "seeds")):
        with pytest.raises(SystemExit) as ended:
            deliver(study, *options)
        assert ended.value.code == 2
    assert "not allowed with argument --ensemble" in capsys.readouterr().err


@pytest.mark.usefixtures("no_training")
def test_one_fold_makes_no_ensemble(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    best = Best.of(study)
    monkeypatch.setattr(Best, "of", classmethod(lambda cls, study: dataclasses.replace(best, folds=1)))
    with pytest.raises(UserError, match=r"^--ensemble folds: the search has one fold, so there is one model; add --se"):
        deliver(study, *FOLDS)


def test_another_single_model_is_not_compared_with(delivered: Study, patients: Path, trained: Asked) -> None:
    study, test = delivered, ("--set", "train.seed=5", *FOLDS, "--test", patients)
    with pytest.raises(
        UserError,
        match=r"final does not have the single model that the ensemble is compared with; add --replace, which moves it "
        r"to final.1, or leave out --test:\n  train.seed: 0, not 5$",
    ):
        deliver(study, *test)
    assert trained == []
    deliver(study, *test, "--replace")
    assert len(trained) == 3
    seeds = {name: load_delivered(study.folder / name)[1].train.seed for name in ("final", "final.1", "ensemble")}
    assert seeds == {"final": 5, "final.1": 0, "ensemble": 5}


def test_another_kind_of_model_is_not_taken_for_it(averaged: Study, trained: Asked) -> None:
    study = averaged
    kind = r"\n  kind of model: ensemble of 2 networks, each trained without one fold of the search, not "
    with pytest.raises(UserError, match=rf"{kind}ensemble of 2 networks, trained on all images with different seeds$"):
        deliver(study, "--seeds", "2")
    with pytest.raises(UserError, match=rf"{kind}none$"):
        deliver(study, "--out", "ensemble")
    assert trained == []


def test_another_number_in_the_record_is_noticed(averaged: Study) -> None:
    folder = averaged.folder / layout.ENSEMBLE
    content = json.loads((folder / layout.MODEL).read_text())
    assert content["ensemble"] == {"kind": "folds", "members": 2}
    for members, message in ((3, r"expected an ensemble of 3 times "), (1, r"'ensemble.members': expected at least 2")):
        write_record(folder / layout.MODEL, content | {"ensemble": {"kind": "folds", "members": members}})
        with pytest.raises(UserError, match=message):
            leukemia.load(folder, device="cpu")
    (folder / layout.WEIGHTS).unlink()
    write_record(folder / layout.MODEL, content | {"files": {}})
    with pytest.raises(MissingFile, match=r"no weights at "):
        leukemia.load(folder, device="cpu")


def test_weights_of_an_ensemble_start_no_training(averaged: Study) -> None:
    study = averaged
    with pytest.raises(UserError, match=r"expected one ResNet, got 2 \(members\.0\.\*, members\.1\.\*\)"):
        deliver(study, "--set", f"model.pretrained={study.folder / layout.ENSEMBLE}", "--out", "other")


@pytest.mark.usefixtures("trained")
def test_an_ensemble_is_one_run_in_wandb(study: Study, wandb_server: WandbServer) -> None:
    assert deliver(study, *FOLDS) == 0
    (run,) = wandb_server.runs.values()
    assert run.display_name == "one-ensemble"
    assert run.config["ensemble"] == {"kind": "folds", "members": 2}
    assert [row.get("train_loss") for row in run.history] == [1.0, None], "the mean of 0.5 and 1.5"
    assert "ensemble" in wandb_server.artifacts["model-abcd1234:v0"].aliases
