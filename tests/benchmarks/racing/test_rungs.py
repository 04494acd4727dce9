"""The record of learning curves: equal to a trial's training, in an order that can be interrupted."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from helpers.cells import TinyImages

from benchmarks.racing.rungs import record as recording
from benchmarks.racing.rungs import tables
from benchmarks.racing.rungs.average import PowerAverage
from benchmarks.racing.rungs.curve import train_curve
from benchmarks.racing.rungs.jobs import Extent, Job, jobs_of
from benchmarks.racing.rungs.record import RungSpec, record
from benchmarks.racing.rungs.tables import EPOCHS, IMAGES, MEASUREMENTS, gather
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.results import FoldResult
from leukemia.training.crossval import cross_validate
from leukemia.training.model import build_model
from leukemia.training.train import Split

SETTINGS = {"model.depth": 18, "model.shortcut": "add", "data.size_px": 32, "train.epochs": 3, "train.batch_size": 12}
RECIPE = Recipe.from_flat({"optimizer.name": "adamw", "train.precision": "float32", **SETTINGS}).resolved([(32, 32)])


@pytest.fixture
def split(tiny_images: TinyImages) -> Split:
    return Split(
        images=tiny_images.images, labels=tiny_images.labels, training=np.arange(32), validation=np.arange(32, 48)
    )


@pytest.mark.parametrize("optimizer", ["adamw", "ranger21"])
def test_a_recorded_curve_is_that_of_a_trial(optimizer: str, split: Split) -> None:
    recipe = Recipe.from_flat({"optimizer.name": optimizer, "train.precision": "float32", **SETTINGS})
    recipe = recipe.resolved([(32, 32)])
    curve = train_curve(recipe, split, 1, full=(2, 3), sample=split.validation)
    *epochs, result = cross_validate(
        recipe,
        split.images,
        split.labels,
        [(split.validation, split.training), (split.training, split.validation)],
        device=torch.device("cpu"),
        only=[1],
    )
    assert isinstance(result, FoldResult)
    assert curve.train_losses == pytest.approx([epoch.train_loss for epoch in epochs], rel=1e-6)  # type: ignore[union-attr]
    plain = [found for found in curve.measurements if found.form == "plain"]
    labels = split.labels[split.validation]
    accuracies = [float(((found.probabilities >= 0.5) == labels).mean()) for found in plain]
    assert accuracies == [epoch.validation_accuracy for epoch in epochs]  # type: ignore[union-attr]
    assert curve.measurements[-1].form == "tta"
    np.testing.assert_allclose(curve.measurements[-1].probabilities, result.probabilities, rtol=1e-6)
    assert [found.form for found in curve.measurements] == [
        "plain",
        *("plain", "average_2", "average_7"),
        *("plain", "average_2", "average_7", "tta"),
    ]


def test_a_diverged_curve_has_the_epochs_before(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = itertools.chain([1.0] * 3, itertools.repeat(float("nan")))
    original = F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda logits, labels: original(logits, labels) * next(losses))
    curve = train_curve(RECIPE, split, 0, full=(3,), sample=split.validation)
    assert len(curve.train_losses) == len(curve.measurements) == 1


def test_an_average_weighs_steps_by_a_power_of_their_number() -> None:
    model = build_model(RECIPE)
    average = PowerAverage(model, 2.0)
    parameter, steps = model.fc.weight, [1.0, 5.0, 2.0, 7.0]
    for value in steps:
        torch.nn.init.constant_(parameter, value)
        average.update(model)
    # Step i of t has the weight (i/t)^3 - ((i-1)/t)^3: for large t, proportional to i^2.
    weights = np.diff(np.linspace(0, 1, 5) ** 3)
    assert average.model.fc.weight[0, 0].item() == pytest.approx(weights @ steps, rel=1e-5)


def test_the_best_and_some_others_are_trained_on_all_folds() -> None:
    extent = Extent(num_recipes=12, num_folds=3, num_best=4, num_others=2, num_repeated=2)
    scores = {Job(0, recipe, 0): recipe / 12 for recipe in range(12)}
    jobs = list(jobs_of(extent, scores.__getitem__))
    assert jobs[:12] == [Job(0, recipe, 0) for recipe in range(12)]
    assert len(set(jobs)) == len(jobs) == 12 + 6 * 2 + 2 * 3
    others = {job.recipe for job in jobs[12:] if job.seed == 0}
    assert {8, 9, 10, 11} < others
    assert {job.recipe for job in jobs if job.seed == 1} == {11, 8}


SPEC = RungSpec(
    data="",
    extent=Extent(num_recipes=3, num_folds=2, num_best=1, num_others=1, num_repeated=1),
    settings={**SETTINGS, "train.epochs": 2},
    full=(2,),
    num_training=12,
    num_sample=4,
)


@pytest.mark.slow
def test_a_record_goes_on_where_it_was_interrupted(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, folder = replace(SPEC, data=str(tiny_folder)), tmp_path / "record"
    (folder / "parts").mkdir(parents=True)
    recording._start_worker(spec, folder)
    for recipe in (0, 2):
        recording._record_job(Job(0, recipe, 0))
    record(spec, folder, 1)
    assert not list((folder / "parts").iterdir())
    epochs, measurements = pd.read_parquet(folder / EPOCHS), pd.read_parquet(folder / MEASUREMENTS)
    done = set(map(tuple, epochs[["seed", "recipe", "fold"]].to_numpy()))
    assert len(done) == 3 + 2 + 2
    assert len(epochs) == 2 * len(done)
    images = pd.read_parquet(folder / IMAGES)
    for (fold, extent), found in measurements.groupby(["fold", "extent"]):
        rows = images[images["fold"] == fold]
        assert set(found["log_odds"].map(len)) == {len(rows) if extent == "all" else 4}
    # Called again, nothing is trained, and nothing is lost.
    monkeypatch.setattr(recording, "_record_job", None)
    record(spec, folder, 1)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / EPOCHS), epochs)
    with pytest.raises(UserError, match=r"record\.json: the record there has a different spec; choose another folder$"):
        record(replace(spec, num_training=10), folder, 1)


def test_a_part_that_was_gathered_before_an_interruption_counts_once(tmp_path: Path, split: Split) -> None:
    curve = train_curve(RECIPE.with_settings({"train.epochs": 1}), split, 0, full=(1,), sample=split.validation[:4])
    (tmp_path / "parts").mkdir()
    tables.save_part(tmp_path, Job(0, 7, 0), curve)
    gather(tmp_path)
    tables.save_part(tmp_path, Job(0, 7, 0), curve)
    gather(tmp_path)
    assert len(pd.read_parquet(tmp_path / EPOCHS)) == 1
    measurements = pd.read_parquet(tmp_path / MEASUREMENTS)
    assert sorted(measurements["form"]) == ["average_2", "average_7", "plain", "tta"]
    assert measurements["log_odds"].iloc[0].dtype == np.float16
