"""Probabilities: averaging of TTA views, order of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import ttach
from helpers.cells import TinyImages
from torch import Tensor, nn

from leukemia.config.recipe import Recipe
from leukemia.config.sections import Tta
from leukemia.data.augment import evaluation_pipeline
from leukemia.training import inference
from leukemia.training.inference import NUM_VIEWS, NonFiniteProbabilities, predict, predict_views, views_of
from leukemia.training.model import build_model
from leukemia.training.resnet import ResNet

CPU = torch.device("cpu")
RECIPE = Recipe.from_flat({"data.size_px": 32, "train.precision": "float32", "evaluate.tta": "d4"}).resolved([(64, 64)])

Views = list[Callable[[np.ndarray], np.ndarray]]

FLIPS: Views = [lambda x: x, np.flipud, np.fliplr, lambda x: np.flipud(np.fliplr(x))]
VIEWS: dict[Tta, Views] = {
    "none": [lambda x: x],
    "flips": FLIPS,
    "d4": [*FLIPS, *(lambda x, flip=flip: flip(x.transpose(1, 0, 2)) for flip in FLIPS)],
}
"""Symmetries of the square on (H, W, C) images, by flips and transposition."""


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def model() -> ResNet:
    """Random weights, with a head that spreads the probabilities."""
    torch.manual_seed(0)
    model = build_model(RECIPE)
    with torch.no_grad():
        model.fc.weight.mul_(3)
    return model.eval()


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_views_are_averaged_like_a_plain_loop(model: ResNet, tiny_images: TinyImages, tta: Tta) -> None:
    rows, pipeline = [5, 0, 3], evaluation_pipeline(RECIPE)
    expected = np.zeros(len(rows))
    for view in VIEWS[tta]:
        transformed = [np.ascontiguousarray(view(tiny_images.images[row])) for row in rows]
        batch = torch.from_numpy(np.stack([pipeline(image, None) for image in transformed]))
        with torch.no_grad():
            expected += softmax(model(batch).double().numpy())[:, 1] / len(VIEWS[tta])
    found = predict(model, RECIPE, tiny_images.images, rows, device=CPU, tta=tta)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_softmax_is_applied_before_averaging() -> None:
    class TopLeft(nn.Module):
        """Logits that differ between views: twice the value of one corner, and 0."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(images)), 2 * images[:, 0, 0, 0]], dim=1)

    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, :, :, 0] = [[255, 60], [80, 100]]
    corners = 2 * evaluation_pipeline(RECIPE)(image[0], None)[0].ravel().astype(float)
    expected = (1 / (1 + np.exp(-corners))).mean()
    for tta in ("flips", "d4"):
        found = predict(TopLeft(), RECIPE, image, [0], device=CPU, tta=tta)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, [expected], rtol=1e-6)
    assert abs(expected - 1 / (1 + np.exp(-corners.mean()))) > 0.05


@pytest.mark.parametrize("tta", ["flips", "d4"])
def test_views_of_many_images_in_one_pass_equal_ttachs_one_after_the_other(
    model: ResNet, tiny_images: TinyImages, tta: Tta
) -> None:
    aliases = {"flips": ttach.aliases.flip_transform(), "d4": ttach.aliases.d4_transform()}
    reference = ttach.ClassificationTTAWrapper(nn.Sequential(model, nn.Softmax(dim=1)), aliases[tta], merge_mode="mean")
    pipeline = evaluation_pipeline(RECIPE)
    batch = torch.from_numpy(np.stack([pipeline(image, None) for image in tiny_images.images]))
    with torch.inference_mode():
        expected = reference(batch)[:, 1].numpy()
    found = predict(model, RECIPE, tiny_images.images, range(48), device=CPU, tta=tta)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("tta", ["none", "flips", "d4"])
def test_the_first_view_is_the_image_itself(model: ResNet, tiny_images: TinyImages, tta: Tta) -> None:
    images = torch.rand(3, 3, 8, 8)
    assert torch.equal(views_of(images, tta)[:3], images)
    assert len(views_of(images, tta)) == 3 * NUM_VIEWS[tta]
    views = predict_views(model, RECIPE, tiny_images.images, [5, 0], device=CPU, tta=tta)
    assert views.shape == (NUM_VIEWS[tta], 2)
    plain = predict(model, RECIPE, tiny_images.images, [5, 0], device=CPU, tta="none")
    np.testing.assert_allclose(views[0], plain, atol=1e-6)


def test_rows_keep_their_order(model: ResNet, tiny_images: TinyImages) -> None:
    # More rows than an evaluation batch, not ascending, with duplicates.
    rows = np.concatenate([np.arange(48)[::-1], np.arange(0, 48, 2), [7, 7]])
    every = predict(model, RECIPE, tiny_images.images, range(48), device=CPU, tta="none")
    found = predict(model, RECIPE, tiny_images.images, rows, device=CPU, tta="none")
    np.testing.assert_allclose(found, every[rows], atol=1e-6)
    assert np.ptp(every) > 0.01
    assert predict(model, RECIPE, tiny_images.images, [], device=CPU, tta="d4").shape == (0,)


def test_a_model_in_training_mode_is_still_evaluated_in_eval_mode(model: ResNet, tiny_images: TinyImages) -> None:
    expected = predict(model, RECIPE, tiny_images.images, range(4), device=CPU, tta="flips")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    assert np.array_equal(predict(model, RECIPE, tiny_images.images, range(4), device=CPU, tta="flips"), expected)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.fixture
def overflowing(model: ResNet) -> ResNet:
    """Finite weights, but logits beyond the range of float32 in every image."""
    broken = build_model(RECIPE)
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        broken.fc.weight.fill_(3e38)
    return broken.eval()


def test_probabilities_that_are_not_finite_are_rejected(overflowing: ResNet, tiny_images: TinyImages) -> None:
    with pytest.raises(NonFiniteProbabilities, match=r"^probabilities of 3 of 3 images are NaN or infinite$") as raised:
        predict(overflowing, RECIPE, tiny_images.images, [5, 0, 3], device=CPU, tta="d4")
    assert raised.value.positions.tolist() == [0, 1, 2]


def test_exact_predictions_are_those_of_float32_whatever_the_recipe(
    model: ResNet, tiny_images: TinyImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """oneDNN emulates bfloat16 on processors without it."""
    monkeypatch.setattr(inference, "compute_dtype", lambda recipe, device: torch.bfloat16)
    rounded = predict(model, RECIPE, tiny_images.images, range(8), device=CPU, tta="flips")
    exact = predict(model, RECIPE, tiny_images.images, range(8), device=CPU, tta="flips", is_exact=True)
    monkeypatch.setattr(inference, "compute_dtype", lambda recipe, device: torch.float32)
    expected = predict(model, RECIPE, tiny_images.images, range(8), device=CPU, tta="flips")
    assert np.array_equal(exact, expected)
    assert 1e-4 < np.abs(rounded - exact).max() < 0.05
    assert torch.backends.cudnn.allow_tf32, "as it was"
