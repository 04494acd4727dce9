"""An ensemble has the mean of its members' probabilities and maps, and is read from one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.training.ensemble import Ensemble, members_of
from leukemia.training.gradcam import relevance
from leukemia.training.inference import NonFiniteProbabilities, predict_views
from leukemia.training.model import load_ensemble, load_model, save_model
from leukemia.training.pretrained import read_pretrained
from leukemia.training.resnet import ResNet

CPU = torch.device("cpu")
RECIPE = (
    Recipe()
    .with_settings({"data.size_px": 32, "model.depth": 18, "train.precision": "float32"})
    .resolved([(32, 32), (32, 32)])
)


@pytest.fixture(scope="module")
def members() -> list[ResNet]:
    """Networks that differ, with heads that spread the probabilities."""
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        network = ResNet(18).eval()
        with torch.no_grad():
            network.fc.weight.mul_(5)
        found.append(network)
    return found


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_the_probabilities_are_the_mean_of_the_members(members: list[ResNet]) -> None:
    pixels = noise(5)

    def views_of(network: ResNet | Ensemble) -> np.ndarray:
        return predict_views(network, RECIPE, pixels, range(5), device=CPU, tta="flips", is_exact=True)

    single = np.stack([views_of(member) for member in members])
    assert np.ptp(single, axis=0).min() > 1e-3, "the members differ"
    np.testing.assert_allclose(views_of(Ensemble(members)), single.mean(axis=0), atol=1e-6)


def test_far_logits_and_other_precisions_stay_finite(members: list[ResNet]) -> None:
    """A softmax of logits of 1000 is 0 and 1, whose logarithm is minus infinity."""

    class Sure(ResNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[1000.0, -1000.0]], dtype=torch.bfloat16).expand(len(images), 2)

    found = Ensemble([Sure(18), Sure(18)])(torch.zeros(4, 3, 32, 32))
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found.softmax(dim=1), torch.tensor([[1.0, 0.0]]).expand(4, 2))
    (itself,) = members_of(members[0])
    assert itself is members[0]


def test_one_broken_member_makes_the_ensemble_unusable(members: list[ResNet]) -> None:
    broken = ResNet(18)
    broken.load_state_dict(members[0].state_dict())
    with torch.no_grad():
        broken.fc.bias.fill_(torch.nan)
    with pytest.raises(NonFiniteProbabilities, match=r"probabilities of 2 of 2 images are NaN or infinite"):
        predict_views(Ensemble([members[1], broken]), RECIPE, noise(2), range(2), device=CPU, tta="none")


def test_a_map_is_the_mean_of_the_members_maps(members: list[ResNet]) -> None:
    pixels, classes = noise(2), np.array([1, 0])

    def map_of(networks: list[ResNet]) -> np.ndarray:
        return relevance(Ensemble(networks), RECIPE, pixels, [0, 1], classes, device=CPU, tta="flips")

    single = relevance(members[0], RECIPE, pixels, [0, 1], classes, device=CPU, tta="flips")
    np.testing.assert_allclose(map_of([members[0], members[0]]), single, atol=1e-6)
    both = map_of(members[:2])
    assert not np.allclose(both, single, atol=0.05)
    np.testing.assert_allclose(both.max(axis=(1, 2)), 1, atol=1e-6)
    assert all(parameter.requires_grad for member in members for parameter in member.parameters())


def test_an_ensemble_is_saved_and_loaded(members: list[ResNet], tmp_path: Path) -> None:
    path, ensemble = tmp_path / "model.safetensors", Ensemble(members[:2]).eval()
    save_model(ensemble, path)
    before = torch.get_rng_state()
    loaded = load_ensemble(path, RECIPE, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert not loaded.training
    expected = ensemble.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())


def test_another_number_of_members_is_refused(members: list[ResNet], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(Ensemble(members), path)
    with pytest.raises(
        UserError,
        match=r"expected an ensemble of 2 times ResNet-18, shortcut add, 3-channel input, 2 classes, got what appears "
        r"to be an ensemble of 3 networks; change .*\n  unexpected: members\.2\.",
    ):
        load_ensemble(path, RECIPE, 2)
    with pytest.raises(UserError, match=r"expected ResNet-18, .*, got what appears to be an ensemble of 3 networks"):
        load_model(path, RECIPE)
    with pytest.raises(UserError, match=r"expected one ResNet, got 3 \(members\.0\.\*, members\.1\.\*, members\.2\.\*"):
        read_pretrained(path)
    save_model(members[0], path)
    with pytest.raises(UserError, match=r"expected an ensemble of 3 times .*, got what appears to be ResNet-18, sho"):
        load_ensemble(path, RECIPE, 3)
