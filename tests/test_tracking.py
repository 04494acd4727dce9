"""Weights & Biases holds what the study folder holds, once; without a server the search goes on offline and says so."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wandb

from leukemia.config import Recipe, Train
from leukemia.crossval import FoldResult
from leukemia.files import write_json
from leukemia.mistakes import Mistake
from leukemia.study import Study
from leukemia.tracking import SilentTracker, WandbTracker, make_tracker, quiet_settings, server_problem, wanted_mode
from leukemia.train import Epoch

KEY = "0123456789abcdef0123456789abcdef01234567"
RECIPE = Recipe(train=Train(epochs=2))
TABLE = pd.DataFrame(
    {"image_id": ["a", "b"], "subject": ["1", "H2"], "group": ["1", "H2"], "label": np.array([1, 0], dtype=np.int64)}
)
SERIES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "images_per_second",
    "device_memory_mb",
)


@pytest.fixture(autouse=True)
def surroundings_read_afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B reads environment and settings files once in a process; here each test has its own."""
    monkeypatch.setattr(logging.getLogger("search"), "propagate", True)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "netrc").write_text("")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def study(tmp_path: Path) -> Study:
    info = {
        "study_uid": "c0ffee00",
        "created": "2026-01-01T00:00:00Z",
        "command": "python -m search.run",
        "folds": 2,
        "seed": 0,
        "objective": "tta_accuracy",
        "protocol": "grouped",
        "commit": "0" * 40,
        "hardware": {"device": "cpu (test)"},
        "data": {"fingerprint": "f" * 64},
        "versions": {},
    }
    return Study.create(tmp_path / "my study", info)


def epoch_of(fold: int, epoch: int, *, seed: int = 0) -> Epoch:
    return Epoch(
        seed=seed,
        fold=fold,
        epoch=epoch,
        train_loss=1 / (fold + 3 * epoch),
        train_accuracy=0.5,
        validation_loss=0.1 + 0.2,
        validation_accuracy=2 / 3,
        learning_rate=1e-3 / epoch,
        seconds=1.5,
        images_per_second=10 / 3,
        device_memory_mb=0.0,
    )


def fold_of(fold: int) -> FoldResult:
    scores = {"tta_accuracy": 0.7 + fold / 7, "tta_auroc": float("nan")}
    return FoldResult(
        seed=0,
        fold=fold,
        rows=np.array([0, 1]),
        probabilities=np.array([0.9, 0.2]),
        scores=scores,
        seconds=12.5,
        device="cpu (test)",
        precision="float32",
    )


def write(study: Study, tracker: WandbTracker | SilentTracker, number: int, report: Epoch | FoldResult) -> None:
    """What the driver does with a report: first the study folder, then the tracker."""
    if isinstance(report, Epoch):
        study.write_epoch(number, report)
        tracker.epoch(number, report)
    else:
        study.write_fold(number, report, TABLE)
        tracker.fold(number, study.fold(number, report.seed, report.fold))


REPORTS: tuple[Epoch | FoldResult, ...] = (
    epoch_of(0, 1),
    epoch_of(0, 2),
    fold_of(0),
    epoch_of(1, 1),
    epoch_of(1, 2),
    fold_of(1),
)


def begin(study: Study, tracker: WandbTracker | SilentTracker, number: int) -> None:
    study.begin_trial(number, RECIPE)
    tracker.begin(number, RECIPE)


def folders(study: Study) -> list[Path]:
    return sorted((study.folder / "wandb").glob("*run-*"))


def records(run: Path) -> list[dict[str, Any]]:
    """The records of a run's transaction log, as W&B's own reader prints them."""
    (log,) = run.glob("*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[Any]:
    return [record[kind] for record in found if record["type"] == kind]


def history(run: Path) -> list[dict[str, Any]]:
    rows = []
    for record in of_kind(records(run), "history"):
        rows.append({key: value for key, value in record["item"].items() if key not in ("_runtime", "_timestamp")})
    return rows


def assert_holds_the_study(study: Study, run: Path) -> None:
    """Every epoch and fold of trial 0, in order, with the exact values."""
    expected: list[dict[str, Any]] = []
    for fold in range(2):
        epochs = study.epochs(0)
        for row in epochs[epochs["fold"] == fold].to_dict("records"):
            expected.append({f"fold_{fold}/{name}": row[name] for name in SERIES} | {"epoch": row["epoch"]})
        for done in study.folds_done(0, 0):
            if done == fold:
                content = study.fold(0, 0, fold)
                scores = {f"fold/{name}": value for name, value in content["scores"].items() if value is not None}
                expected.append(scores | {"fold/number": fold, "fold/seconds": content["seconds"]})
    found = history(run)
    steps = [row.pop("_step") for row in found]
    assert found == expected
    assert steps == sorted(set(steps))


def test_an_offline_run_holds_what_the_study_holds(study: Study) -> None:
    tracker = WandbTracker(study, mode="offline")
    begin(study, tracker, 0)
    for report in REPORTS:
        write(study, tracker, 0, report)
    tracker.end(0, "complete", "all 2 folds", 0.75)
    (run,) = folders(study)
    assert run.name.endswith("-c0ffee00-0000")
    assert_holds_the_study(study, run)
    found = records(run)
    (head,) = of_kind(found, "run")
    assert head["run_id"] == "c0ffee00-0000"
    assert (head["display_name"], head["run_group"]) == ("my study-0000", "my study")
    config = head["config"]["update"]
    assert RECIPE.flat().items() <= config.items()
    assert config["provenance.protocol"] == "grouped"
    assert config["provenance.data"] == "f" * 64
    summary = {key: value for update in of_kind(found, "summary") for key, value in _updates(update).items()}
    assert summary.items() >= {"state": "complete", "tta_accuracy": 0.75, "folds_done": 2}.items()
    assert [end.get("exit_code", 0) for end in of_kind(found, "exit")] == [0]


def _updates(record: dict[str, Any]) -> dict[str, Any]:
    update = record.get("update", {})
    return dict(update) if isinstance(update, dict) else {item["key"]: item["value"] for item in update}


def test_a_run_written_again_holds_no_repeat_and_the_score_alone(study: Study) -> None:
    """The folder of a trial holds its repeats' epochs, too; the cost is no part of the score's name."""
    write_json(study.folder / "study.json", {**study.info, "objective": "tta_accuracy,cost"})
    study.begin_trial(0, RECIPE)
    for report in REPORTS:
        write(study, SilentTracker(), 0, report)
    study.write_epoch(0, epoch_of(0, 1, seed=1))
    tracker = WandbTracker(study, mode="offline")
    tracker.begin(0, RECIPE)
    tracker.end(0, "complete", "all 2 folds", 0.75)
    (run,) = folders(study)
    assert len(history(run)) == len(REPORTS)
    summary = {key: value for update in of_kind(records(run), "summary") for key, value in _updates(update).items()}
    assert summary["tta_accuracy"] == 0.75
    assert "tta_accuracy,cost" not in summary


def test_a_failed_trial_has_exit_code_1_and_no_score(study: Study) -> None:
    tracker = WandbTracker(study, mode="offline")
    begin(study, tracker, 0)
    write(study, tracker, 0, REPORTS[0])
    tracker.end(0, "failed", "NonFiniteLoss", None)
    (run,) = folders(study)
    found = records(run)
    assert [end["exit_code"] for end in of_kind(found, "exit")] == [1]
    summary = {key: value for update in of_kind(found, "summary") for key, value in _updates(update).items()}
    assert summary["state"] == "failed"
    assert "tta_accuracy" not in summary


def test_a_run_that_goes_on_after_a_kill_is_one_run(study: Study) -> None:
    killed = WandbTracker(study, mode="offline")
    begin(study, killed, 0)
    for report in REPORTS[:4]:
        write(study, killed, 0, report)
    wandb.teardown()
    resumed = WandbTracker(study, mode="offline")
    resumed.begin(0, RECIPE)
    for report in REPORTS[4:]:
        write(study, resumed, 0, report)
    resumed.end(0, "complete", "all 2 folds", 0.75)
    (run,) = folders(study)
    assert_holds_the_study(study, run)


def test_many_runs_are_open_at_once_each_with_its_own_values(study: Study) -> None:
    tracker = WandbTracker(study, mode="offline")
    for number in range(3):
        begin(study, tracker, number)
    for number in range(3):
        write(study, tracker, number, epoch_of(0, number + 1))
    for number in range(3):
        tracker.end(number, "stopped", "hopeless", None)
    runs = folders(study)
    assert len(runs) == 3
    assert [history(run)[0]["fold_0/train_loss"] for run in runs] == [1 / 3, 1 / 6, 1 / 9]


def test_the_second_end_of_a_trial_is_ignored(study: Study) -> None:
    tracker = WandbTracker(study, mode="offline")
    begin(study, tracker, 0)
    tracker.end(0, "stopped", "hopeless", None)
    tracker.end(0, "complete", "all 2 folds", 0.9)
    (run,) = folders(study)
    assert len(of_kind(records(run), "exit")) == 1


def test_when_wandb_itself_dies_the_runs_are_written_again(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    tracker = WandbTracker(study, mode="offline")
    begin(study, tracker, 0)
    for report in REPORTS[:3]:
        write(study, tracker, 0, report)
    kill_core()
    for report in REPORTS[3:]:
        write(study, tracker, 0, report)
    kill_core()
    tracker.end(0, "complete", "all 2 folds", 0.75)
    (run,) = folders(study)
    assert_holds_the_study(study, run)
    assert len(of_kind(records(run), "exit")) == 1
    assert caplog.text.count("its open runs are written again") == 2


def kill_core() -> None:
    """Kill the wandb-core that this process has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            is_core = parent == os.getpid() and b"wandb-core" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if is_core:
            os.kill(int(folder.name), 9)
            os.waitpid(int(folder.name), 0)


def test_when_wandb_cannot_be_started_the_search_goes_on_and_says_so(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**settings: Any) -> None:
        raise wandb.errors.UsageError("no binary")

    monkeypatch.setattr(wandb, "init", broken)
    tracker = WandbTracker(study, mode="offline")
    begin(study, tracker, 0)
    for report in REPORTS:
        write(study, tracker, 0, report)
    tracker.end(0, "complete", "all 2 folds", 0.75)
    assert "W&B failed again (no binary); the search goes on without it" in caplog.text
    assert caplog.text.count("W&B") == 2, "said once"


def test_wandb_prints_nothing(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    tracker = WandbTracker(study, mode="offline")
    begin(study, tracker, 0)
    write(study, tracker, 0, REPORTS[0])
    tracker.end(0, "failed", "x", None)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_the_environment_decides_the_mode(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode.upper())
    assert wanted_mode() == mode


def test_an_unknown_mode_is_refused_and_never_taken_for_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    with pytest.raises(Mistake, match=r"WANDB_MODE: expected online, offline or disabled, got 'dryrun'"):
        wanted_mode()


def test_without_mode_a_key_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE")
    assert wanted_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert wanted_mode() == "online"


@pytest.mark.parametrize(
    ("machine", "server", "mode"),
    [
        ("api.wandb.ai", None, "online"),
        ("wandb.example", "https://wandb.example", "online"),
        ("api.wandb.ai", "https://wandb.example", "offline"),
        ("wandb.example", None, "offline"),
    ],
)
def test_a_login_counts_for_its_own_server_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, server: str | None, mode: str
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    if server is not None:
        monkeypatch.setenv("WANDB_BASE_URL", server)
    (tmp_path / "netrc").write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
    assert wanted_mode() == mode


def test_disabled_says_nothing_to_anyone(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker, words = make_tracker(study)
    assert words == "W&B: disabled by WANDB_MODE"
    begin(study, tracker, 0)
    for report in REPORTS:
        write(study, tracker, 0, report)
    tracker.end(0, "complete", "all 2 folds", 0.75)
    assert not (study.folder / "wandb").exists()


def test_offline_names_the_folder(study: Study) -> None:
    tracker, words = make_tracker(study)
    assert isinstance(tracker, WandbTracker)
    assert words == f"W&B: offline in {study.folder / 'wandb'} (`wandb login` to go online)"


class Double(BaseHTTPRequestHandler):
    """Stands for W&B's server at its front door: it knows a viewer, or refuses, or is out of order."""

    answer: tuple[int, str] = (200, "")
    heard: list[str]

    def do_POST(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


VIEWER = '{"data": {"viewer": {"id": "me"}}}'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], type[Double]]]:
    """Start a double with one answer; the environment points to it."""
    running: list[HTTPServer] = []

    def start(status: int, body: str) -> type[Double]:
        handler = type("Answering", (Double,), {"answer": (status, body), "heard": []})
        running.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{running[-1].server_port}/")
        return handler

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    yield start
    for each in running:
        each.shutdown()
        each.server_close()


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (200, '{"data": {"viewer": null}}', r"http://127\.0\.0\.1:\d+/graphql refuses the key"),
        (401, "{}", r"/graphql answers 401 Unauthorized"),
        (500, "oops", r"/graphql answers 500 Internal Server Error"),
        (200, "<html>a proxy's page</html>", r"/graphql does not answer \(JSONDecodeError\)"),
    ],
)
def test_a_server_that_cannot_be_used_turns_the_search_offline(
    study: Study, server: Callable[[int, str], type[Double]], status: int, body: str, problem: str
) -> None:
    server(status, body)
    tracker, words = make_tracker(study)
    assert isinstance(tracker, WandbTracker)
    assert tracker._mode == "offline"
    assert words.endswith("; going on offline")
    assert re.search(problem, words), words
    assert KEY not in words


def test_a_closed_port_turns_the_search_offline(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    tracker, words = make_tracker(study)
    assert f"http://127.0.0.1:{port}/graphql does not answer (ConnectionError); going on offline" in words
    begin(study, tracker, 0)
    write(study, tracker, 0, REPORTS[0])
    tracker.end(0, "failed", "x", None)
    assert len(folders(study)) == 1
    leaks = [path for path in study.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaks == [], "the key stays in the environment"


def test_online_without_a_key_goes_on_offline(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    assert make_tracker(study)[1] == "W&B: online by WANDB_MODE, but there is no key (`wandb login`); going on offline"


def test_a_server_that_knows_the_key_is_used(study: Study, server: Callable[[int, str], type[Double]]) -> None:
    handler = server(200, VIEWER)
    assert server_problem() is None
    assert handler.heard[0].startswith("Basic ")
    tracker, words = make_tracker(study)
    assert isinstance(tracker, WandbTracker)
    assert tracker._mode == "online"
    assert words == "W&B: online, project leukemia-search, group my study"


def test_a_server_that_fails_after_the_first_hello_turns_the_search_offline(
    study: Study,
    server: Callable[[int, str], type[Double]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = server(200, VIEWER)
    tracker, _ = make_tracker(study)
    handler.answer = (400, "{}")
    monkeypatch.setattr("leukemia.tracking.INIT_TIMEOUT_SECONDS", 2)
    begin(study, tracker, 0)
    for report in REPORTS:
        write(study, tracker, 0, report)
    tracker.end(0, "complete", "all 2 folds", 0.75)
    begin(study, tracker, 1)
    tracker.end(1, "failed", "x", None)
    assert caplog.text.count("this search goes on offline") == 1
    assert_holds_the_study(study, next(run for run in folders(study) if "offline-run" in run.name))
    assert KEY not in caplog.text


def test_settings_take_nothing_from_the_machine() -> None:
    settings = quiet_settings()
    assert settings.silent
    assert settings.console == "off"
    assert settings.x_disable_meta
    assert settings.x_disable_stats
    assert not settings.save_code
