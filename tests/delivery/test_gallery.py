"""The surest mistakes of a model, in its gallery, its table of patients and its page."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.cells import draw_cells
from helpers.deliveries import deliver, metrics_of
from helpers.studies import change_info
from helpers.subclasses import draw_folders
from PIL import Image

import leukemia
from leukemia.config.recipe import Recipe
from leukemia.delivery.gallery import MOST, gallery_of, surest
from leukemia.evaluate import main as evaluate
from leukemia.scoring.calibration import log_odds
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.tracking.names import files
from leukemia.training.gradcam import relevance
from leukemia.training.model import build_model

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def predictions(num_images: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, num_images)
    return labels, np.clip(0.3 + 0.3 * labels + generator.normal(0, 0.2, num_images), 0, 1)


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_the_surest_mistakes_are_the_farthest_from_the_threshold(threshold: float) -> None:
    labels, probabilities = predictions()
    called = (probabilities >= threshold).astype(int)
    mistakes, right = surest(labels, probabilities, threshold)
    assert len(mistakes) == len(right) == MOST
    assert (called[mistakes] != labels[mistakes]).all()
    assert (called[right] == labels[right]).all()
    assert sorted(called[mistakes]) == sorted(called[right]), "as many answers of each class"
    sure = np.abs(log_odds(probabilities) - log_odds(threshold))
    assert (np.diff(sure[mistakes]) <= 0).all()
    others = np.setdiff1d(np.flatnonzero(called != labels), mistakes)
    assert sure[others].max() <= sure[mistakes].min()


def test_without_right_answers_of_a_class_there_are_those_of_the_other() -> None:
    labels, probabilities = np.array([1, 1, 0, 0, 0]), np.array([0.1, 0.2, 0.3, 0.92, 0.95])
    mistakes, right = surest(labels, probabilities, 0.5)
    assert (mistakes, right) == ([4, 3, 0, 1], [2])
    assert surest(np.array([0, 1]), np.array([0.1, 0.9]), 0.5) == ([], [])


def test_maps_are_of_the_class_that_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe().with_settings({"data.size_px": 32, "model.depth": 18}).resolved([(32, 32)])
    torch.manual_seed(0)
    network = build_model(recipe).eval()
    images = np.random.default_rng(0).integers(90, 160, (4, 32, 32, 3), dtype=np.uint8)
    labels, probabilities = np.array([0, 1, 1, 0]), np.array([0.9, 0.2, 0.8, 0.1])
    names = [f"{row}.png" for row in range(4)]
    found = gallery_of(network, recipe, images, names, labels, probabilities, 0.5, CPU)
    assert (found.num_mistakes, found.mistake_rows, found.right_rows) == (2, (0, 1), (3, 2))
    first, second = found.mistakes
    assert (first.name, first.predicted, first.probability_leukemic) == ("0.png", 1, 0.9)
    assert (second.name, second.predicted) == ("1.png", 0)
    (expected,) = relevance(network, recipe, images, [0], np.array([1]), device=CPU, tta="d4")
    np.testing.assert_allclose(first.relevance, expected, atol=1e-6)
    np.testing.assert_array_equal(first.pixels, images[0])
    assert all(parameter.requires_grad for parameter in network.parameters()), "left as they were"


def pictures(page: str) -> list[Image.Image]:
    """Those of the gallery."""
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


@pytest.mark.usefixtures("untrained")
def test_a_page_shows_mistakes_and_patients(
    delivered: Study, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver(delivered, "--test", patients)
    printed = capsys.readouterr().out
    folder = delivered.folder / "final"
    page = (folder / layout.REPORT).read_text()
    table = pd.read_csv(folder / layout.PREDICTIONS, dtype={"subject": str})
    wrong = table[table["predicted"] != table["label"]]
    assert f"{len(wrong)} of 12 test images are classified wrongly" in page
    assert page.count('<figure class="exhibit wrong">') == len(wrong)
    assert page.count('<figure class="exhibit">') == min(len(wrong), 12 - len(wrong))
    shown = pictures(page)
    assert len(shown) == 2 * page.count('<figure class="exhibit')
    assert {image.size for image in shown} == {(32, 32)}
    for subject, name in zip(wrong["subject"], wrong["image_id"], strict=True):
        assert f"<span>patient {subject}</span><span>{name}</span>" in page
    by_patient = pd.read_csv(folder / layout.PATIENTS, dtype={"subject": str})
    means = table.groupby("subject")["probability_leukemic"].mean()
    assert by_patient["subject"].tolist() == sorted(table["subject"].unique())
    np.testing.assert_allclose(by_patient["mean_probability_leukemic"], means[by_patient["subject"]])
    assert by_patient["images"].tolist() == [2] * 6
    assert (by_patient["right"] == (by_patient["predicted"] == by_patient["label"])).all()
    accuracy = metrics_of(delivered)["test"]["patients"]["accuracy"]
    assert accuracy["value"] == pytest.approx(by_patient["right"].mean())
    assert f"test accuracy by patient (6): {accuracy['value']:.4f}, 95 % interval" in printed
    card = (folder / layout.CARD).read_text()
    assert "\n## Scores by patient\n\n6 patients. A patient is called leukemic if " in card
    assert f"| accuracy | {accuracy['value']:.2f} (" in card.partition("## Scores by patient")[2]
    # The results on this test set have both, too; those on another one replace them.
    (kept,) = (folder / layout.TESTS).iterdir()
    assert (kept / layout.PATIENTS).read_bytes() == (folder / layout.PATIENTS).read_bytes()


@pytest.mark.usefixtures("untrained")
def test_a_test_set_without_patients_says_so(delivered: Study, tmp_path: Path) -> None:
    test = draw_folders(tmp_path / "test", names=("normal", "leukemic"), seed=9, per_folder=4)
    deliver(delivered, "--test", test)
    folder = delivered.folder / "final"
    sentence = "The patients of the test images are not known, so there are no scores by patient."
    for name in (layout.REPORT, layout.CARD):
        assert (folder / name).read_text().count(sentence) == 1, name
    assert not (folder / layout.PATIENTS).exists()
    assert metrics_of(delivered)["test"]["patients"] is None
    assert "<span>patient" not in (folder / layout.REPORT).read_text()


@pytest.mark.usefixtures("untrained")
def test_results_of_a_test_set_with_patients_leave_nothing_for_one_without(
    delivered: Study, patients: Path, tmp_path: Path
) -> None:
    folder = delivered.folder / "final"
    evaluate(["--model", str(folder), "--test", str(patients), "--device", "cpu"])
    assert (folder / layout.PATIENTS).is_file()
    test = draw_folders(tmp_path / "test", names=("normal", "leukemic"), seed=9, per_folder=4)
    evaluate(["--model", str(folder), "--test", str(test), "--device", "cpu"])
    assert not (folder / layout.PATIENTS).exists()
    assert (folder / layout.TESTS / patients.name / layout.PATIENTS).is_file()
    leukemia.load(folder, device="cpu").record.check_files(folder)  # type: ignore[union-attr]


@pytest.mark.usefixtures("untrained")
def test_neither_the_page_nor_names_of_patients_are_sent_to_wandb(delivered: Study, patients: Path) -> None:
    deliver(delivered, "--test", patients)
    sent = files(delivered, [delivered.folder / "final"])
    assert not [name for name in sent if name.endswith(layout.REPORT)]
    table = pd.read_csv(io.StringIO(str(sent[layout.PATIENTS])))
    assert table.columns.tolist() == [
        *("row", "label", "images", "share_called_leukemic", "mean_probability_leukemic", "predicted", "right")
    ]
    change_info(delivered, wandb_ids=True)
    everything = files(Study.open(delivered.folder), [delivered.folder / "final"])
    assert layout.REPORT in everything


@pytest.mark.usefixtures("untrained")
def test_images_of_one_patient_in_both_classes_are_said(delivered: Study, tmp_path: Path) -> None:
    test = draw_cells(tmp_path / "test", seed=7, subjects=range(11, 14), per_subject=2)
    # One more image of a normal subject, among the leukemic ones.
    (source,) = sorted(test.rglob("UID_H11_1_1_hem.png"))
    target = source.parents[1] / "all" / "UID_H11_3_1_all.png"
    shutil.copy(sorted(test.rglob("UID_12_1_1_all.png"))[0], target)
    Image.fromarray(np.asarray(Image.open(target))[::-1]).save(target)
    deliver(delivered, "--test", test)
    folder = delivered.folder / "final"
    assert "Not scored: 1 patient with images of both classes." in (folder / layout.CARD).read_text()
    assert metrics_of(delivered)["test"]["patients"]["n"] == 5
    table = pd.read_csv(folder / layout.PATIENTS, dtype={"subject": str}).set_index("subject")
    assert np.isnan(table.loc["H11", "label"])
    assert np.isnan(table.loc["H11", "right"])


def test_python_gets_patients_without_a_gallery(
    delivered_runs: Path, patients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*arguments: object, **options: object) -> Callable[..., None]:
        raise AssertionError("maps take time, and nobody asked")

    monkeypatch.setattr("leukemia.delivery.evaluation.gallery_of", unwanted)
    found = leukemia.load(delivered_runs / "one" / "final", device="cpu").evaluate(patients)
    assert (len(found.patients), found.gallery) == (6, None)
    assert found.patient_scores is not None
    assert json.dumps(found.patient_scores.to_dict())
