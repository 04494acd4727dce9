"""The training loss: smoothed labels and class weights by their formula; the validation loss without either."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.training import train
from leukemia.training.inference import predict
from leukemia.training.train import Split, fit

CPU = torch.device("cpu")
SIDE_PX = 32


def recipe_of(smoothing: float, class_weight: str) -> Recipe:
    """One epoch of a single batch."""
    flat = {
        "train.label_smoothing": smoothing,
        "train.class_weight": class_weight,
        "train.epochs": 1,
        "train.batch_size": 64,
        "train.precision": "float32",
        "train.pipeline": "batch",
        "evaluate.precise_bn": False,
    }
    return Recipe.from_flat(flat).resolved([(SIDE_PX, SIDE_PX)])


def split_of() -> Split:
    """24 training images, a third of class 0, and 6 for validation."""
    images = np.random.default_rng(0).integers(0, 256, (30, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    return Split(
        images=images,
        labels=(np.arange(30) % 3 > 0).astype(np.int64),
        training=np.arange(24),
        validation=np.arange(24, 30),
    )


@pytest.fixture
def logits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Logits and labels of each batch that is trained, by a linear model."""

    def linear(recipe: Recipe) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE_PX**2, 2))

    seen = []
    cross_entropy = train.F.cross_entropy

    def recording(logits: Tensor, labels: Tensor, **settings: object) -> Tensor:
        seen.append((logits.detach().double(), labels))
        return cross_entropy(logits, labels, **settings)

    monkeypatch.setattr(train, "build_model", linear)
    monkeypatch.setattr(train.F, "cross_entropy", recording)
    return seen


def trained(recipe: Recipe) -> tuple[Epoch, nn.Module]:
    fitting = fit(recipe, split_of(), fold=0, device=CPU)
    epoch = next(fitting)
    with pytest.raises(StopIteration) as end:
        next(fitting)
    return epoch, end.value.value


@pytest.mark.parametrize(("class_weight", "weights"), [("none", (1.0, 1.0)), ("balanced", (24 / 16, 24 / 32))])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5, 1.0])
def test_the_training_loss_is_that_of_smoothed_and_weighted_labels(
    logits: list[tuple[Tensor, Tensor]], smoothing: float, class_weight: str, weights: tuple[float, float]
) -> None:
    epoch, _ = trained(recipe_of(smoothing, class_weight))
    [(found, labels)] = logits
    of_class = -torch.log_softmax(found, dim=1).numpy()
    targets = (1 - smoothing) * np.eye(2)[labels.numpy()] + smoothing / 2
    # As in torch: weights are those of the classes, and the sum is divided by those of the labels.
    expected = (np.array(weights) * targets * of_class).sum() / np.array(weights)[labels.numpy()].sum()
    assert epoch.train_loss == pytest.approx(expected, rel=1e-5)
    if class_weight == "none":
        entropy = -(targets * np.log(np.maximum(targets, 1e-12))).sum(axis=1).mean()
        assert epoch.train_loss >= entropy - 1e-6


def test_the_validation_loss_is_not_smoothed(logits: list[tuple[Tensor, Tensor]]) -> None:
    recipe, split = recipe_of(0.5, "balanced"), split_of()
    epoch, model = trained(recipe)
    probability = predict(model, recipe, split.images, split.validation, device=CPU, tta="none")
    of_true_class = np.where(split.labels[split.validation] == 1, probability, 1 - probability)
    assert epoch.validation_loss == pytest.approx(-np.log(of_true_class).mean(), rel=1e-5)


def test_smoothing_changes_what_is_learned(logits: list[tuple[Tensor, Tensor]]) -> None:
    weights = [trained(recipe_of(smoothing, "none"))[1].state_dict()["1.weight"] for smoothing in (0.0, 0.0, 0.3)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
