"""Training: resuming to the same weights, reproducibility, detection of divergence, precise BatchNorm."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pickle
import shutil
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.cells import TinyImages
from helpers.clock import clock_of_checkpoints
from helpers.full_disk import full_disk
from torch import Tensor, nn

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.data.augment import training_pipeline
from leukemia.data.augmentation.loaders import DeviceLoader, training_loader
from leukemia.data.images import training_batches
from leukemia.training import checkpoint_writer, crossval, train
from leukemia.training.checkpoint import epochs_in, save_checkpoint
from leukemia.training.checkpoint_writer import CheckpointSchedule
from leukemia.training.crossval import cross_validate
from leukemia.training.inference import precise_batchnorm, predict
from leukemia.training.resnet import ResNet
from leukemia.training.train import NonFiniteLoss, Split, fit

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[1] / "golden_losses.json"
OPTIMIZERS = ("ranger21", "adamw", "ranger21_cosine", "ranger21_package", "ranger21_package_cosine")
EACH_EPOCH = CheckpointSchedule(seconds=0)


def recipe_of(optimizer: str = "adamw", **settings: object) -> Recipe:
    """Four epochs of three steps on 32 px, float32; in ``settings``, ``__`` stands for a dot."""
    flat = {
        "optimizer.name": optimizer,
        "train.epochs": 4,
        "train.batch_size": 12,
        "train.precision": "float32",
        "train.pipeline": "reference",
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    return Recipe.from_flat(flat).resolved([(32, 32)])


@pytest.fixture
def split(tiny_images: TinyImages) -> Split:
    return Split(
        images=tiny_images.images, labels=tiny_images.labels, training=np.arange(32), validation=np.arange(32, 48)
    )


EARLIER_CHECKPOINT = Path(__file__).parents[1] / "earlier" / "fold_0.pt"
EARLIER_LOSSES = (0.6748181879520416, 0.709620475769043, 0.698385626077652, 0.6994121074676514)
"""Made at commit cb83f39: two epochs of ``fit(recipe_of("ranger21"), noise_split(), fold=0)`` with ``Small``, whose
checkpoint was then closed, and the training losses of all four epochs there."""


def noise_split() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    return Split(images=images, labels=np.arange(32) % 2, training=np.arange(24), validation=np.arange(24, 32))


class Small(nn.Module):
    """A network of a few thousand weights with all kinds of state: convolutions, BatchNorm, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 2) of images (N, 3, H, W)."""
        x = F.relu(self.bn1(self.conv1(images)))
        return self.fc(F.relu(self.bn2(self.conv2(x))).mean(dim=(2, 3)))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use ``Small``: Ranger21 would take seconds per epoch with a ResNet."""
    monkeypatch.setattr(train, "build_model", lambda recipe: Small())


def run(fitting: Generator[Epoch, None, ResNet]) -> tuple[list[Epoch], dict[str, Tensor]]:
    """All epochs, and the state dict of the final model."""
    epochs = []
    while True:
        try:
            epochs.append(next(fitting))
        except StopIteration as end:
            return epochs, end.value.state_dict()


def numbers(epochs: list[Epoch]) -> list[tuple[float, ...]]:
    """The values that must repeat exactly: all except times."""
    return [
        (epoch.epoch, epoch.train_loss, epoch.train_accuracy, epoch.validation_loss, epoch.learning_rate)
        for epoch in epochs
    ]


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        *((name, {}) for name in OPTIMIZERS),
        ("adamw", {"optimizer__warmup_epochs": 3, "train__label_smoothing": 0.1}),
        ("adamw", {"train__pipeline": "batch", "augment__saturation": 0.5, "augment__border": "reflect"}),
    ],
)
def test_a_killed_fit_resumes_to_the_same_weights(
    optimizer: str, settings: dict[str, Any], split: Split, tmp_path: Path
) -> None:
    recipe = recipe_of(optimizer, **settings)
    epochs, weights = run(fit(recipe, split, fold=1, device=CPU))
    path = tmp_path / "fold_1.pt"
    killed = fit(recipe, split, fold=1, device=CPU, checkpoint=path, schedule=EACH_EPOCH)
    received = [next(killed), next(killed)]
    killed.close()
    again, continued = run(fit(recipe, split, fold=1, device=CPU, checkpoint=path))
    assert numbers(again) == numbers(epochs)
    # The epochs before the kill are yielded again, unchanged.
    assert again[:2] == received
    assert_same(weights, continued)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pipeline", ["reference", "batch"])
@pytest.mark.parametrize("optimizer", ["adamw", "ranger21"])
def test_a_fit_killed_between_two_timed_checkpoints_repeats_the_epochs_since_the_last(
    optimizer: str, pipeline: str, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, path = recipe_of(optimizer, train__pipeline=pipeline), tmp_path / "fold_1.pt"
    epochs, weights = run(fit(recipe, split, fold=1, device=CPU))
    clock = clock_of_checkpoints(monkeypatch)
    killed = fit(recipe, split, fold=1, device=CPU, checkpoint=path)
    received = []
    # The fit begins at 0.
    for clock.seconds in (0.0, 61.0, 120.0):
        received.append(next(killed))
    killed.close()
    assert epochs_in(path, recipe, 1) == 2
    trained, run_epoch = [], train._Fit.run_epoch
    monkeypatch.setattr(train._Fit, "run_epoch", lambda self, epoch: trained.append(epoch) or run_epoch(self, epoch))
    again, continued = run(fit(recipe, split, fold=1, device=CPU, checkpoint=path))
    assert trained == [3, 4]
    assert again[:2] == received[:2]
    assert numbers(again) == numbers(epochs)
    assert_same(weights, continued)


@pytest.mark.usefixtures("small")
def test_weights_that_train_on_while_a_checkpoint_is_written_do_not_reach_it(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, path = recipe_of("ranger21"), tmp_path / "fold_0.pt"
    epochs, weights = run(fit(recipe, split, fold=0, device=CPU))
    clock, trained = clock_of_checkpoints(monkeypatch), threading.Event()

    def save_later(*arguments: Any) -> None:
        assert trained.wait(60)
        save_checkpoint(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_writer, "save_checkpoint", save_later)
        killed = fit(recipe, split, fold=0, device=CPU, checkpoint=path)
        for clock.seconds in (0.0, 60.0, 61.0):
            next(killed)
        assert not path.exists(), "the third epoch was trained during the writing"
        trained.set()
        killed.close()
    assert epochs_in(path, recipe, 0) == 2
    again, continued = run(fit(recipe, split, fold=0, device=CPU, checkpoint=path))
    assert numbers(again) == numbers(epochs)
    assert_same(weights, continued)


@pytest.mark.usefixtures("small")
def test_a_full_disk_while_a_checkpoint_is_written_is_raised_in_the_training(split: Split, tmp_path: Path) -> None:
    fitting = fit(recipe_of(), split, fold=0, device=CPU, checkpoint=tmp_path / "fold_0.pt", schedule=EACH_EPOCH)
    with full_disk(1_000), pytest.raises(OSError, match="File too large"):
        list(fitting)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small")
def test_a_checkpoint_of_an_earlier_version_resumes_to_its_numbers(tmp_path: Path) -> None:
    recipe = recipe_of("ranger21_package")
    path = Path(shutil.copy(EARLIER_CHECKPOINT, tmp_path))
    assert "train.pipeline" not in torch.load(path, weights_only=True)["recipe"]
    assert epochs_in(path, recipe, 0) == 2
    epochs, _ = run(fit(recipe, noise_split(), fold=0, device=CPU, checkpoint=path))
    losses = [epoch.train_loss for epoch in epochs]
    assert losses[:2] == list(EARLIER_LOSSES[:2])
    np.testing.assert_allclose(losses, EARLIER_LOSSES, rtol=1e-5)
    # Ranger21 over flat memory is another optimizer.
    with pytest.raises(UserError, match=r"this checkpoint belongs to another recipe or fold"):
        next(fit(recipe_of("ranger21"), noise_split(), fold=0, device=CPU, checkpoint=path))


@pytest.mark.usefixtures("small")
def test_an_epoch_killed_between_checkpoint_and_report_is_reported_on_resume(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, path = recipe_of("ranger21"), tmp_path / "fold_0.pt"
    epochs, weights = run(fit(recipe, split, fold=0, device=CPU))
    killed = fit(recipe, split, fold=0, device=CPU, checkpoint=path, schedule=CheckpointSchedule(epochs=[2]))
    next(killed)

    def save_and_die(*arguments: Any) -> None:
        save_checkpoint(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_writer, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            next(killed)
    assert epochs_in(path, recipe, 0) == 2
    again, continued = run(fit(recipe, split, fold=0, device=CPU, checkpoint=path))
    assert numbers(again) == numbers(epochs)
    assert_same(weights, continued)


@pytest.mark.usefixtures("small")
def test_a_finished_checkpoint_restores_the_model_without_training(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, path = recipe_of(train__epochs=2), tmp_path / "fold_0.pt"
    epochs, weights = run(fit(recipe, split, fold=0, device=CPU, checkpoint=path))
    monkeypatch.delattr(train._Fit, "run_epoch")
    again, restored = run(fit(recipe, split, fold=0, device=CPU, checkpoint=path))
    assert again == epochs
    assert_same(weights, restored)


@pytest.mark.usefixtures("small")
def test_a_damaged_checkpoint_only_costs_time(split: Split, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "fold_0.pt"
    path.write_bytes(pickle.dumps({"recipe": "unknown"}))
    damaged = list(fit(recipe_of(), split, fold=0, device=CPU, checkpoint=path))
    assert "fold_0.pt is damaged" in caplog.text
    whole = list(fit(recipe_of(), split, fold=0, device=CPU))
    assert [epoch.train_loss for epoch in damaged] == [epoch.train_loss for epoch in whole]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("entry", "value", "cause"),
    [
        ("model", {}, "RuntimeError: Error"),
        ("optimizer", {}, "KeyError: 'hidden'"),
        ("epochs", [{"epoch": 1}], "TypeError: Epoch"),
    ],
)
def test_a_checkpoint_whose_entries_differ_is_named(
    entry: str, value: object, cause: str, split: Split, tmp_path: Path
) -> None:
    path = tmp_path / "fold_0.pt"
    list(fit(recipe_of(), split, fold=0, device=CPU, checkpoint=path))
    torch.save({**torch.load(path, weights_only=True), entry: value}, path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=rf"fold_0.pt: this version cannot resume this checkpoint \({cause}"):
        next(fit(recipe_of(), split, fold=0, device=CPU, checkpoint=path))
    assert path.read_bytes() == before


@pytest.mark.usefixtures("small")
def test_a_checkpoint_has_plain_values_and_belongs_to_one_recipe_and_fold(split: Split, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "fold_0.pt"
    fitting = fit(recipe_of(), split, fold=0, device=CPU, checkpoint=path, schedule=EACH_EPOCH)
    next(fitting)
    fitting.close()
    state = torch.load(path, weights_only=True)
    assert state["recipe"] == recipe_of().to_json()
    assert [path.name for path in path.parent.iterdir()] == ["fold_0.pt"]
    for recipe, fold in ((recipe_of(augment__blur=0.3), 0), (recipe_of(), 1)):
        with pytest.raises(UserError, match=r"fold_0.pt: this checkpoint belongs to another recipe or fold; remove it"):
            next(fit(recipe, split, fold=fold, device=CPU, checkpoint=path))


@pytest.mark.parametrize(
    ("optimizer", "pipeline"),
    [*((optimizer, "reference") for optimizer in OPTIMIZERS), ("ranger21", "batch"), ("adamw", "batch")],
)
def test_first_losses_match_the_golden_file(optimizer: str, pipeline: str, split: Split) -> None:
    # A small learning rate, so that rounding differences between CPUs do not grow.
    settings = {"train__epochs": 2, "train__batch_size": 8, "optimizer__learning_rate": 1e-4}
    recipe = recipe_of(optimizer, train__pipeline=pipeline, **settings)
    key = optimizer if pipeline == "reference" else f"{optimizer}, {pipeline}"
    few = dataclasses.replace(split, training=np.arange(16), validation=np.arange(0))
    epochs, _ = run(fit(recipe, few, fold=0, device=CPU))
    losses = [epoch.train_loss for epoch in epochs]
    if "LEUKEMIA_WRITE_GOLDEN" in os.environ:
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
        GOLDEN.write_text(json.dumps({**golden, key: losses}, indent=2) + "\n")
    np.testing.assert_allclose(losses, json.loads(GOLDEN.read_text())[key], rtol=1e-4)


@pytest.mark.usefixtures("small")
def test_weights_depend_on_seed_and_fold(split: Split) -> None:
    recipe = recipe_of(train__epochs=1)
    _, weights = run(fit(recipe, split, fold=0, device=CPU))
    # Earlier use of the global generator must not matter.
    torch.rand(7)
    _, repeated = run(fit(recipe, split, fold=0, device=CPU))
    assert_same(weights, repeated)
    other_seed = run(fit(recipe_of(train__epochs=1, train__seed=1), split, fold=0, device=CPU))[1]
    other_fold = run(fit(recipe, split, fold=1, device=CPU))[1]
    for other in (other_seed, other_fold):
        assert not torch.equal(weights["conv1.weight"], other["conv1.weight"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pipeline", ["batch", "reference"])
def test_results_do_not_depend_on_loader_processes(pipeline: str, split: Split) -> None:
    recipe = recipe_of(train__epochs=1, train__pipeline=pipeline)
    alone, weights = run(fit(recipe, split, fold=0, device=CPU))
    with closing(training_loader(recipe, split.images, split.labels, CPU, 2)) as loader:
        shared, same = run(fit(recipe, split, fold=0, device=CPU, loader=loader))
    assert numbers(alone) == numbers(shared)
    assert_same(weights, same)


@pytest.mark.usefixtures("small")
def test_a_killed_fit_of_the_batch_pipeline_resumes_to_the_same_weights(split: Split, tmp_path: Path) -> None:
    recipe = recipe_of(train__pipeline="batch")
    epochs, weights = run(fit(recipe, split, fold=1, device=CPU))
    killed = fit(recipe, split, fold=1, device=CPU, checkpoint=tmp_path / "fold_1.pt", schedule=EACH_EPOCH)
    next(killed)
    killed.close()
    resumed, restored = run(fit(recipe, split, fold=1, device=CPU, checkpoint=tmp_path / "fold_1.pt"))
    assert numbers(resumed) == numbers(epochs)
    assert_same(weights, restored)


@pytest.mark.usefixtures("small")
def test_batches_of_the_device_train_to_the_weights_of_the_host(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rotation, where both are equal to the last bit."""
    recipe = recipe_of(train__pipeline="batch", augment__rotate=0.0)
    epochs, weights = run(fit(recipe, split, fold=0, device=CPU))
    monkeypatch.setattr(train, "training_loader", lambda *arguments: DeviceLoader(*arguments[:4]))
    on_device, same = run(fit(recipe, split, fold=0, device=CPU))
    assert numbers(on_device) == numbers(epochs)
    assert_same(weights, same)


@pytest.mark.usefixtures("small")
def test_pipelines_train_alike_and_not_the_same(split: Split) -> None:
    """Other random numbers, the same distribution."""
    losses = {
        pipeline: run(fit(recipe_of(train__pipeline=pipeline), split, fold=0, device=CPU))[0][-1].train_loss
        for pipeline in ("batch", "reference")
    }
    assert losses["batch"] != losses["reference"]
    assert losses["batch"] == pytest.approx(losses["reference"], rel=0.2)


@pytest.mark.usefixtures("small")
def test_a_trial_starts_its_loader_processes_once(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = multiprocessing.process.BaseProcess.start

    def counted(process: multiprocessing.process.BaseProcess) -> None:
        started.append(process.name)
        start(process)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", counted)
    folds = [(split.training, split.validation), (split.training[8:], split.training[:8])]
    recipe = recipe_of(train__epochs=2)
    list(cross_validate(recipe, split.images, split.labels, folds, device=CPU, num_workers=1))
    assert len(started) == 1


@pytest.mark.usefixtures("small")
def test_a_trial_uploads_the_images_once_and_releases_them(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    loaders: list[DeviceLoader] = []

    def on_device(*arguments: Any) -> DeviceLoader:
        loaders.append(DeviceLoader(*arguments[:4]))
        return loaders[-1]

    recipe = recipe_of(train__pipeline="batch", train__epochs=1, augment__rotate=0.0)
    folds = [(split.training, split.validation), (split.training[8:], split.training[:8])]
    on_host = list(cross_validate(recipe, split.images, split.labels, folds, device=CPU))
    monkeypatch.setattr(crossval, "training_loader", on_device)
    found = list(cross_validate(recipe, split.images, split.labels, folds, device=CPU))
    assert len(loaders) == 1
    for report, expected in zip(found, on_host, strict=True):
        if isinstance(report, FoldResult):
            assert np.array_equal(report.probabilities, expected.probabilities)
    # Also where the trial is stopped.
    stopped = cross_validate(recipe, split.images, split.labels, folds, device=CPU)
    next(stopped)
    stopped.close()
    for loader in loaders:
        with pytest.raises(AssertionError, match="the loader is closed"):
            next(loader([]))


def test_training_learns_and_reports_epochs(split: Split) -> None:
    recipe = recipe_of(train__epochs=6, optimizer__learning_rate=2e-4)
    fitting = fit(recipe, split, fold=0, device=CPU)
    epochs = [next(fitting) for _ in range(6)]
    with pytest.raises(StopIteration) as end:
        next(fitting)
    model = end.value.value
    assert not model.training
    probabilities = predict(model, recipe, split.images, split.validation, device=CPU, tta="none")
    assert ((probabilities >= 0.5) == split.labels[split.validation]).mean() >= 0.9
    assert [epoch.epoch for epoch in epochs] == list(range(1, 7))
    assert min(epoch.train_loss for epoch in epochs) < epochs[0].train_loss / 3
    assert epochs[-1].validation_loss < epochs[0].validation_loss / 3
    assert all(epoch.seconds > 0 and epoch.images_per_second > 0 and epoch.device_memory_mb == 0 for epoch in epochs)


@pytest.mark.usefixtures("small")
def test_validation_metrics_are_nan_without_validation_images(split: Split) -> None:
    everything = dataclasses.replace(split, training=np.arange(48), validation=np.arange(0))
    epochs, _ = run(fit(recipe_of(train__epochs=1), everything, fold=2, device=CPU))
    assert np.isnan([epochs[0].validation_loss, epochs[0].validation_accuracy]).all()
    assert np.isfinite(epochs[0].train_loss)


@pytest.mark.usefixtures("small")
def test_a_non_finite_loss_is_reported_with_its_step(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    cross_entropy, calls = train.F.cross_entropy, []

    def break_at_fifth(*arguments: Tensor, **settings: Tensor) -> Tensor:
        calls.append(1)
        return cross_entropy(*arguments, **settings) * (float("inf") if len(calls) == 5 else 1.0)

    monkeypatch.setattr(train.F, "cross_entropy", break_at_fifth)
    fitting = fit(recipe_of(), split, fold=3, device=CPU)
    next(fitting)
    message = (
        r"^non-finite loss at fold 4, epoch 2, step 2 of ResNet-18 add, color, adamw 3.0e-04, seed 0; lower optimizer"
    )
    with pytest.raises(NonFiniteLoss, match=message):
        next(fitting)


@pytest.mark.usefixtures("small")
def test_a_non_finite_gradient_is_reported_with_its_step(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise FloatingPointError("expected finite gradients")

    monkeypatch.setattr("leukemia.training.optim.ScheduledOptimizer.step", fail)
    with pytest.raises(NonFiniteLoss, match=r"^non-finite gradient at fold 1, epoch 1, step 1 of .*ranger21"):
        next(fit(recipe_of("ranger21"), split, fold=0, device=CPU))


@pytest.mark.parametrize(("broken", "reported"), [(2, (1, 2)), (3, (1, 3)), (5, (2, 2))])
@pytest.mark.usefixtures("small")
def test_ranger_reports_the_step_of_a_non_finite_gradient_with_the_losses(
    broken: int, reported: tuple[int, int], split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = train.ScheduledOptimizer.step, []

    def break_gradients(self: train.ScheduledOptimizer) -> None:
        calls.append(1)
        if len(calls) == broken:
            self._optimizer.param_groups[0]["params"][0].grad.fill_(float("nan"))
        step(self)

    monkeypatch.setattr(train.ScheduledOptimizer, "step", break_gradients)
    message = rf"^non-finite gradient at fold 1, epoch {reported[0]}, step {reported[1]} of .*ranger21 .*; lower optim"
    with pytest.raises(NonFiniteLoss, match=message):
        list(fit(recipe_of("ranger21"), split, fold=0, device=CPU))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_real_divergence_with_each_optimizer(optimizer: str, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def build_exploding(recipe: Recipe) -> Small:
        model = Small()
        torch.nn.init.constant_(model.fc.weight, 3e38)
        return model

    monkeypatch.setattr(train, "build_model", build_exploding)
    with pytest.raises(NonFiniteLoss, match=r"^non-finite (loss|gradient) at fold 1, epoch 1, step 1 "):
        next(fit(recipe_of(optimizer), split, fold=0, device=CPU))


@pytest.mark.parametrize("precise_bn", [False, True])
@pytest.mark.usefixtures("small")
def test_damage_by_the_last_step_is_detected(precise_bn: bool, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    step = train.ScheduledOptimizer.step

    def last_step_breaks(self: train.ScheduledOptimizer) -> None:
        step(self)
        for group in self._optimizer.param_groups:
            group["params"][0].data[0] = float("nan")

    one_batch = recipe_of(train__epochs=1, train__batch_size=64, evaluate__precise_bn=precise_bn)
    everything = dataclasses.replace(split, training=np.arange(48), validation=np.arange(0))
    monkeypatch.setattr(train.ScheduledOptimizer, "step", last_step_breaks)
    with pytest.raises(NonFiniteLoss, match=r"^non-finite weight at fold 1, epoch 1, step 1"):
        run(fit(one_batch, everything, fold=0, device=CPU))


def test_a_batch_of_one_small_image_is_rejected(split: Split) -> None:
    with pytest.raises(
        UserError, match=r"^train.batch_size: 1 leaves a batch of one image, .* data.size_px 32; set train"
    ):
        next(fit(recipe_of(train__batch_size=1), split, fold=0, device=CPU))


def test_class_weights_equal_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0] * 10 + [1] * 30)
    weights = train._class_weight(recipe_of(train__class_weight="balanced"), labels)
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert train._class_weight(recipe_of(), labels).tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("small")
def test_balanced_classes_change_the_loss(split: Split) -> None:
    rows = np.concatenate([np.flatnonzero(split.labels == 1), np.flatnonzero(split.labels == 0)[:8]])
    uneven = dataclasses.replace(split, training=rows)
    losses = [
        run(fit(recipe_of(train__epochs=1, train__class_weight=weight), uneven, fold=0, device=CPU))[0][0].train_loss
        for weight in ("none", "balanced")
    ]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("sizes", [(16, 16), (20, 9, 3), (2, 30)])
def test_precise_batchnorm_equals_the_statistics_of_all_images(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = ResNet(18)
    # Far from zero, where E[x^2] - E[x]^2 loses precision in float32.
    images = torch.randn(sum(sizes), 3, 32, 32) * torch.linspace(0.5, 2, sum(sizes))[:, None, None, None] + 30
    state = {name: value.clone() for name, value in model.named_parameters()}
    precise_batchnorm(model, torch.split(images, sizes))
    with torch.no_grad():
        values = model.conv1.double()(images.double()).numpy()
    np.testing.assert_allclose(model.bn1.running_mean.numpy(), values.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.bn1.running_var.numpy(), values.var(axis=(0, 2, 3)), rtol=1e-4)
    assert not model.training
    assert {module.momentum for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {0.1}
    assert all(torch.equal(value, state[name]) for name, value in model.named_parameters() if name != "conv1.weight")


def test_precise_batchnorm_of_one_batch_evaluates_like_training() -> None:
    # Training mode normalizes with the statistics of the batch, so every layer must agree, not only the first.
    torch.manual_seed(0)
    model = ResNet(18)
    images = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        trained = model.train()(images)
        precise_batchnorm(model, [images])
        torch.testing.assert_close(model(images), trained, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("small")
def test_fit_ends_with_batchnorm_statistics_of_all_training_images(split: Split) -> None:
    recipe = recipe_of(train__epochs=2)
    _, weights = run(fit(recipe, split, fold=0, device=CPU))
    pipeline = training_pipeline(recipe)
    keys = [key for batch in training_batches(recipe, split.training, 0, 2) for key in batch]
    images = torch.from_numpy(np.stack([pipeline(split.images[key[3]], key) for key in keys]))
    values = torch.nn.functional.conv2d(images.double(), weights["conv1.weight"].double(), stride=2, padding=1)
    np.testing.assert_allclose(weights["bn1.running_mean"], values.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(weights["bn1.running_var"], values.var(dim=(0, 2, 3), correction=0), rtol=1e-3)


@pytest.mark.usefixtures("small")
def test_statistics_are_running_averages_without_precise_batchnorm(split: Split) -> None:
    off = run(fit(recipe_of(train__epochs=1, evaluate__precise_bn=False), split, fold=0, device=CPU))[1]
    on = run(fit(recipe_of(train__epochs=1), split, fold=0, device=CPU))[1]
    assert torch.equal(off["conv1.weight"], on["conv1.weight"])
    assert not torch.allclose(off["bn1.running_var"], on["bn1.running_var"])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("pipeline", ["batch", "reference"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_batches_kept_for_precise_batchnorm_change_no_number(
    pipeline: str, precision: str, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(train__pipeline=pipeline, train__precision=precision, train__epochs=2, train__batch_size=3)
    made: list[int] = []
    loader_of = train.training_loader

    def counting(*arguments: Any) -> Any:
        loader = loader_of(*arguments)
        counted = Mock(side_effect=lambda batches: made.append(len(batches)) or loader(batches))
        counted.close = loader.close
        return counted

    monkeypatch.setattr(train, "training_loader", counting)
    epochs, weights = run(fit(recipe, split, fold=0, device=CPU))
    # Of the 11 batches, one is used after each epoch, and all at the end.
    assert made == [11, 11, 10]
    made.clear()
    monkeypatch.setattr("leukemia.data.augmentation.kept.MOST_BYTES", 0)
    again, same = run(fit(recipe, split, fold=0, device=CPU))
    assert made == [11, 1, 11, 1, 11]
    assert numbers(epochs) == numbers(again)
    assert_same(weights, same)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("num_batches", [1, 7, 8, 40])
def test_precise_batchnorm_between_epochs_uses_at_most_an_eighth(
    split: Split, num_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    monkeypatch.setattr(train, "precise_batchnorm", lambda model, batches: used.append(len(list(batches))))
    monkeypatch.setattr(train, "training_batches", lambda *arguments: [[(0, 0, 1, 0), (0, 0, 1, 1)]] * num_batches)
    loader = training_loader(recipe_of(), split.images, split.labels, CPU, 0)
    run_state = train._Fit(recipe_of(), split, 0, CPU, loader)
    run_state.make_precise(1, all_images=False)
    run_state.make_precise(1, all_images=True)
    assert used == [max(1, num_batches // 8), num_batches]
