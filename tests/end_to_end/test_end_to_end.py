"""The commands as a user runs them: a complete search, killed and resumed, invalid arguments, and the final model.

Tested on every change: all records agree; ``kill -9`` of driver, worker and Ray itself; Ctrl-C; a moved study; two
searches at once; spaces and non-ASCII letters; read-only data; no winner on uninformative data; a full disk; status 2
for invalid arguments. Experiments with real images that take many minutes (Taleqani to a balanced accuracy of 0.93, a
learning rate of 10) are in ``docs/evidence.md``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from helpers.command import Command
from helpers.searches import ONE_AT_A_TIME, ROOT, SETTINGS, command_line_of, descendants, numbers
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from PIL import Image

from benchmarks.faults.harness.records import differences
from leukemia import CLASS_NAMES
from leukemia.config.fields import nested
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.table import trial_table
from search.sampling.entry import STATES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in Linux's /proc"),
]

TRIALS, FOLDS = 3, 2
SEARCH = [f"--trials={TRIALS}", f"--folds={FOLDS}", "--repeats=1", *SETTINGS, *ONE_AT_A_TIME]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with spaces and non-ASCII letters in its path."""
    folder = tmp_path_factory.mktemp("end to end") / "Leukämie – Läufe"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def environment(session_cache: Path) -> dict[str, str]:
    dropped = ("WANDB_API_KEY", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {
        "LEUKEMIA_CACHE": str(session_cache / "end to end"),
        "WANDB_MODE": "offline",
        # Not the Ray of another user of this machine.
        "RAY_ADDRESS": "local",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def start(root: Path, environment: dict[str, str]) -> Iterator[Callable[..., Command]]:
    """Start a command; commands still running at the end of the test are killed."""
    started: list[Command] = []

    def begin(module: str, *arguments: str) -> Command:
        started.append(Command(module, list(arguments), root, environment))
        return started[-1]

    yield begin
    for command in started:
        command.process.kill()


def folds_in(study: Path) -> int:
    return len(list(study.glob("trials/*/seed_0/fold_*.json")))


def is_running(pid: int, title: str) -> bool:
    return bool(title) and command_line_of(pid) == title


def wandb_summary(run: Path) -> dict[str, Any]:
    """An offline run as read by W&B's own command."""
    (log,) = run.glob("*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(log)]
    content: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return content


def assert_agreement(folder: Path) -> None:
    """Study folder, journal and W&B agree on every trial; W&B has one run of each, with the mean over its seeds."""
    study = Study(folder)
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    trials = optuna.load_study(study_name=None, storage=storage).trials
    assert [trial.number for trial in trials] == study.trials()
    runs = sorted((folder / "wandb").glob(f"*run-*-{study.info.study_uid}-[0-9]*"), key=lambda run: run.name[-4:])
    assert [run.name[-4:] for run in runs] == [f"{number:04d}" for number in study.trials()]
    table = trial_table(study)
    means = dict(zip(table["trial"], table["score"], strict=True))
    for trial, run in zip(trials, runs, strict=True):
        end = study.end(trial.number)
        assert end is not None
        assert trial.state == STATES[end.state]
        folds = [study.fold(trial.number, 0, fold) for fold in study.folds_done(trial.number, 0)]
        assert trial.intermediate_values == {fold.fold: fold.scores["tta_accuracy"] for fold in folds}
        recorded = wandb_summary(run)
        summary = recorded["summary"]
        assert summary["state"] == end.state
        assert summary["reason"] == end.reason
        assert summary["folds_done"] == len(folds)
        assert recorded["config"].items() >= nested(study.recipe(trial.number).flat()).items()
        if end.state == "complete":
            assert trial.value == summary["tta_accuracy_first_seed"] == end.score
            assert summary["tta_accuracy"] == pytest.approx(means[f"{trial.number:04d}"])
        for fold in folds[-1:]:
            assert summary["fold/tta_accuracy"] == fold.scores["tta_accuracy"]


def committed(folder: Path) -> dict[str, int]:
    """The committed folds, with the modification time of each file."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob("trials/*/seed_0/*.json")}


def leftovers(environment: dict[str, str], folder: Path) -> list[Path]:
    checkpoints = Path(environment["LEUKEMIA_CACHE"]) / "checkpoints" / str(Study(folder).info.study_uid)
    return list(checkpoints.rglob("*"))


@pytest.fixture(scope="module")
def uninterrupted(root: Path, environment: dict[str, str], tiny_folder: Path) -> Path:
    """A complete search, one trial at a time."""
    before = {path: path.stat().st_mtime_ns for path in tiny_folder.rglob("*")}
    command = Command("search.run", ["--data", str(tiny_folder), "--study", "whole", *SEARCH], root, environment)
    assert command.wait() == 0
    assert command.stderr == ""
    assert {path: path.stat().st_mtime_ns for path in tiny_folder.rglob("*")} == before, "data are only read"
    folder = root / "runs" / "whole"
    (root / "whole.out").write_text(command.stdout)
    return folder


def test_a_search_ends_with_a_winner_and_all_records_agree(
    uninterrupted: Path, environment: dict[str, str], root: Path
) -> None:
    assert_agreement(uninterrupted)
    assert list(differences(uninterrupted)) == []
    best = Best.load(uninterrupted / "best.json")
    table = trial_table(Study(uninterrupted))
    assert (best.trial, best.score.raw) == (table["trial"][0], table["score"][0])
    assert (best.n, best.folds_done) == (48, FOLDS)
    assert (uninterrupted / "report.html").is_file()
    assert leftovers(environment, uninterrupted) == []
    assert sorted(path.name for path in Path(environment["LEUKEMIA_CACHE"]).iterdir()) == [
        "checkpoints",
        "hashes",
        "views",
    ]


def test_only_our_own_messages_are_printed(uninterrupted: Path, root: Path) -> None:
    lines = (root / "whole.out").read_text().splitlines()
    expected = [
        "study whole in ",
        "data: 48 images of ",
        "input: the central 32 px: ",
        "note: the data have a split, in the folders (",
        "protocol: grouped, 2 folds",
        "folds 1 to 2: ",
        "racing: ",
        "space: ",
        "sampler: ",
        "device: ",
        "W&B: offline in ",
    ]
    assert [line[: len(start)] for line, start in zip(lines, expected, strict=False)] == expected
    # Events of the search begin with the time.
    rest = [re.sub(r"^\d\d:\d\d:\d\d ", "", line).strip() for line in lines[len(expected) :] if line.strip()]
    known = (
        "trial ",
        "0",
        "───",
        "winner: trial ",
        "tta_accuracy ",
        "compared with the ",
        "warning: accuracy above ",
        "warning: No better than always answering ",
        "warning: Not shown to be better than always answering ",
        f"{TRIALS} trials ended: ",
        f"{TRIALS} trials that finished at least 1 of {FOLDS} folds are too few to tell",
        "device time: ",
        "best: ",
        "report: ",
        "next: python -m leukemia.final",
        "W&B: offline; after `wandb login` upload it with: python -m leukemia.tracking publish whole --runs ",
    )
    assert [line for line in rest if not line.startswith(known)] == []
    assert "Traceback" not in (uninterrupted / "search.log").read_text()


def test_a_killed_driver_is_resumed_with_the_same_results(
    uninterrupted: Path, root: Path, tiny_folder: Path, start: Callable[..., Command], environment: dict[str, str]
) -> None:
    folder = root / "runs" / "killed"
    killed = start("search.run", "--data", str(tiny_folder), "--study", "killed", *SEARCH)
    # In the second trial's second fold, or just before it.
    killed.wait_until(lambda: folds_in(folder) == FOLDS + 1)
    processes = descendants(killed.process.pid)
    workers = {pid: title for pid, title in processes.items() if "ImplicitFunc" in title or "wandb-core" in title}
    assert len(workers) >= 2, processes
    killed.kill()
    before = committed(folder)
    deadline = time.monotonic() + 200
    while any(is_running(pid, title) for pid, title in workers.items()):
        assert time.monotonic() < deadline, "workers still run after their driver was killed"
        time.sleep(0.2)

    resumed = start("search.run", "--resume", "--study", "killed", *ONE_AT_A_TIME)
    assert resumed.wait() == 0
    assert resumed.stderr == ""
    assert f"trial 0001 resumes after 1 of {FOLDS} folds" in resumed.stdout
    assert "trial 0000" not in resumed.stdout.partition("winner")[0].partition(" trial ")[0]
    assert numbers(folder) == numbers(uninterrupted)
    assert before.items() <= committed(folder).items(), "finished folds are not repeated"
    assert_agreement(folder)
    assert leftovers(environment, folder) == []


def test_a_killed_worker_is_replaced_with_the_same_results(
    uninterrupted: Path, root: Path, tiny_folder: Path, start: Callable[..., Command]
) -> None:
    folder = root / "runs" / "replaced"
    command = start("search.run", "--data", str(tiny_folder), "--study", "replaced", *SEARCH)
    for num_folds in (1, FOLDS + 1):
        command.wait_until(lambda wanted=num_folds: folds_in(folder) >= wanted)  # type: ignore[misc]
        workers = [pid for pid, title in descendants(command.process.pid).items() if "ImplicitFunc" in title]
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
    assert command.wait() == 0
    assert command.stderr == ""
    assert "raylet" not in command.stdout
    assert "Ray: A worker died or was killed" in (folder / "search.log").read_text()
    assert numbers(folder) == numbers(uninterrupted)
    assert_agreement(folder)


def test_a_crash_of_ray_is_reported_and_resumed_with_the_same_results(
    uninterrupted: Path, root: Path, tiny_folder: Path, start: Callable[..., Command], environment: dict[str, str]
) -> None:
    folder = root / "runs" / "crashed"
    command = start("search.run", "--data", str(tiny_folder), "--study", "crashed", *SEARCH)
    advice = "Resume with:\n  python -m search.run --resume --study crashed --runs runs\n"
    for name, num_folds in (("gcs_server", 1), ("raylet", FOLDS + 1)):
        command.wait_until(lambda wanted=num_folds: folds_in(folder) >= wanted)  # type: ignore[misc]
        victims = [pid for pid, title in descendants(command.process.pid).items() if f"/{name} " in title]
        assert len(victims) == 1
        os.kill(victims[0], signal.SIGKILL)
        assert command.wait() == 1
        assert command.stderr == f"error: Ray crashed ({name}); finished folds are kept. {advice}"
        ends = [json.loads(path.read_text())["state"] for path in folder.glob("trials/*/state.json")]
        assert "failed" not in ends, "a trial that ended because Ray crashed has not failed"
        command = start("search.run", "--resume", "--study", "crashed", *ONE_AT_A_TIME)
    assert command.wait() == 0
    assert numbers(folder) == numbers(uninterrupted)
    assert_agreement(folder)
    assert leftovers(environment, folder) == []


def test_a_study_is_interrupted_moved_resumed_reported_and_finalized(
    uninterrupted: Path, root: Path, tiny_folder: Path, start: Callable[..., Command]
) -> None:
    folder = root / "runs" / "moving"
    command = start("search.run", "--data", str(tiny_folder), "--study", "moving", *SEARCH)
    command.wait_until(lambda: folds_in(folder) == 1)

    # Paused, the first search cannot finish while the second one starts.
    command.process.send_signal(signal.SIGSTOP)
    second = start("search.run", "--resume", "--study", "moving")
    assert second.wait() == 2
    assert second.stdout == ""
    assert second.stderr.startswith(f"error: study moving is being run by process {command.process.pid} on ")

    command.process.send_signal(signal.SIGINT)
    command.process.send_signal(signal.SIGCONT)
    assert command.wait() == 130
    assert command.stderr == ""
    advice = "Resume with:\n  python -m search.run --resume --study moving --runs runs\n"
    assert f"interrupted; finished folds are kept. {advice}" in command.stdout
    assert not list(folder.glob("trials/*/state.json")), "a trial that was interrupted has not ended"

    runs = root / "somewhere else"
    runs.mkdir()
    shutil.move(folder, runs / "moving")
    resumed = start("search.run", "--resume", "--runs", str(runs), *ONE_AT_A_TIME)
    assert resumed.wait() == 0
    assert numbers(runs / "moving") == numbers(uninterrupted)
    assert_agreement(runs / "moving")

    assert start("leukemia.report", "moving", "--runs", str(runs)).wait() == 0
    final = start("leukemia.final", "--best", "moving", "--runs", str(runs))
    assert final.wait() == 0
    metrics = json.loads((runs / "moving" / "final" / "metrics.json").read_text())
    assert metrics["test"] is None


def test_trials_are_added_to_a_finished_search(uninterrupted: Path, root: Path, start: Callable[..., Command]) -> None:
    shutil.copytree(uninterrupted, root / "runs" / "longer", symlinks=True)
    before = numbers(uninterrupted)
    longer = start("search.run", "--resume", "--study", "longer", "--trials", str(TRIALS + 1), "--quiet")
    assert longer.wait() == 0
    assert " starts: " not in longer.stdout
    after = numbers(root / "runs" / "longer")
    assert {job: after[job] for job in before} == before
    assert Study(root / "runs" / "longer").trials() == list(range(TRIALS + 1))
    unchanged = start("search.run", "--resume", "--study", "longer")
    assert unchanged.wait() == 0
    assert numbers(root / "runs" / "longer") == after
    assert " starts: " not in unchanged.stdout


def draw_uninformative(folder: Path) -> Path:
    """Images that differ in one uninformative pixel: a network trained on them predicts the same for all."""
    for number in range(48):
        label, subject = number % 2, number // 8
        class_folder = folder / "fold_0" / CLASS_NAMES[label]
        class_folder.mkdir(parents=True, exist_ok=True)
        image = np.full((32, 32, 3), 40, np.uint8)
        image[0, 0] = number
        name = f"UID_{'' if label else 'H'}{subject}_{number}_1_{CLASS_NAMES[label]}.png"
        Image.fromarray(image).save(class_folder / name)
    return folder


def test_a_search_without_signal_has_no_winner(root: Path, start: Callable[..., Command]) -> None:
    data = str(draw_uninformative(root / "uninformative"))
    rate = ["--set", "optimizer.learning_rate=10"]
    command = start("search.run", "--data", data, "--study", "hopeless", "--trials=2", "--folds=2", *SETTINGS, *rate)
    assert command.wait() == 3
    assert command.stderr == ""
    folder = root / "runs" / "hopeless"
    table = trial_table(Study(folder))
    assert set(table["state"]) <= {"stopped", "failed"}
    assert table["reason"].str.contains("predicts a single class|NonFiniteLoss").all()
    assert not (folder / "best.json").exists()
    assert "no winner: none of 2 trials finished all folds" in command.stdout
    assert_agreement(folder)


def test_two_searches_at_once_do_not_interfere(root: Path, tiny_folder: Path, start: Callable[..., Command]) -> None:
    options = ["--data", str(tiny_folder), "--trials=1", "--folds=2", "--repeats=0", *SETTINGS]
    both = [start("search.run", *options, "--study", name) for name in ("left", "right")]
    assert [command.wait() for command in both] == [0, 0]
    left, right = (numbers(root / "runs" / name) for name in ("left", "right"))
    assert left == right
    for name in ("left", "right"):
        assert_agreement(root / "runs" / name)


def test_a_budget_of_zero_starts_no_trial(root: Path, tiny_folder: Path, start: Callable[..., Command]) -> None:
    command = start("search.run", "--data", str(tiny_folder), "--study", "zero", "--budget-hours=0", *SETTINGS)
    assert command.wait() == 3
    assert "no winner: none of 0 trials" in command.stdout
    assert Study(root / "runs" / "zero").trials() == []


CRASH = """
import sys
from leukemia.base.errors import run_command
from search import run
from search.trials import driver

def receive(self, job, report):
    raise RuntimeError("internal bug")

driver.Driver.receive = receive
run_command(run.main)
"""


def test_an_internal_error_is_one_line_with_the_traceback_in_the_log(
    root: Path, tiny_folder: Path, environment: dict[str, str]
) -> None:
    options = ["--data", str(tiny_folder), "--study", "broken", "--trials=1", "--folds=2", *SETTINGS]
    ended = subprocess.run(
        [sys.executable, "-c", CRASH, *options],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert ended.returncode == 1
    assert ended.stderr == f"error: RuntimeError: internal bug; the traceback is in {Path('runs/broken/search.log')}\n"
    log = (root / "runs" / "broken" / "search.log").read_text()
    assert "CRITICAL the search failed\n  Traceback" in log
    assert "internal bug" in log
    assert "TuneError" not in log


FULL_DISK = """
import errno
from leukemia.base.errors import run_command
from leukemia.study.folder import Study
from search import run

def write_fold(self, number, result, table):
    raise OSError(errno.ENOSPC, "No space left on device")

Study.write_fold = write_fold
run_command(run.main)
"""


VIEW_DELETED = """
import shutil
from leukemia.base.errors import run_command
from leukemia.base.files import cache_dir
from leukemia.study.folder import Study
from search import run

write_fold = Study.write_fold

def delete_and_write_fold(self, number, result, table):
    shutil.rmtree(cache_dir() / "views", ignore_errors=True)
    return write_fold(self, number, result, table)

Study.write_fold = delete_and_write_fold
run_command(run.main)
"""


def test_a_search_ended_by_a_full_disk_is_resumed_and_deleted_images_are_built_again(
    uninterrupted: Path, root: Path, tiny_folder: Path, environment: dict[str, str], start: Callable[..., Command]
) -> None:
    options = ["--data", str(tiny_folder), "--study", "full", *SEARCH]
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, *options],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: No space left on device; finished folds are kept. Resume with:\n  python")
    assert ended.stderr.count("\n") == 2
    folder = root / "runs" / "full"
    assert not list(folder.glob("trials/*/state.json")), "a trial whose fold could not be written has not ended"
    resuming = [sys.executable, "-c", VIEW_DELETED, "--resume", "--study", "full", *ONE_AT_A_TIME]
    assert subprocess.run(resuming, cwd=root, env=environment, capture_output=True, timeout=3600).returncode == 0
    assert numbers(folder) == numbers(uninterrupted)
    assert_agreement(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--set", "train.epoch=3"], "error: unknown recipe field 'train.epoch'; did you mean train.epochs"),
        (["--folds=99"], "error: 99 folds need at least 99 groups of subjects"),
        (["--address", "127.0.0.1:1"], "error: --address 127.0.0.1:1: no Ray cluster found there"),
        (["--device", "cuda", "--address", "local"], "error: --device cuda: Ray sees no GPU"),
        (["--cpus-per-trial=9999"], "error: a trial needs 9999 CPUs"),
        (["--gpus-per-trial=0"], "error: --gpus-per-trial: expected at least 0.01, got 0"),
        (["--resume", "--study", "absent"], "error: no study at "),
    ],
)
def test_invalid_arguments_are_one_line_status_2_and_write_nothing(
    tmp_path: Path, environment: dict[str, str], tiny_folder: Path, arguments: list[str], message: str
) -> None:
    if "cuda" in arguments and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    options = arguments if "--data" in arguments else [*arguments, "--data", str(tiny_folder)]
    command = Command("search.run", [*options, "--runs", str(tmp_path / "runs")], tmp_path, environment)
    assert command.wait() == 2
    assert command.stdout == ""
    assert command.stderr.count("\n") == 1
    assert message in command.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_only_prints_a_plan(tmp_path: Path, environment: dict[str, str], tiny_folder: Path) -> None:
    options = ["--data", str(tiny_folder), "--dry-run", *SETTINGS, "--set", "optimizer.restart_epochs=2"]
    command = Command("search.run", options, tmp_path, environment)
    assert command.wait() == 0
    assert command.stderr == ""
    assert "optimizer.learning_rate: 0.0001 to 0.01 (log); " in command.stdout
    assert "optimizer.restart_epochs: 2 (fixed)\n" in command.stdout
    assert "cost: 50 trials x 5 folds x 2 epochs" in command.stdout
    assert re.search(
        r"\ndisk: \S+ GB in /.* for a checkpoint of each of \d+ trials?\ndisk: \S+ GB in /", command.stdout
    )
    assert not (tmp_path / "runs").exists()
