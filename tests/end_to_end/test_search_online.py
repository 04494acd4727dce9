"""A search with a W&B server on this machine: killed and resumed, with a crashing server, its key kept secret."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from helpers.command import Command
from helpers.wandb_server import KEY, WandbServer

from leukemia.base.cpus import available_cpus
from leukemia.study.folder import Study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("wandb_server"),
    pytest.mark.skipif(not Path("/proc").exists(), reason="reads Ray's session folder in Linux's /tmp"),
]

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "model.depth": 18,
    "model.shortcut": "add",
    "optimizer.name": "adamw",
    "data.size_px": 32,
    "train.epochs": 2,
    "train.batch_size": 8,
    "evaluate.tta": "none",
}
SEARCH = [
    *(
        "--trials=3",
        "--folds=2",
        "--repeats=0",
        "--study=online",
        "--address=local",
        f"--cpus-per-trial={available_cpus()}",
    ),
    *(argument for key, value in SETTINGS.items() for argument in ("--set", f"{key}={value}")),
]


@pytest.fixture
def environment(wandb_server: WandbServer) -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}


def search(folder: Path, environment: dict[str, str], *arguments: str) -> Command:
    return Command("search.run", list(arguments), folder, environment)


def num_folds(study: Path) -> int:
    return len(list(study.glob("trials/*/seed_0/fold_*.json")))


def files_with_the_key(folder: Path, since: float) -> list[Path]:
    """Files written since then that contain the key."""
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.stat().st_mtime >= since and KEY.encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


def assert_complete(server: WandbServer, study: Study) -> None:
    """There is one complete run per trial, with a row for each epoch and fold and one for the predictions."""
    assert len(study.trials()) == 3
    for number in study.trials():
        run, end = server.runs[f"{study.info.study_uid}-{number:04d}"], study.end(number)
        assert end is not None
        assert (run.complete, run.exit_code, run.summary["state"]) == (True, 0, end.state)
        rows = len(study.epochs(number)) + len(study.folds_done(number, 0))
        steps = [row["_step"] for row in run.history]
        assert len(steps) == rows + 1
        assert steps == sorted(set(steps))
    assert server.runs[f"{study.info.study_uid}-search"].complete
    assert len(server.runs) == 4
    assert server.unknown == []


def test_a_killed_and_resumed_search_has_one_complete_run_per_trial(
    tmp_path: Path, tiny_folder: Path, wandb_server: WandbServer, environment: dict[str, str]
) -> None:
    start, folder = time.time(), tmp_path / "runs" / "online"
    killed = search(tmp_path, environment, "--data", str(tiny_folder), *SEARCH)
    killed.wait_until(lambda: num_folds(folder) == 3)
    killed.kill()
    resumed = search(tmp_path, environment, "--resume", "--study", "online", "--address", "local")
    assert resumed.wait() == 0
    assert resumed.stderr == ""
    study = Study.open(folder)
    assert_complete(wandb_server, study)
    ((identity, sweep),) = wandb_server.sweeps.items()
    link = f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/{identity}"
    for command in (killed, resumed):
        assert link in command.stdout
    assert resumed.stdout.splitlines()[-1] == link
    parameters = {section: entry["parameters"].keys() for section, entry in sweep.config["parameters"].items()}
    assert {f"{section}.{name}" for section, names in parameters.items() for name in names} == study.info.space.keys()
    # Ray's session folder, and everything that the search writes.
    assert files_with_the_key(Path("/tmp/ray"), start) == []
    assert files_with_the_key(tmp_path / "runs", start) == []
    assert KEY not in killed.stdout + resumed.stdout


def test_publish_uploads_the_rest_after_the_server_crashed(
    tmp_path: Path, tiny_folder: Path, wandb_server: WandbServer, environment: dict[str, str]
) -> None:
    folder = tmp_path / "runs" / "online"
    command = search(tmp_path, environment, "--data", str(tiny_folder), *SEARCH)
    command.wait_until(lambda: num_folds(folder) == 2)
    wandb_server.stop()
    assert command.wait() == 0
    send = "python -m leukemia.tracking publish online --runs runs"
    assert command.stdout.splitlines()[-1] == f"W&B: upload incomplete; upload it with: {send}"
    wandb_server.start()
    for _ in range(2):
        sent = Command("leukemia.tracking", send.split()[3:], tmp_path, environment)
        assert sent.wait() == 0
        assert sent.stderr == ""
        assert_complete(wandb_server, Study.open(folder))


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, "Cancel"])
def test_an_interrupted_search_is_marked_in_wandb(
    how: signal.Signals | str, tmp_path: Path, tiny_folder: Path, wandb_server: WandbServer, environment: dict[str, str]
) -> None:
    folder = tmp_path / "runs" / "online"
    # Enough trials to run until the state of the sweep is polled.
    command = search(tmp_path, environment, "--data", str(tiny_folder), *SEARCH, "--trials=99")
    command.wait_until(lambda: num_folds(folder) >= 1)
    ((identity, sweep),) = wandb_server.sweeps.items()
    if isinstance(how, signal.Signals):
        command.process.send_signal(how)
    else:
        wandb_server.set_sweep_state(identity, "CANCELED")
    assert command.wait() == 130
    assert "finished folds are kept. Resume with:" in command.stdout
    assert sweep.state == ("CANCELED" if how == "Cancel" else "PAUSED")
    assert command.stderr == ""
    study = Study.open(folder)
    runs = {number: wandb_server.runs[f"{study.info.study_uid}-{number:04d}"] for number in study.trials()}
    assert runs
    assert all(run.complete for run in runs.values())
    unfinished = [number for number in runs if study.end(number) is None]
    # The state of the sweep is polled, perhaps between two trials.
    assert len(unfinished) == 1 or (how == "Cancel" and not unfinished)
    for number in unfinished:
        assert (runs[number].exit_code, runs[number].summary["state"]) == (130, "interrupted")
