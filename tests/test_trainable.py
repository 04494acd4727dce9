"""What a worker does: its reports, its checkpoints, its ways to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from leukemia.config import Recipe, Train
from leukemia.crossval import FoldResult
from leukemia.train import Epoch
from search import trainable
from search.resources import Resources
from search.trainable import REPORT, TrialData, run_trial


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a trainable reports, in the place of Tune."""
    heard: list[Any] = []
    monkeypatch.setattr(ray.tune, "report", lambda result: heard.append(result[REPORT]))
    return heard


@pytest.fixture
def data(tiny_images: Any, tmp_path: Path) -> TrialData:
    np.save(tmp_path / "images.npy", tiny_images.images)
    rows = np.arange(len(tiny_images.labels))
    return TrialData(
        images=tmp_path / "images.npy",
        labels=tiny_images.labels,
        folds=[(rows[:24], rows[24:]), (rows[24:], rows[:24])],
        checkpoints=tmp_path / "checkpoints",
    )


RECIPE = Recipe(train=Train(epochs=1, batch_size=8)).with_settings({"evaluate.tta": "none"}).resolved(32)
ONE_CPU = Resources(device="cpu", cpus=1, gpus=0.0, concurrent=1)


def assignment(recipe: Recipe = RECIPE, skip: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"number": 7, "seed": 0, "recipe": recipe.flat(), "skip": list(skip)}


def test_a_trial_reports_epochs_and_folds_and_leaves_no_checkpoints(reports: list[Any], data: TrialData) -> None:
    run_trial(assignment(), data, ONE_CPU)
    assert [type(report) for report in reports] == [Epoch, FoldResult, Epoch, FoldResult]
    assert [report.fold for report in reports] == [0, 0, 1, 1]
    assert list(data.checkpoints.iterdir()) == []


def test_finished_folds_are_skipped(reports: list[Any], data: TrialData) -> None:
    run_trial(assignment(skip=(0,)), data, ONE_CPU)
    assert [report.fold for report in reports] == [1, 1]
    run_trial(assignment(skip=(0, 1)), data, ONE_CPU)
    assert len(reports) == 2


def test_checkpoints_of_a_fold_go_when_it_is_committed(monkeypatch: pytest.MonkeyPatch, data: TrialData) -> None:
    kept: list[list[str]] = []
    monkeypatch.setattr(
        ray.tune, "report", lambda result: kept.append([path.name for path in data.checkpoints.rglob("*.pt")])
    )
    run_trial(assignment(), data, ONE_CPU)
    assert kept == [["fold_0.pt"], ["fold_0.pt"], ["fold_1.pt"], ["fold_1.pt"]]


def test_a_trial_and_its_repeat_keep_checkpoints_apart(monkeypatch: pytest.MonkeyPatch, data: TrialData) -> None:
    """They may run side by side: the end of one must not take the other's."""
    folders: list[Path] = []
    monkeypatch.setattr(
        trainable, "cross_validate", lambda *_, checkpoints, **__: iter(folders.append(checkpoints) or ())
    )
    for seed in (0, 1):
        recipe = RECIPE.with_settings({"train.seed": seed})
        run_trial({**assignment(recipe), "seed": seed}, data, ONE_CPU)
    assert [folder.name for folder in folders] == ["0007-0", "0007-1"]


def test_a_diverging_trial_says_so_in_words_with_the_place(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda *args, **kwargs: loss(*args, **kwargs) * np.inf)
    run_trial(assignment(), data, ONE_CPU)
    (words,) = reports
    assert words.startswith("NonFiniteLoss: non-finite")
    assert "at fold 0, epoch 1, step 1" in words
    assert "lower optimizer.learning_rate (train.py, line" in words


def test_an_error_of_ours_becomes_words_not_an_exception(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **settings: Any) -> Iterator[Any]:
        yield "first"
        raise MemoryError("no room for 3 GB")

    monkeypatch.setattr(trainable, "cross_validate", broken)
    (data.checkpoints / "0007-0" / "seed_0").mkdir(parents=True)
    run_trial(assignment(), data, ONE_CPU)
    assert reports[0] == "first"
    assert reports[1].startswith("MemoryError: no room for 3 GB (test_trainable.py, line ")
    assert list(data.checkpoints.iterdir()) == []
