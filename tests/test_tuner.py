"""Ray around the driver: resources, the trainable's ways to end, a Ray of our own that nobody else can reach."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray._private import ray_constants

from leukemia.config import Recipe, Train
from leukemia.crossval import FoldResult
from leukemia.mistakes import Mistake
from leukemia.train import Epoch
from search import tuner
from search.race import Job
from search.tuner import REPORT, RayDied, RayNotStarted, Resources, TrialData, describe, plan_resources, ray_session


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def has(**resources: float) -> None:
        monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return has


@pytest.mark.parametrize(
    ("resources", "arguments", "expected"),
    [
        # (device, cpus, gpus, max_gpus) -> (device, cpus, gpus, concurrent)
        ({"CPU": 2}, ("auto", None, None, None), ("cpu", 1, 0, 2)),
        ({"CPU": 1}, ("auto", None, None, None), ("cpu", 1, 0, 1)),
        ({"CPU": 16}, ("cpu", None, None, None), ("cpu", 8, 0, 2)),
        ({"CPU": 16}, ("cpu", 2, None, None), ("cpu", 2, 0, 8)),
        ({"CPU": 16, "GPU": 1}, ("auto", None, None, None), ("cuda", 16, 1, 1)),
        ({"CPU": 16, "GPU": 1}, ("cpu", None, None, None), ("cpu", 8, 0, 2)),
        ({"CPU": 16, "GPU": 1}, ("cuda", None, 0.25, None), ("cuda", 4, 0.25, 4)),
        ({"CPU": 16, "GPU": 1}, ("auto", None, 0.1, None), ("cuda", 1, 0.1, 10)),
        ({"CPU": 64, "GPU": 8}, ("auto", None, None, 3), ("cuda", 21, 1, 3)),
        ({"CPU": 64, "GPU": 8}, ("auto", 4, 2, None), ("cuda", 4, 2, 4)),
        ({"CPU": 3, "GPU": 8}, ("auto", None, None, None), ("cuda", 1, 1, 3)),
    ],
)
def test_resources_are_divided_among_trials(
    cluster: Callable[..., None],
    resources: dict[str, float],
    arguments: tuple[Any, ...],
    expected: tuple[str, int, float, int],
) -> None:
    cluster(**resources)
    device, cpus, gpus, concurrent = expected
    assert plan_resources(*arguments) == Resources(device=device, cpus=cpus, gpus=gpus, concurrent=concurrent)


@pytest.mark.parametrize(
    ("resources", "arguments", "message"),
    [
        ({"CPU": 2}, ("cuda", None, None, None), r"--device cuda: Ray sees no GPU"),
        ({"CPU": 2}, ("auto", 3, None, None), r"a trial asks for 3 CPUs and 0 GPUs, the cluster has 2 and 0"),
        ({"CPU": 8, "GPU": 2}, ("auto", None, 4, None), r"asks for 8 CPUs and 4 GPUs, the cluster has 8 and 2"),
        ({"CPU": 8, "GPU": 2}, ("auto", None, 2, 1), r"asks for 8 CPUs and 2 GPUs, the cluster has 8 and 1"),
        ({"CPU": 8, "GPU": 4}, ("auto", None, 1.5, None), r"--gpus-per-trial: expected a fraction up to 1 or a whole"),
        ({"CPU": 8}, ("auto", None, 1, None), r"--gpus-per-trial has no effect on cpu"),
        ({"CPU": 8, "GPU": 4}, ("cpu", None, 1, None), r"--gpus-per-trial has no effect on cpu"),
    ],
)
def test_more_than_there_is_is_refused(
    cluster: Callable[..., None], resources: dict[str, float], arguments: tuple[Any, ...], message: str
) -> None:
    cluster(**resources)
    with pytest.raises(Mistake, match=message):
        plan_resources(*arguments)


def test_where_trials_run_is_said_in_one_line() -> None:
    assert describe(Resources(device="cuda", cpus=4, gpus=0.5, concurrent=2), own=True) == (
        "device: cuda; up to 2 trials at once on a Ray of its own, each with 4 CPU, 0.5 GPU"
    )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:port", "ray://127.0.0.1:1", "auto"])
def test_an_address_without_a_ray_is_refused_quickly(address: str) -> None:
    start = time.monotonic()
    with pytest.raises(Mistake, match=rf"--address {address}: no Ray there \(.+\); start one with") as refusal:
        ray_session(address).__enter__()
    assert time.monotonic() - start < 10
    assert "\n" not in str(refusal.value)
    assert not ray.is_initialized()


def test_an_address_from_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(Mistake, match=r"--address 127\.0\.0\.1:1: no Ray there .* or use --address local"):
        ray_session(None).__enter__()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            Exception("The current node timed out during startup.\nMore."),
            r"The current node timed out during startup\.",
        ),
        (KeyError(), "KeyError"),
    ],
)
def test_a_ray_of_our_own_that_does_not_start_is_one_line_and_no_mistake(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def init(**given: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        RayNotStarted, match=rf"^Ray did not start \({words}\); try again .*session_latest/logs\)$"
    ) as raised:
        ray_session("local").__enter__()
    assert not isinstance(raised.value, Mistake)
    assert ray_constants.ENABLE_RAY_CLUSTER, "a cluster may be joined afterwards"


def test_whatever_joining_a_cluster_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**given: Any) -> None:
        raise Exception("Version mismatch:\n    ...")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(tuner, "_require_answer", lambda address: None)
    with pytest.raises(Mistake, match=r"^--address 127\.0\.0\.1:9: no Ray there \(Version mismatch:\); start one with"):
        ray_session("127.0.0.1:9").__enter__()


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
    tuner._run_trial(assignment(), data, ONE_CPU)
    assert [type(report) for report in reports] == [Epoch, FoldResult, Epoch, FoldResult]
    assert [report.fold for report in reports] == [0, 0, 1, 1]
    assert list(data.checkpoints.iterdir()) == []


def test_finished_folds_are_skipped(reports: list[Any], data: TrialData) -> None:
    tuner._run_trial(assignment(skip=(0,)), data, ONE_CPU)
    assert [report.fold for report in reports] == [1, 1]
    tuner._run_trial(assignment(skip=(0, 1)), data, ONE_CPU)
    assert len(reports) == 2


def test_checkpoints_of_a_fold_go_when_it_is_committed(monkeypatch: pytest.MonkeyPatch, data: TrialData) -> None:
    kept: list[list[str]] = []
    monkeypatch.setattr(
        ray.tune, "report", lambda result: kept.append([path.name for path in data.checkpoints.rglob("*.pt")])
    )
    tuner._run_trial(assignment(), data, ONE_CPU)
    assert kept == [["fold_0.pt"], ["fold_0.pt"], ["fold_1.pt"], ["fold_1.pt"]]


def test_a_trial_and_its_repeat_keep_checkpoints_apart(monkeypatch: pytest.MonkeyPatch, data: TrialData) -> None:
    """They may run side by side: the end of one must not take the other's."""
    folders: list[Path] = []
    monkeypatch.setattr(tuner, "cross_validate", lambda *_, checkpoints, **__: iter(folders.append(checkpoints) or ()))
    for seed in (0, 1):
        recipe = RECIPE.with_settings({"train.seed": seed})
        tuner._run_trial({**assignment(recipe), "seed": seed}, data, ONE_CPU)
    assert [folder.name for folder in folders] == ["0007-0", "0007-1"]


class Assigned:
    """Tune's trial, as far as its scheduler is concerned."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


def test_the_driver_is_asked_by_number_and_seed() -> None:
    heard: list[tuple[Job, Any]] = []

    def hear(job: Job, report: Any) -> bool:
        heard.append((job, report))
        return not isinstance(report, FoldResult)

    result = FoldResult(
        seed=2,
        fold=0,
        rows=np.arange(2),
        probabilities=np.array([0.2, 0.8]),
        scores={},
        seconds=1.0,
        device="cpu (test)",
        precision="float32",
    )
    judging = tuner._Judging(hear, lambda job: [0] if job == Job(7, 2) else [])
    trial: Any = Assigned({**assignment(), "seed": 2})
    verdicts = [judging.on_trial_result(None, trial, {REPORT: report}) for report in ("words", result)]  # type: ignore[arg-type]
    assert verdicts == [judging.CONTINUE, judging.STOP]
    assert heard == [(Job(7, 2), "words"), (Job(7, 2), result)]
    assert trial.config["skip"] == [0]
    assert judging.on_trial_result(None, trial, {}) == judging.CONTINUE  # type: ignore[arg-type]
    assert len(heard) == 2


def test_a_diverging_trial_says_so_in_words_with_the_place(
    reports: list[Any], data: TrialData, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", lambda *args, **kwargs: loss(*args, **kwargs) * np.inf)
    tuner._run_trial(assignment(), data, ONE_CPU)
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

    monkeypatch.setattr(tuner, "cross_validate", broken)
    (data.checkpoints / "0007-0" / "seed_0").mkdir(parents=True)
    tuner._run_trial(assignment(), data, ONE_CPU)
    assert reports[0] == "first"
    assert reports[1].startswith("MemoryError: no room for 3 GB (test_tuner.py, line ")
    assert list(data.checkpoints.iterdir()) == []


@pytest.mark.parametrize(("dead", "gone"), [(["raylet"], True), (["log_monitor", "gcs_server"], True), ([], False)])
def test_a_trial_that_dies_with_ray_is_not_called_failed(
    monkeypatch: pytest.MonkeyPatch, dead: list[str], gone: bool
) -> None:
    class Node:
        def dead_processes(self) -> list[tuple[str, object]]:
            return [(name, object()) for name in dead]

    monkeypatch.setattr(tuner.worker, "_global_node", Node())
    if gone:
        with pytest.raises(RayDied, match=rf"^Ray died \({dead[-1]}\)$"):
            tuner._Silence().on_step_begin(0, [])
    else:
        tuner._Silence().on_step_begin(0, [])
    assert not issubclass(RayDied, Exception), "Tune would wait for its dead Ray"


def listening(pids: set[int]) -> dict[str, str]:
    """Address of each TCP socket that these processes listen on: from /proc, hexadecimal as there."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found[fields[9]] = fields[1].split(":")[0]
    return found


def family(root: int) -> set[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found, new = {root}, [root]
    while new:
        new = [child for pid in new for child in children.get(pid, [])]
        found |= set(new)
    return found


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_our_own_ray_listens_on_loopback_only_and_leaves_no_process(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "deadbeef" * 5
    monkeypatch.setenv("WANDB_API_KEY", key)
    before = family(os.getpid())

    @ray.remote
    class Worker:
        def pid(self) -> int:
            return os.getpid()

    with ray_session("local") as own:
        assert own
        assert tuner.num_nodes() == 1
        worker = Worker.remote()
        pid = ray.get(worker.pid.remote())
        ours = family(os.getpid())
        assert pid in ours
        addresses = listening(ours)
        assert len(addresses) >= 4
        assert set(addresses.values()) <= LOOPBACK
        for process in ours - before - {os.getpid()}:
            assert key.encode() not in Path(f"/proc/{process}/environ").read_bytes()
        assert os.environ["WANDB_API_KEY"] == key, "the driver keeps it"
    assert ray_constants.ENABLE_RAY_CLUSTER, "a cluster may be joined afterwards"
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ
    deadline = time.monotonic() + 20
    while family(os.getpid()) - before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert family(os.getpid()) - before == set()
    assert capfd.readouterr() == ("", "")
