"""Offline runs match the study folder without duplicates; the search continues whatever happens to W&B."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import wandb
from helpers.studies import change_info
from helpers.tracked import (
    RECIPE,
    REPORTS,
    begin,
    end,
    epoch_of,
    expected_rows,
    folders,
    history,
    make_study,
    of_kind,
    records,
    run_trial,
    series,
    summary,
    write,
)

from leukemia.config.fields import nested
from leukemia.study.folder import Study
from leukemia.study.job import Job
from leukemia.tracking import client
from leukemia.tracking.tracker import NoTracker, WandbTracker, make_tracker

pytestmark = pytest.mark.usefixtures("fresh_wandb")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def offline(study: Study) -> WandbTracker:
    return WandbTracker(study, mode="offline")


def settle(tracker: WandbTracker) -> None:
    """Wait until the background thread has handled all events."""
    handled = threading.Event()
    tracker._enqueue(handled.set)
    assert handled.wait(120)


def heads(row: dict[str, Any]) -> set[str]:
    """First parts of a row's keys; tables and figures have keys of several parts."""
    return {key.partition(".")[0] for key in row}


def assert_holds_the_study(study: Study, run: Path, number: int = 0) -> None:
    """Check a run: every epoch and fold of a trial, in order, with exact values, and last the predictions."""
    rows = history(run)
    assert series(rows) == expected_rows(study, number)
    assert [row["_step"] for row in rows] == list(range(len(rows)))


def test_offline_run_matches_the_study(study: Study) -> None:
    tracker = offline(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    (run,) = folders(study)
    assert run.name.endswith("-c0ffee00-0000")
    assert_holds_the_study(study, run)
    found = records(run)
    (head,) = of_kind(found, "run")
    assert head["run_id"] == "c0ffee00-0000"
    assert (head["display_name"], head["run_group"], head["job_type"]) == ("my-study-0000", "my-study", "trial")
    assert head["tags"] == ["depth-18", "ranger21", "add", "grouped"]
    config = head["config"]["update"]
    assert nested(RECIPE.flat()).items() <= config.items()
    assert config["provenance"]["protocol"] == "grouped"
    assert config["provenance"]["data"] == "f" * 64
    assert config["provenance"]["splits_sha256"] == "5" * 64
    assert config["provenance"]["versions"] == {"torch": "2.13.0"}
    content = summary(run)
    assert content.items() >= {"state": "complete", "tta_accuracy": 0.75, "folds_done": 2, "cost_seconds": 6.0}.items()
    assert (content["tta_accuracy_low"], content["tta_accuracy_high"]) == (0.5, 1.0), "one patient is all right"
    assert [end.get("exit_code", 0) for end in of_kind(found, "exit")] == [0]
    assert {"out_of_fold", *(f"Custom Chart Tables/{name}_table" for name in ("confusion_matrix", "roc"))} <= heads(
        history(run)[-1]
    )


def test_run_of_the_search_has_every_trial(study: Study) -> None:
    tracker = offline(study)
    run_trial(study, tracker, 0)
    begin(study, tracker, 1)
    end(study, tracker, 1, "failed", "NonFiniteLoss", None)
    tracker.close(finished=True)
    (run,) = folders(study, "search")
    rows = history(run)
    assert [row["_step"] for row in rows] == [0, 2, 3]
    assert rows[0].items() >= {"search/trial": 0, "search/tta_accuracy": 0.75, "search/best_tta_accuracy": 0.75}.items()
    assert rows[1].items() >= {"search/trial": 1, "search/failed": 1, "search/complete": 1, "search/ended": 2}.items()
    assert rows[1]["search/device_hours"] == 6.0 / 3600
    assert "trials" in heads(rows[-1])
    assert summary(run)["state"] == "finished"
    (made,) = [each for each in of_kind(records(run), "artifact") if each["type"] != "run_table"]
    assert (made["type"], set(made["aliases"])) == ("search", {"latest", "my-study"})
    assert {entry["path"] for entry in made["manifest"]["contents"]} == {"study.json"}


def test_rewritten_run_has_no_repeats_and_both_objectives(study: Study) -> None:
    """The folder of a trial has the epochs of repeats too."""
    study = change_info(study, objective="tta_accuracy,cost")
    study.begin_trial(0, RECIPE)
    for report in REPORTS:
        write(study, NoTracker(), 0, report)
    study.write_epoch(0, epoch_of(0, 1, seed=1))
    tracker = offline(study)
    tracker.begin(Job(0, 0), RECIPE, [])
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    tracker.close(finished=False)
    (run,) = folders(study)
    assert_holds_the_study(study, run)
    assert summary(run).items() >= {"tta_accuracy": 0.75, "cost": 25.0}.items()
    assert "tta_accuracy,cost" not in summary(run)
    (search,) = folders(study, "search")
    assert history(search)[0].items() >= {"search/tta_accuracy": 0.75, "search/cost": 25.0}.items()


def test_failed_trial_has_exit_code_1_and_no_score(study: Study) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    write(study, tracker, 0, REPORTS[0])
    end(study, tracker, 0, "failed", "NonFiniteLoss", None)
    tracker.close(finished=False)
    (run,) = folders(study)
    assert [ended["exit_code"] for ended in of_kind(records(run), "exit")] == [1]
    assert summary(run)["state"] == "failed"
    assert "tta_accuracy" not in summary(run)


def test_unfinished_trial_is_marked_as_interrupted(study: Study) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    write(study, tracker, 0, REPORTS[0])
    tracker.close(finished=False)
    (run,) = folders(study)
    assert [ended["exit_code"] for ended in of_kind(records(run), "exit")] == [130]
    assert summary(run)["state"] == "interrupted"


def test_a_rescheduled_trial_continues_its_run(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    write(study, tracker, 0, REPORTS[0])
    tracker.begin(Job(0, 0), RECIPE, [])
    for report in REPORTS[1:]:
        write(study, tracker, 0, report)
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    tracker.close(finished=True)
    (run,) = folders(study)
    assert_holds_the_study(study, run)
    assert not [record for record in caplog.records if record.name.startswith("leukemia")]


def test_the_run_of_a_trial_that_waits_is_closed_and_opened_again(study: Study) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    for report in REPORTS[:3]:
        write(study, tracker, 0, report)
    where = "waits at the end of fold 1, rank 2 of 3"
    tracker.wait(Job(0, 0), RECIPE, [1.0], where)
    tracker.wait(Job(7, 0), RECIPE, [1.0], where)  # It waited before a resume, and its run is not open.
    tracker.close(finished=True)
    (run,) = folders(study)
    found = summary(run)
    assert (found["state"], found["reason"], found["folds_done"]) == ("waiting", where, 1)
    assert of_kind(records(run), "exit")[0].get("exit_code", 0) == 0
    other = offline(study)
    begin(study, other, 0)
    for report in REPORTS[3:]:
        write(study, other, 0, report)
    end(study, other, 0, "complete", "all 2 folds", 0.75)
    other.close(finished=True)
    (run,) = folders(study)
    assert_holds_the_study(study, run)
    assert summary(run)["state"] == "complete"


def test_epochs_of_folds_that_run_side_by_side_are_logged_in_fold_order(study: Study) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    for index in (3, 0, 4, 5, 1, 2):
        write(study, tracker, 0, REPORTS[index])
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    # Of a trial that is stopped, fold 0 may be unfinished.
    begin(study, tracker, 1)
    for index in (3, 0, 4):
        write(study, tracker, 1, REPORTS[index])
    end(study, tracker, 1, "stopped", "cannot win", None)
    tracker.close(finished=True)
    complete, stopped = folders(study)
    assert_holds_the_study(study, complete)
    assert series(history(stopped)) == expected_rows(study, 1)


def test_run_resumed_after_a_kill_is_one_run(study: Study) -> None:
    killed = offline(study)
    begin(study, killed, 0)
    for report in REPORTS[:4]:
        write(study, killed, 0, report)
    settle(killed)
    client.end_client()
    resumed = offline(study)
    resumed.begin(Job(0, 0), RECIPE, [])
    for report in REPORTS[4:]:
        write(study, resumed, 0, report)
    end(study, resumed, 0, "complete", "all 2 folds", 0.75)
    resumed.close(finished=True)
    (run,) = folders(study)
    assert_holds_the_study(study, run)
    (search,) = folders(study, "search")
    assert history(search)[0]["search/tta_accuracy"] == 0.75


def test_epochs_saved_before_the_run_is_opened_are_not_logged_twice(study: Study) -> None:
    """The thread may open a run after the driver has written the first epochs."""
    tracker = offline(study)
    study.begin_trial(0, RECIPE)
    study.write_epoch(0, epoch_of(0, 1))
    study.write_epoch(0, epoch_of(0, 2))
    tracker.begin(Job(0, 0), RECIPE, [])
    tracker.epoch(Job(0, 0), epoch_of(0, 1))
    tracker.epoch(Job(0, 0), epoch_of(0, 2))
    tracker.close(finished=False)
    (run,) = folders(study)
    assert series(history(run)) == expected_rows(study)


def test_many_runs_can_be_open_at_once(study: Study) -> None:
    tracker = offline(study)
    for number in range(3):
        begin(study, tracker, number)
    for number in range(3):
        write(study, tracker, number, epoch_of(0, number + 1))
    for number in range(3):
        end(study, tracker, number, "stopped", "hopeless", None)
    tracker.close(finished=False)
    runs = folders(study)
    assert len(runs) == 3
    assert [history(run)[0]["fold_0/train_loss"] for run in runs] == [1 / 3, 1 / 6, 1 / 9]


def test_second_end_of_a_trial_is_ignored(study: Study) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    end(study, tracker, 0, "stopped", "hopeless", None)
    tracker.end(Job(0, 0), "complete", "all 2 folds", 0.9)
    tracker.close(finished=False)
    (run,) = folders(study)
    assert len(of_kind(records(run), "exit")) == 1


def test_runs_are_rewritten_when_wandb_crashes(study: Study, caplog: pytest.LogCaptureFixture) -> None:
    tracker = offline(study)
    begin(study, tracker, 0)
    for report in REPORTS[:3]:
        write(study, tracker, 0, report)
    settle(tracker)
    kill_core()
    for report in REPORTS[3:]:
        write(study, tracker, 0, report)
    settle(tracker)
    kill_core()
    end(study, tracker, 0, "complete", "all 2 folds", 0.75)
    tracker.close(finished=True)
    (run,) = folders(study)
    assert_holds_the_study(study, run)
    assert len(of_kind(records(run), "exit")) == 1
    assert len(folders(study, "search")) == 1
    assert caplog.text.count("rewriting its open runs") == 2


def kill_core() -> None:
    """Kill the wandb-core process started by this process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            is_core = parent == os.getpid() and b"wandb-core" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if is_core:
            os.kill(int(folder.name), 9)
            os.waitpid(int(folder.name), 0)


def test_search_continues_with_a_warning_if_wandb_cannot_start(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**settings: Any) -> None:
        raise wandb.errors.UsageError("no binary")

    monkeypatch.setattr(wandb, "init", broken)
    tracker = offline(study)
    run_trial(study, tracker, 0)
    last = tracker.close(finished=True)
    assert "W&B failed again (no binary); continuing without W&B" in caplog.text
    # asyncio also warns about connections that an earlier test has closed.
    warnings = [
        record
        for record in caplog.records
        if (record.name, record.levelname) == ("leukemia.tracking.tracker", "WARNING")
    ]
    assert len(warnings) == 2, "warned once"
    assert last == (
        "W&B: offline, local runs are incomplete; after `wandb login` upload the study from its folder with: "
        f"python -m leukemia.tracking publish my-study --runs {study.folder.parent}"
    )


def test_full_disk_prints_nothing_to_the_terminal(
    study: Study, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.FileHandler, "_open", lambda _: open("/dev/full", "w"))  # noqa: SIM115
    tracker = offline(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    assert capfd.readouterr().err == ""


def test_tracking_does_not_block_the_driver(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, all_queued = client.open_run, threading.Event()

    def slow(*arguments: Any) -> Any:
        assert all_queued.wait(120), "the driver waits for W&B"
        return opened(*arguments)

    monkeypatch.setattr(client, "open_run", slow)
    tracker = offline(study)
    run_trial(study, tracker, 0)
    all_queued.set()
    tracker.close(finished=True)
    assert_holds_the_study(study, *folders(study))


def test_hanging_wandb_is_abandoned_after_a_timeout(
    study: Study, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("leukemia.tracking.tracker.CLOSE_TIMEOUT_SECONDS", 0.5)
    killed = threading.Event()
    monkeypatch.setattr(client, "open_run", lambda *_: killed.wait())
    monkeypatch.setattr(client, "end_client", killed.set)
    tracker = WandbTracker(study, mode="online")
    run_trial(study, tracker, 0)
    message = tracker.close(finished=True)
    assert message == (
        "W&B: upload incomplete; upload it with: python -m leukemia.tracking publish "
        f"my-study --runs {study.folder.parent}"
    )
    assert capfd.readouterr() == ("", "")


def test_wandb_prints_nothing(study: Study, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = offline(study)
    run_trial(study, tracker, 0)
    begin(study, tracker, 1)
    end(study, tracker, 1, "failed", "x", None)
    tracker.close(finished=True)
    assert capfd.readouterr() == ("", "")


def test_disabled_tracker_does_nothing(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker, message = make_tracker(study)
    assert message == "W&B: disabled by WANDB_MODE"
    run_trial(study, tracker, 0)
    assert not tracker.is_stopped(Job(0, 0))
    assert tracker.close(finished=True) == ""
    assert not (study.folder / "wandb").exists()


def test_offline_message_has_the_folder_and_how_to_upload(study: Study) -> None:
    tracker, message = make_tracker(study)
    assert isinstance(tracker, WandbTracker)
    assert message == f"W&B: offline in {study.folder / 'wandb'} (set by WANDB_MODE)"
    assert tracker.close(finished=True) == (
        "W&B: offline; after `wandb login` upload it with: python -m leukemia.tracking publish "
        f"my-study --runs {study.folder.parent}"
    )


def test_online_mode_without_a_key_is_offline(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    tracker, message = make_tracker(study)
    tracker.close(finished=True)
    assert message == "W&B: no API key (`wandb login`); continuing offline"


def test_settings_collect_nothing_from_the_machine() -> None:
    settings = client._quiet_settings(30, None, lambda: None)
    assert settings.silent
    assert settings.console == "off"
    assert settings.x_disable_meta
    assert settings.x_disable_stats
    assert not settings.save_code


def test_a_named_recipe_names_its_run(study: Study) -> None:
    named = change_info(study, sampler="grid", recipes=[{"name": "deep, plain"}, {"model.depth": 50}])
    tracker = offline(named)
    for number in range(2):
        run_trial(named, tracker, number)
    tracker.close(finished=True)
    heads = {head["run_id"]: head for run in folders(named) for head in of_kind(records(run), "run")}
    assert heads["c0ffee00-0000"]["display_name"] == "my-study-0000 deep, plain"
    assert heads["c0ffee00-0000"]["config"]["update"]["provenance"]["recipe"] == "deep, plain"
    assert heads["c0ffee00-0001"]["display_name"] == "my-study-0001"
    assert "recipe" not in heads["c0ffee00-0001"]["config"]["update"]["provenance"]
