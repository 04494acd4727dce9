"""``leukemia.final`` from pretrained weights: what was taken is stated, and a test set that they know is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.deliveries import deliver, metrics_of, model_record
from helpers.resnets import renamed, small_state

import leukemia
from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.study.folder import Study
from leukemia.training.resnet import ResNet


def test_what_was_taken_is_printed_and_delivered(
    study: Study, tmp_path: Path, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "epoch=3.ckpt"
    torch.save({"state_dict": renamed(small_state(), "model.")}, weights)
    assert deliver(study, "--set", f"model.pretrained={weights}") == 0
    expected = f"{weights}, ResNet-18, shortcut add, 3-channel input: 120 tensors of state_dict.model.* taken; "
    assert capsys.readouterr().out.count(f"\nweights: {expected}dropped: fc (2); new: head") == 1
    folder = study.folder / "final"
    assert json.loads((folder / "model.json").read_text())["weights"].startswith(expected)
    assert expected in (folder / "report.html").read_text()
    card = (folder / "MODEL_CARD.md").read_text()
    assert f"pretrained weights: {expected.replace(str(weights), weights.name)}" in card
    assert f"--set model.pretrained={weights.name}" in card
    assert str(tmp_path) not in card
    assert [recipe.model.pretrained for recipe in untrained] == [str(weights)]


@pytest.mark.usefixtures("no_training")
def test_weights_of_another_network_are_refused_before_training(study: Study, tmp_path: Path) -> None:
    torch.save(small_state(34), tmp_path / "w.pt")
    with pytest.raises(
        UserError, match=r"w\.pt has ResNet-34, .*, but model\.depth is 18; use --set model\.depth=34, or"
    ):
        deliver(study, "--set", f"model.pretrained={tmp_path / 'w.pt'}")
    assert not (study.folder / "final").exists()


@pytest.mark.usefixtures("untrained")
def test_a_test_set_on_which_the_weights_were_trained_is_an_overlap(
    study: Study, patients: Path, tmp_path: Path
) -> None:
    torch.save(ResNet(18).state_dict(), tmp_path / "model.safetensors")
    write_record(tmp_path / "model.json", model_record(read_catalog(patients).fingerprint))
    options = ["--set", f"model.pretrained={tmp_path}", "--test", patients]
    with pytest.raises(
        UserError, match=rf"^--test: {tmp_path}, from which .*, was trained on this test set, .* weights, or"
    ):
        deliver(study, *options)
    assert not (study.folder / "final").exists()
    assert deliver(study, *options, "--allow-overlap") == 0
    assert metrics_of(study)["test"]["protocol"] == "random-cell"
    card = (study.folder / "final" / "MODEL_CARD.md").read_text()
    assert "overlaps the training data (all images, by way of model.pretrained)" in card
    # The delivered model knows it by itself: the weights may be on another machine.
    (tmp_path / "model.safetensors").unlink()
    model = leukemia.load(study.folder / "final", "cpu")
    with pytest.raises(
        UserError, match=rf"^--test: {tmp_path}, from which .*, was trained on this test set, .* weights"
    ):
        model.evaluate(patients)
    assert model.evaluate(patients, overlap="allow").overlap == ("all images, by way of model.pretrained",)
