"""Online tracking: one complete run per trial despite failures of server or driver; missing runs can be published."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from helpers.tracked import RECIPE, REPORTS, begin, end, expected_rows, folders, make_study, run_trial, series, write
from helpers.wandb_server import KEY, WandbServer

from leukemia.base.errors import UserError
from leukemia.base.files import write_json
from leukemia.config.fields import nested
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.study.ladder import LadderRecord, Place
from leukemia.study.ledger import ledger_of
from leukemia.tracking import client
from leukemia.tracking import tracker as tracking
from leukemia.tracking.__main__ import main
from leukemia.tracking.publish import publish
from leukemia.tracking.tracker import NoTracker, WandbTracker, make_tracker

TESTS = Path(__file__).parents[1]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


@contextlib.contextmanager
def short_waits() -> Iterator[None]:
    """Short timeouts, for servers that do not answer; too short for opening a run on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "INIT_TIMEOUT_SECONDS", 2)
        patch.setattr(client, "FINISH_TIMEOUT_SECONDS", 2)
        patch.setattr(tracking, "CLOSE_TIMEOUT_SECONDS", 5.0)
        yield


def assert_holds(server: WandbServer, study: Study, number: int = 0, *, exit_code: int = 0) -> None:
    """Check that the server has one complete run of the trial, with every epoch and fold of the study folder."""
    run = server.runs[f"c0ffee00-{number:04d}"]
    rows = [{key: value for key, value in row.items() if key not in ("_runtime", "_timestamp")} for row in run.history]
    assert series(rows) == expected_rows(study, number)
    steps = [row["_step"] for row in rows]
    assert steps == sorted(set(steps))
    if run.summary["state"] == "complete":
        assert steps == list(range(len(rows))), "contiguous"
    assert (run.complete, run.exit_code) == (True, exit_code)
    assert run.summary["state"] == study.end(number).state  # type: ignore[union-attr]


def test_every_run_is_uploaded_completely(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    begin(study, tracker, 1)
    write(study, tracker, 1, REPORTS[0])
    end(study, tracker, 1, "failed", "NonFiniteLoss", None)
    begin(study, tracker, 2)
    for report in REPORTS[:3]:
        write(study, tracker, 2, report)
    end(study, tracker, 2, "stopped", "cannot win", None)
    tracker.close(finished=True)
    assert sorted(wandb_server.runs) == ["c0ffee00-0000", "c0ffee00-0001", "c0ffee00-0002", "c0ffee00-search"]
    assert_holds(wandb_server, study, 0)
    assert_holds(wandb_server, study, 1, exit_code=1)
    assert_holds(wandb_server, study, 2)
    run = wandb_server.runs["c0ffee00-0000"]
    assert (run.group, run.job_type, run.display_name) == ("my-study", "trial", "my-study-0000")
    assert nested(RECIPE.flat()).items() <= run.config.items()
    search = wandb_server.runs["c0ffee00-search"]
    assert [row["search/trial"] for row in search.history if "search/trial" in row] == [0, 1, 2]
    assert (search.complete, search.job_type) == (True, "search")
    made = [each for each in wandb_server.artifacts.values() if each.type == "search"]
    assert [(each.state, each.created_by) for each in made] == [("COMMITTED", "c0ffee00-search")]
    assert {"latest", "my-study"} <= set(made[0].aliases)
    assert wandb_server.unknown == []


@pytest.mark.slow
def test_killed_and_resumed_search_has_one_run_per_trial(study: Study, wandb_server: WandbServer) -> None:
    """The killed search runs in another process."""
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {str(TESTS)!r})
        from pathlib import Path
        from helpers.tracked import REPORTS, begin, write
        from leukemia.study.folder import Study
        from leukemia.tracking.tracker import make_tracker
        study = Study.open(Path(sys.argv[1]))
        tracker, _ = make_tracker(study)
        begin(study, tracker, 0)
        for report in REPORTS[:4]:
            write(study, tracker, 0, report)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(study.folder)]
    killed = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=TESTS.parent)
    # W&B's client uploads every 15 seconds.
    wandb_server.wait_for(
        lambda: "c0ffee00-0000" in wandb_server.runs and wandb_server.runs["c0ffee00-0000"].history, seconds=600
    )
    killed.communicate("\n")
    assert killed.returncode == -signal.SIGKILL
    tracker, message = make_tracker(study)
    tracker.begin(Job(0, 0), RECIPE, [])
    for report in REPORTS[4:]:
        write(study, tracker, 0, report)
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    assert tracker.close(finished=True) == message
    assert len(wandb_server.sweeps) == 1, "the resumed search has the same sweep"
    assert_holds(wandb_server, study)
    assert len(folders(study)) == 1


@pytest.mark.parametrize("fault", ["500", "401", "drop", "hang"])
def test_server_failure_neither_stops_nor_slows_the_search(
    study: Study, wandb_server: WandbServer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    begin(study, tracker, 1)
    wandb_server.wait_for(lambda: "c0ffee00-0001" in wandb_server.runs)
    wandb_server.fault = fault
    with short_waits():
        for report in REPORTS:
            write(study, tracker, 1, report)
        end(study, tracker, 1, "complete", "all 2 folds", 0.75)
        run_trial(study, tracker, 2)
        message = tracker.close(finished=True)
    assert message.startswith("W&B: upload incomplete; upload it with: python -m leukemia.tracking publish"), message
    assert KEY not in message + caplog.text
    wandb_server.fault = None
    publish(study, lambda message: None)
    for number in range(3):
        assert_holds(wandb_server, study, number)
    assert wandb_server.runs["c0ffee00-search"].complete
    assert wandb_server.unknown == []


def test_key_rejected_during_a_run_is_noticed(study: Study, wandb_server: WandbServer) -> None:
    """W&B's client gives up on the run and closes it without an error, even if the server works again."""
    tracker, _ = make_tracker(study)
    begin(study, tracker, 0)
    wandb_server.wait_for(lambda: "c0ffee00-0000" in wandb_server.runs)
    wandb_server.fault_at = "c0ffee00-0000/file_stream"
    wandb_server.fault = "401"
    for report in REPORTS:
        write(study, tracker, 0, report)
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    with short_waits():
        assert tracker.close(finished=True).startswith("W&B: upload incomplete; upload it with: ")
    with pytest.raises(UserError, match=r"W&B: 1 runs did not finish uploading \(c0ffee00-0000\)"):
        publish(study, lambda message: None)
    wandb_server.fault = None
    publish(study, lambda message: None)
    assert_holds(wandb_server, study)


def test_server_that_restarts_gets_the_rest(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    begin(study, tracker, 0)
    wandb_server.wait_for(lambda: "c0ffee00-0000" in wandb_server.runs)
    wandb_server.stop()
    with short_waits():
        for report in REPORTS:
            write(study, tracker, 0, report)
        end(study, tracker, 0, "complete", "all 2 folds", 0.75)
        assert "upload incomplete" in tracker.close(finished=True)
    wandb_server.start()
    publish(study, lambda message: None)
    assert_holds(wandb_server, study)


def test_slow_server_gets_everything(study: Study, wandb_server: WandbServer) -> None:
    wandb_server.delay = 0.2
    tracker, _ = make_tracker(study)
    wandb_server.fault = "slow"
    for number in range(3):
        run_trial(study, tracker, number)
    with short_waits():
        tracker.close(finished=True)
    wandb_server.fault = None
    publish(study, lambda message: None)
    for number in range(3):
        assert_holds(wandb_server, study, number)


def test_a_trial_that_waits_is_published_as_waiting_and_goes_on_in_its_run(
    study: Study, wandb_server: WandbServer
) -> None:
    begin(study, NoTracker(), 0)
    for report in REPORTS[:3]:
        write(study, NoTracker(), 0, report)
    place = Place(share=1.0, rank=2, reached=3)
    study.write(study.folder / layout.LADDER, dataclasses.asdict(LadderRecord(waiting={"0000": place})))
    study.write(study.folder / layout.LEDGER, ledger_of(study).to_dict())
    publish(study, lambda message: None)
    run, search = wandb_server.runs["c0ffee00-0000"], wandb_server.runs["c0ffee00-search"]
    assert (run.summary["state"], run.summary["reason"]) == ("waiting", "waits at the end of fold 1, rank 2 of 3")
    assert (run.complete, run.exit_code) == (True, 0)
    assert (search.summary["state"], search.summary["waiting"]) == ("finished", 1), "it ended by its budget or patience"
    assert search.summary["device_hours/waiting"] > 0
    study.write(study.folder / layout.LADDER, dataclasses.asdict(LadderRecord()))
    tracker, _ = make_tracker(study)
    begin(study, tracker, 0)
    for report in REPORTS[3:]:
        write(study, tracker, 0, report)
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    tracker.close(finished=True)
    assert_holds(wandb_server, study)
    assert wandb_server.runs["c0ffee00-search"].summary["waiting"] == 0


def test_offline_study_can_be_published_repeatedly(
    study: Study, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = WandbTracker(study, mode="offline")
    run_trial(study, offline, 0)
    begin(study, offline, 1)
    end(study, offline, 1, "failed", "x", None)
    offline.close(finished=True)
    assert wandb_server.runs == {}
    for _ in range(2):
        assert main(["publish", "my-study", "--runs", str(study.folder.parent)]) == 0
        ((identity, sweep),) = wandb_server.sweeps.items()
        output = capsys.readouterr().out.splitlines()
        assert output == [
            "trial 0000: uploading",
            "trial 0001: uploading",
            "search: uploading",
            f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/{identity}",
        ]
        assert sweep.prior_runs == ["c0ffee00-0000", "c0ffee00-0001"]
        assert_holds(wandb_server, study, 0)
        assert_holds(wandb_server, study, 1, exit_code=1)
        rows = wandb_server.runs["c0ffee00-search"].history
        assert [row["_step"] for row in rows] == [0, 2, 3]
    assert wandb_server.unknown == []


@pytest.mark.parametrize("name", ["0000", "search"])
def test_deleted_run_is_left_out(
    study: Study, wandb_server: WandbServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The server accepts no new run of its id."""
    wandb_server.delete_run(f"c0ffee00-{name}")
    tracker, url = make_tracker(study)
    for number in range(2):
        run_trial(study, tracker, number)
    assert tracker.close(finished=True) == url
    expected = {"c0ffee00-0000", "c0ffee00-0001", "c0ffee00-search"} - {f"c0ffee00-{name}"}
    assert wandb_server.runs.keys() == expected
    assert_holds(wandb_server, study, 1)
    client.end_client()
    publish(study, lambda message: None)
    assert wandb_server.runs.keys() == expected
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    left_out = f"W&B: run c0ffee00-{name} was deleted on the server, which accepts no new one of this id; left out"
    assert warnings == [left_out] * 2


@pytest.mark.slow
def test_stop_on_the_web_page_stops_the_trial(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    begin(study, tracker, 0)
    begin(study, tracker, 1)
    wandb_server.wait_for(lambda: "c0ffee00-0001" in wandb_server.runs)
    wandb_server.stop_run("c0ffee00-0001")
    write(study, tracker, 1, REPORTS[0])
    deadline = time.monotonic() + 1200
    while not tracker.is_stopped(Job(1, 0)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (tracker.is_stopped(Job(0, 0)), tracker.is_stopped(Job(1, 0))) == (False, True)
    tracker.close(finished=False)


def test_key_is_in_no_file(study: Study, wandb_server: WandbServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    leaks = [path for path in study.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert leaks == []
    assert KEY not in caplog.text


def test_publish_reports_problems_and_uploads_nothing(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_trial(study, NoTracker(), 0)
    monkeypatch.setenv("WANDB_API_KEY", KEY[::-1])
    with pytest.raises(UserError, match=r"W&B: .*returned 401.*; nothing was uploaded\. Fix that and try again"):
        publish(study, print)
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(UserError, match=r"no API key \(`wandb login`\); nothing was uploaded"):
        publish(study, print)
    assert wandb_server.runs == {}


def test_variables_of_the_parent_process_are_ignored(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sweep agents and launched jobs set variables that name a project and a run."""
    for name, value in {
        "WANDB_SWEEP_ID": "theirs",
        "WANDB_LAUNCH": "true",
        "WANDB_RUN_ID": "theirs",
        "WANDB_RESUME": "must",
        "TRAINING_JOB_NAME": "theirs",
        "SM_TRAINING_ENV": "{}",
    }.items():
        monkeypatch.setenv(name, value)
    run_trial(study, NoTracker(), 0)
    for _ in range(2):
        publish(study, lambda message: None)
        wandb.teardown()
    found = {name: (run.project, run.entity) for name, run in wandb_server.runs.items()}
    assert found == dict.fromkeys(["c0ffee00-0000", "c0ffee00-search"], ("leukemia-search", "lab"))
    assert_holds(wandb_server, study)


def test_stopped_run_is_uploaded_completely(study: Study, wandb_server: WandbServer) -> None:
    """The state of such a run in W&B is killed, even if it was closed normally."""
    tracker, message = make_tracker(study)
    begin(study, tracker, 0)
    wandb_server.wait_for(lambda: "c0ffee00-0000" in wandb_server.runs)
    wandb_server.stop_run("c0ffee00-0000")
    write(study, tracker, 0, REPORTS[0])
    end(study, tracker, 0, "stopped", "stopped in W&B", None)
    assert tracker.close(finished=True) == message
    publish(study, lambda message: None)


@pytest.mark.parametrize(("name", "value"), [("BASE_URL", "localhost:8080"), ("PROJECT", "a/b"), ("MODE", "nonsense")])
def test_publish_rejects_invalid_settings_in_one_line(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"WANDB_{name}", value)
    with pytest.raises(UserError, match=rf"^W&B: WANDB_{name}: [^\n]*; nothing was uploaded\. Fix that and try again$"):
        publish(study, print)


def test_trial_without_a_recipe_is_reported(study: Study, wandb_server: WandbServer) -> None:
    for number in range(2):
        run_trial(study, NoTracker(), number)
    (study.trial_folder(1) / "recipe.json").unlink()
    study.trial_folder(2).mkdir()
    messages: list[str] = []
    publish(study, messages.append)
    assert messages[-1] == (
        f"warning: not uploaded because recipe.json is missing: 0001 in {study.folder / 'trials'}; "
        "restore it or delete these folders, and publish again"
    )
    assert wandb_server.runs["c0ffee00-search"].summary["state"] == "interrupted"


def test_reused_trial_is_not_uploaded_and_the_search_counts_as_finished(
    study: Study, wandb_server: WandbServer
) -> None:
    for number in range(2):
        run_trial(study, NoTracker(), number)
    origin = {"study": "earlier", "study_uid": "0a0a0a0a", "trial": "0003", "seeds": [0]}
    write_json(study.trial_folder(0) / "origin.json", origin)
    publish(study, lambda message: None)
    assert sorted(wandb_server.runs) == ["c0ffee00-0001", "c0ffee00-search"]
    search = wandb_server.runs["c0ffee00-search"]
    assert (search.exit_code, search.summary["state"]) == (0, "finished")


def test_server_without_sweeps_gets_all_runs(study: Study, wandb_server: WandbServer) -> None:
    run_trial(study, NoTracker(), 0)
    wandb_server.fault_at, wandb_server.fault = "UpsertSweep", "401"
    messages: list[str] = []
    publish(study, messages.append)
    assert messages[-1].startswith("W&B: all uploaded to project leukemia-search, group my-study; no sweep page (")
    wandb_server.fault = None
    assert_holds(wandb_server, study)


def test_publish_is_rejected_while_the_search_runs(study: Study, wandb_server: WandbServer) -> None:
    with study.lock(), pytest.raises(UserError, match=f"is being run by process {os.getpid()}"):
        publish(Study.open(study.folder), print)


def test_interrupted_publish_can_be_continued(study: Study, wandb_server: WandbServer) -> None:
    for number in range(2):
        run_trial(study, NoTracker(), number)

    def break_at_the_second(message: str) -> None:
        if message.startswith("trial 0001"):
            wandb_server.fault = "500"

    with short_waits(), pytest.raises(UserError, match=r"W&B: .*the upload is incomplete\. Try again to continue it"):
        publish(study, break_at_the_second)
    wandb_server.fault = None
    publish(study, lambda message: None)
    for number in range(2):
        assert_holds(wandb_server, study, number)
