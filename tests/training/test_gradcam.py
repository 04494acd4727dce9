"""Grad-CAM: against its definition, the same for turned images, and where a network was taught to look."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from leukemia import ALL
from leukemia.config.recipe import Recipe
from leukemia.data.evaluation import evaluation_batches
from leukemia.training.gradcam import relevance, stage_of
from leukemia.training.inference import precise_batchnorm, views_of
from leukemia.training.resnet import ResNet

CPU = torch.device("cpu")
SIZE = 32
"""Pixels: the smallest that a recipe allows; the first stage has 8 x 8 cells."""


def recipe_of(size_px: int) -> Recipe:
    return Recipe().with_settings({"data.size_px": size_px, "model.depth": 18}).resolved([(size_px, size_px)])


def noise(count: int, size_px: int = SIZE) -> np.ndarray:
    return np.random.default_rng(0).integers(90, 160, (count, size_px, size_px, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> ResNet:
    torch.manual_seed(0)
    return ResNet(18).eval()


def test_a_map_is_as_defined(network: ResNet) -> None:
    images, classes = noise(3), np.array([1, 0, 1])
    found = relevance(network, recipe_of(SIZE), images, range(3), classes, device=CPU, tta="none")

    (inputs,) = evaluation_batches(images, range(3), recipe_of(SIZE), 3, CPU)
    maps = network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(inputs)))))
    logits = network.fc(network.avgpool(network.layer4(network.layer3(network.layer2(maps)))).flatten(1))
    (gradients,) = torch.autograd.grad(logits[range(3), torch.from_numpy(classes)].sum(), maps)
    expected = (gradients.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).relu()
    expected = functional.interpolate(expected, size=(SIZE, SIZE), mode="bilinear").squeeze(1)
    expected = expected / expected.amax(dim=(1, 2), keepdim=True)
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("tta", ["flips", "d4"])
def test_the_map_of_a_mirrored_image_is_the_mirrored_map(network: ResNet, tta: str) -> None:
    images = noise(2)
    images[1] = images[0, :, ::-1]
    first, second = relevance(network, recipe_of(SIZE), images, [0, 1], np.array([1, 1]), device=CPU, tta=tta)
    np.testing.assert_allclose(first[:, ::-1], second, atol=1e-4)
    assert not np.allclose(first, second, atol=0.1)


def test_rows_and_batches_do_not_matter(network: ResNet) -> None:
    """Nine images are two batches of d4."""
    images, classes = noise(9), np.arange(9) % 2
    together = relevance(network, recipe_of(SIZE), images, range(9), classes, device=CPU, tta="d4")
    alone = relevance(network, recipe_of(SIZE), images, [8], classes[8:], device=CPU, tta="d4")
    assert together.shape == (9, SIZE, SIZE)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together[8], alone[0], atol=1e-4)


def test_nothing_that_speaks_for_a_class_is_zero() -> None:
    torch.manual_seed(0)
    network = ResNet(18)
    with torch.no_grad():
        network.fc.weight.zero_()
    found = relevance(network, recipe_of(SIZE), noise(1), [0], np.array([1]), device=CPU, tta="d4")
    assert (found == 0).all()


def test_a_network_that_learned_a_corner_looks_at_the_corner() -> None:
    """Only a painted corner tells the class; under augmentation it is any of the four."""
    size, corner, count = 56, 14, 64
    images, labels = noise(count, size), np.arange(count) % 2
    images[labels == ALL, :corner, :corner] = (230, 60, 60)
    torch.manual_seed(0)
    network = ResNet(18)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    (inputs,) = evaluation_batches(images, range(count), recipe_of(size), count, CPU)
    for step in range(24):
        rows = np.random.default_rng(step).permutation(count)[:16]
        view = views_of(inputs[rows], "d4").unflatten(0, (8, 16))[step % 8]
        optimizer.zero_grad()
        functional.cross_entropy(network(view), torch.from_numpy(labels[rows])).backward()
        optimizer.step()
    precise_batchnorm(network, [views_of(inputs[:16], "d4")])
    leukemic = np.flatnonzero(labels == ALL)[:8]
    maps = relevance(network, recipe_of(size), images, leukemic, np.full(8, ALL), device=CPU, tta="d4")
    quadrant = maps[:, : size // 2, : size // 2].sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    assert quadrant.min() > 0.7, quadrant
    # The map has 7 x 7 cells, 8 px wide.
    tops, lefts = np.unravel_index(maps.reshape(8, -1).argmax(axis=1), (size, size))
    assert max(*tops, *lefts) < corner + 8


def test_the_stage_is_the_deepest_whose_map_is_large_enough() -> None:
    assert [stage_of(size_px) for size_px in (16, 32, 49, 56, 97, 112, 193, 224)] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_parameters_need_gradients_again_afterwards(network: ResNet) -> None:
    network.conv1.weight.requires_grad_(False)
    relevance(network, recipe_of(SIZE), noise(1), [0], np.array([1]), device=CPU, tta="none")
    wanted = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    assert [name for name, needs in wanted.items() if not needs] == ["conv1.weight"]
    network.conv1.weight.requires_grad_()
