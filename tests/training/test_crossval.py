"""Cross-validation: a generator over independent folds, with scores that equal scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.cells import TinyImages
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

from leukemia.config.recipe import Recipe
from leukemia.config.results import COST, OBJECTIVES, Epoch, FoldResult, score_name
from leukemia.training import crossval
from leukemia.training.crossval import cross_validate
from leukemia.training.inference import predict
from leukemia.training.train import Split, fit

CPU = torch.device("cpu")
RECIPE = Recipe.from_flat(
    {
        "data.size_px": 32,
        "optimizer.name": "adamw",
        "train.epochs": 2,
        "train.batch_size": 16,
        "train.precision": "float32",
        "train.seed": 3,
        "evaluate.tta": "flips",
    }
).resolved([(32, 32)])


@pytest.fixture(scope="module")
def small(tiny_images: TinyImages) -> np.ndarray:
    """uint8 (48, 16, 16, 3): every other pixel."""
    return np.ascontiguousarray(tiny_images.images[:, ::2, ::2])


@pytest.fixture(scope="module")
def folds() -> list[tuple[np.ndarray, np.ndarray]]:
    """Three folds of eight rows; the other rows are only trained on."""
    validations = [np.arange(start, start + 8) for start in (0, 16, 40)]
    return [(np.setdiff1d(np.arange(48), validation), validation) for validation in validations]


@pytest.fixture(scope="module")
def reports(small: np.ndarray, tiny_images: TinyImages, folds: list[tuple[np.ndarray, np.ndarray]]) -> list:
    return list(cross_validate(RECIPE, small, tiny_images.labels, folds, device=CPU))


def results_of(reports: list[Epoch | FoldResult]) -> list[FoldResult]:
    return [report for report in reports if isinstance(report, FoldResult)]


def test_epochs_of_a_fold_precede_its_result(reports: list[Epoch | FoldResult]) -> None:
    order = [(report.fold, report.epoch if isinstance(report, Epoch) else "result") for report in reports]
    assert order == [(fold, step) for fold in range(3) for step in (1, 2, "result")]
    assert {report.seed for report in reports} == {3}


def test_results_cover_the_validation_rows(
    reports: list[Epoch | FoldResult], folds: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    for result, (_, validation) in zip(results_of(reports), folds, strict=True):
        assert np.array_equal(result.rows, validation)
        assert result.probabilities.shape == (8,)
        assert result.probabilities.dtype == np.float64
        assert result.seconds > 0
        assert result.device.startswith("cpu (")
        assert result.precision == "float32"


def test_scores_equal_scikit_learns(reports: list[Epoch | FoldResult], tiny_images: TinyImages) -> None:
    for result in results_of(reports):
        labels, predicted = tiny_images.labels[result.rows], (result.probabilities >= 0.5).astype(int)
        expected = {
            "tta_accuracy": accuracy_score(labels, predicted),
            "tta_balanced_accuracy": balanced_accuracy_score(labels, predicted),
            "tta_weighted_f1": f1_score(labels, predicted, average="weighted"),
            "tta_auroc": roc_auc_score(labels, result.probabilities),
        }
        assert set(expected) == set(OBJECTIVES)
        assert {name: result.scores[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("score", OBJECTIVES)
def test_an_objective_is_a_score_or_a_score_and_the_cost(score: str) -> None:
    assert score_name(score) == score_name(f"{score},{COST}") == score


def test_every_fold_is_independent_of_earlier_folds(
    reports: list[Epoch | FoldResult],
    small: np.ndarray,
    tiny_images: TinyImages,
    folds: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    """The last fold after two others equals the last fold trained and predicted alone."""
    training, validation = folds[2]
    split = Split(images=small, labels=tiny_images.labels, training=training, validation=validation)
    fitting = fit(RECIPE, split, fold=2, device=CPU)
    next(fitting)
    next(fitting)
    with pytest.raises(StopIteration) as end:
        next(fitting)
    model, result = end.value.value, results_of(reports)[2]
    expected = predict(model, RECIPE, small, validation, device=CPU, tta="flips")
    assert np.array_equal(result.probabilities, expected)
    plain = predict(model, RECIPE, small, validation, device=CPU, tta="none")
    assert result.scores["plain_accuracy"] == accuracy_score(tiny_images.labels[validation], plain >= 0.5)
    assert not np.array_equal(plain, expected)


def test_only_the_given_folds_are_trained(
    reports: list[Epoch | FoldResult],
    small: np.ndarray,
    tiny_images: TinyImages,
    folds: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    again = list(cross_validate(RECIPE, small, tiny_images.labels, folds, device=CPU, only=[1]))
    assert [report.fold for report in again] == [1, 1, 1]
    assert np.array_equal(results_of(again)[0].probabilities, results_of(reports)[1].probabilities)


def test_each_fold_has_its_own_checkpoint_and_closing_the_generator_stops(
    small: np.ndarray,
    tiny_images: TinyImages,
    folds: list[tuple[np.ndarray, np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Path] = []

    def spy(recipe: Recipe, split: Split, *, fold: int, checkpoint: Path, **rest: object):
        started.append(checkpoint)
        yield Epoch(
            seed=3,
            fold=fold,
            epoch=1,
            train_loss=1.0,
            train_accuracy=0.5,
            validation_loss=1.0,
            validation_accuracy=0.5,
            learning_rate=1e-3,
            seconds=1.0,
            images_per_second=1.0,
            device_memory_mb=0.0,
        )

    monkeypatch.setattr(crossval, "fit", spy)
    monkeypatch.setattr(crossval, "predict_views", lambda *arguments, **settings: np.full((4, 8), 0.25))
    stopped = cross_validate(RECIPE, small, tiny_images.labels, folds, device=CPU, checkpoints=tmp_path)
    received = [next(stopped) for _ in range(4)]
    stopped.close()
    assert started == [tmp_path / "seed_3" / "fold_0.pt", tmp_path / "seed_3" / "fold_1.pt"]
    assert [type(report) for report in received] == [Epoch, FoldResult, Epoch, FoldResult]
