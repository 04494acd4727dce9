"""``leukemia.load``: images are seen as in training, what cannot be taken is refused, test sets are compared."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from helpers.deliveries import deliver, metrics_of
from PIL import Image

import leukemia
from leukemia.base.errors import MissingFile, UserError
from leukemia.data.catalog import read_catalog
from leukemia.data.reading import Reading
from leukemia.data.view import framed, view_of
from leukemia.delivery.delivered_model import DeliveredModel
from leukemia.delivery.seen import Seen
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord
from leukemia.tracking import names
from leukemia.training.inference import predict
from leukemia.training.resnet import ResNet

EXAMPLE = Path(__file__).parents[1] / "example_study"


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


@pytest.fixture
def final(delivered: Study) -> DeliveredModel:
    return leukemia.load(delivered.folder / "final", device="cpu")


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_paths_and_arrays_are_seen_as_in_training(plain_model: Path, network: ResNet, pictures: list[Path]) -> None:
    model = leukemia.load(str(plain_model), device="cpu")
    arrays = [pixels_of(path) for path in pictures]
    seen = np.stack([framed(array, view_of(model.recipe)) for array in arrays])
    expected = predict(network, model.recipe, seen, range(3), device=model.device, tta="d4")
    for images in (pictures, map(str, pictures), pictures[0].parent, arrays, np.stack(arrays)):
        table = model.predict(images)  # type: ignore[arg-type]
        np.testing.assert_allclose(table["probability_leukemic"], expected, atol=1e-6)
        assert table["predicted"].tolist() == (expected >= 0.5).astype(int).tolist()
        assert ((table["spread"] >= 0) & (table["spread"] <= 1)).all()
    assert table["image"].tolist() == [0, 1, 2]
    # A whole image, given to the network as it is, is another one: the mistake that this class prevents.
    whole = predict(network, model.recipe, np.stack(arrays), range(3), device=model.device, tta="d4")
    assert np.abs(whole - expected).max() > 0.01
    np.testing.assert_allclose(model.predict(arrays[1])["probability_leukemic"], expected[1:2], atol=1e-6)
    assert model.threshold == 0.5


def test_explanations_are_of_the_images_and_predictions(
    plain_model: Path, pictures: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, broken = leukemia.load(plain_model, device="cpu"), tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    found, table = model.explain([pictures[0], broken, *pictures[1:]], skip=True), model.predict(pictures)
    assert "1 of 4 images cannot be used, and are left out" in caplog.text
    assert [each.name for each in found] == table["path"].tolist()
    assert [each.predicted for each in found] == table["predicted"].tolist()
    np.testing.assert_allclose([each.probability_leukemic for each in found], table["probability_leukemic"])
    for each, path in zip(found, pictures, strict=True):
        assert (each.pixels == framed(pixels_of(path), view_of(model.recipe))).all()
        assert each.relevance.max() == 1
        unexplained = each.relevance == 0
        assert (each.overlay()[unexplained] == each.pixels[unexplained]).all()
        assert (each.overlay()[each.relevance == 1] != each.pixels[each.relevance == 1]).any()


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (np.zeros((64, 64, 3), np.float32), "float32 (64, 64, 3)"),
        (np.zeros((64, 64), np.uint8), "uint8 (64, 64)"),
        (np.zeros((3, 64, 64), np.uint8), "uint8 (3, 64, 64)"),
        (np.zeros((64, 64, 4), np.uint8), "uint8 (64, 64, 4)"),
        (np.zeros((0, 64, 3), np.uint8), "uint8 (0, 64, 3)"),
    ],
)
def test_other_arrays_are_refused_by_their_number(
    plain_model: Path, array: np.ndarray, got: str, caplog: pytest.LogCaptureFixture
) -> None:
    model, good = DeliveredModel(plain_model, "cpu"), np.full((64, 64, 3), 9, np.uint8)
    with pytest.raises(UserError) as raised:
        model.predict([good, array])
    line = f"  image 1: expected uint8 (H, W, 3), RGB in 0..255, got {got}; convert it, or give its file"
    assert str(raised.value) == f"1 of 2 images cannot be used:\n{line}"
    assert model.predict([good, array], skip=True)["image"].tolist() == [0]
    assert f"1 of 2 images cannot be used, and are left out:\n{line}" in caplog.messages


def test_what_is_no_image_is_refused(plain_model: Path, pictures: list[Path]) -> None:
    model = DeliveredModel(plain_model, "cpu")
    with pytest.raises(UserError, match=r"^expected images, got none$"):
        model.predict([])
    with pytest.raises(
        UserError, match=r"^expected an image \(H, W, 3\) or images \(n, H, W, 3\), got an array \(7,\)$"
    ):
        model.predict(np.zeros(7, np.uint8))
    with pytest.raises(UserError, match=r"^expected paths only, or arrays of numpy only, got int and str$"):
        model.predict([str(pictures[0]), 3])  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"^1 of 1 images cannot be used:\n  absent.png: missing$"):
        model.predict("absent.png")


def test_evaluate_gives_the_scores_of_final(final: DeliveredModel, delivered: Study, patients: Path) -> None:
    found = final.evaluate(patients)
    deliver(delivered, "--test", patients)
    expected = metrics_of(delivered)["test"]
    assert found.scores is not None
    assert {name: interval.to_dict() for name, interval in found.scores.items()} == {
        name: expected[name] for name in found.scores
    }
    assert (found.protocol, found.overlap) == (expected["protocol"], ())
    assert final.metrics.out_of_fold["n"] == 48


def test_test_images_and_patients_of_the_training_are_refused(
    final: DeliveredModel, tiny_folder: Path, tmp_path: Path
) -> None:
    """The model's folder is enough: neither the study nor its data are needed."""
    with pytest.raises(UserError, match=r"^--test: 48 images and 12 subjects of the test set are in the training data"):
        final.evaluate(tiny_folder)
    assert final.evaluate(tiny_folder, overlap="allow").overlap == ("48 images", "12 subjects")
    # Other pixels, but the same patients.
    for path in sorted(tiny_folder.rglob("*.png")):
        target = tmp_path / "again" / path.relative_to(tiny_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_of(path) // 2).save(target)
    with pytest.raises(UserError, match=r"^--test: 0 images and 12 subjects of the test set .*\n  subject 1\n"):
        final.evaluate(tmp_path / "again")
    with pytest.raises(UserError, match=r"are left out \(--drop-overlap\): 48 of a training subject, so none remain"):
        final.evaluate(tmp_path / "again", overlap="drop")
    anonymous = Reading(subject_pattern="")
    assert final.evaluate(tmp_path / "again", reading=anonymous).protocol == "random-cell"


def test_what_a_model_has_seen_is_kept_without_names(final: DeliveredModel, tiny_folder: Path) -> None:
    catalog = read_catalog(tiny_folder)
    stored = json.loads((final.folder / "seen.json").read_text())
    assert {len(each) for each in (*stored["images"], *stored["subjects"])} == {16}
    assert len(stored["subjects"]) == 12
    assert final.seen is not None
    assert final.seen.images == Seen.of(catalog).images
    assert final.seen.name_of("h1") == "h1"
    assert Seen.of(catalog).name_of("h1") == "H1"
    assert final.seen.name_of("H99") is final.seen.name_of("unknown") is None


def test_hashes_of_patients_are_sent_with_names_only(delivered: Study) -> None:
    final = delivered.folder / "final"
    assert {"appearance.json", "model.json"} <= set(sent := names.files(delivered, [final]))
    assert "seen.json" not in sent
    deliver(delivered, "--wandb-ids")
    assert "seen.json" in names.files(Study.open(delivered.folder), [final])


@pytest.mark.parametrize("name", ["seen.json", "appearance.json", "metrics.json"])
def test_changed_files_are_noticed(final: DeliveredModel, name: str) -> None:
    path = final.folder / name
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(UserError, match=rf"{name}: not the file that model.json was written for; restore the file"):
        _ = leukemia.load(final.folder, "cpu").metrics


def test_models_of_earlier_versions_are_loaded(
    final: DeliveredModel, patients: Path, tiny_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("seen.json", "appearance.json"):
        (final.folder / name).unlink()
    assert final.record is not None
    kept = {name: each for name, each in final.record.files.items() if (final.folder / name).is_file()}
    dataclasses.replace(final.record, files=kept).keep(final.folder)
    model = leukemia.load(final.folder, "cpu")
    assert not model.evaluate(patients).is_compared
    with pytest.raises(UserError, match=r"^--drop-overlap: the model has no seen.json, since an earlier version deliv"):
        model.evaluate(patients, overlap="drop")
    with pytest.raises(UserError, match=r"^--test: .*final was trained on this very test set; use other test data$"):
        model.evaluate(tiny_folder)
    assert set(model.predict(patients)["warning"]) == {""}
    assert (
        f"{final.folder} has no appearance.json, since an earlier version delivered it: images unlike " in caplog.text
    )


def test_the_record_of_the_example_is_still_read(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE / "final", tmp_path / "final"))
    record = ModelRecord.read(folder)
    assert record is not None
    record.check_files(folder)
    with pytest.raises(MissingFile, match=r"^no weights at .*model.safetensors; restore the file"):
        leukemia.load(folder)
    assert "seen.json" not in json.loads((folder / "model.json").read_text())["files"]


def test_a_model_is_applied_in_float32_whatever_the_precision_of_its_training(
    plain_model: Path, pictures: list[Path], delivered_runs: Path, patients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that predictions agree with an exported file, and between machines."""
    expected = leukemia.load(plain_model, device="cpu").predict(pictures)["probability_leukemic"]

    def of_training(*arguments: object) -> NoReturn:
        raise AssertionError("the precision of training")

    monkeypatch.setattr("leukemia.training.inference.compute_dtype", of_training)
    found = leukemia.load(plain_model, device="cpu").predict(pictures)["probability_leukemic"]
    assert found.tolist() == expected.tolist()
    tested = leukemia.load(delivered_runs / "one" / "final", device="cpu").evaluate(patients)
    assert len(tested.probabilities) == 12
