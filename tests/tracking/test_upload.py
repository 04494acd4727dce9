"""Published runs have the times of their events; local runs are kept until the server has confirmed the upload."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from helpers.tracked import folders, make_study, run_trial
from helpers.wandb_server import WandbServer

from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.study.folder import Study
from leukemia.tracking import client
from leukemia.tracking.publish import publish
from leukemia.tracking.server import Unsupported, runs_of
from leukemia.tracking.tracker import NoTracker, WandbTracker, make_tracker
from leukemia.tracking.upload import confirm


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def offline_study(study: Study) -> list[Path]:
    """Track a trial offline; returns the local folders of its run and of the search's."""
    tracker = WandbTracker(study, mode="offline")
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    local = [*folders(study), *folders(study, "search")]
    assert [path.name.partition("run-")[0] for path in local] == ["offline-"] * 2
    return local


def test_published_runs_have_the_times_of_their_events(study: Study, wandb_server: WandbServer) -> None:
    run_trial(study, NoTracker(), 0)
    ends = {
        study.fold_file(0, 0, 0): "2026-01-01T00:00:20Z",
        study.fold_file(0, 0, 1): "2026-01-01T00:00:40Z",
        study.trial_folder(0) / "state.json": "2026-01-01T00:00:41Z",
    }
    for path, ended in ends.items():
        write_record(path, json.loads(path.read_text()) | {"ended": ended})
    publish(study, lambda message: None)
    run = wandb_server.runs["c0ffee00-0000"]
    start = 1767225600
    # A fold takes 12.5 s and its two epochs 1.5 s each.
    expected = [9.0, 10.5, 20, 29.0, 30.5, 40, 41]
    assert [row["_timestamp"] - start for row in run.history] == expected
    assert (run.summary["started"], run.summary["ended"]) == ("2026-01-01T00:00:07Z", "2026-01-01T00:00:41Z")
    search = wandb_server.runs["c0ffee00-search"]
    assert [row["_timestamp"] - start for row in search.history] == [41, 41]


def test_local_runs_are_kept_until_the_upload_is_confirmed(study: Study, wandb_server: WandbServer) -> None:
    local = offline_study(study)
    wandb_server.fault_at, wandb_server.fault = "c0ffee00-0000/file_stream", "401"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "FINISH_TIMEOUT_SECONDS", 2)
        with pytest.raises(UserError, match=r"1 runs did not finish uploading \(c0ffee00-0000\)"):
            publish(study, lambda message: None)
    assert [path.exists() for path in local] == [True, False], "the other run was confirmed"
    wandb_server.fault = None
    publish(study, lambda message: None)
    assert not local[0].exists()
    assert len(folders(study)) == len(folders(study, "search")) == 1


def test_folder_just_written_is_kept_if_the_clock_was_set_back(study: Study, fresh_wandb: None) -> None:
    later, other = (study.folder / "wandb" / f"offline-run-20990101_000000-c0ffee00-{end}" for end in ("0000", "0001"))
    for folder in (later, other):
        folder.mkdir(parents=True)
    tracker = WandbTracker(study, mode="offline")
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    (written,) = [folder for folder in folders(study) if folder != other]
    assert written != later
    assert list(written.glob("*.wandb"))
    assert other.exists()


def test_local_runs_are_kept_if_the_server_fails(study: Study, wandb_server: WandbServer) -> None:
    local = offline_study(study)
    wandb_server.fault_at, wandb_server.fault = "RunsOfGroup", "500"
    with pytest.raises(UserError, match=r"W&B: 500 .*; the upload is incomplete\. Try again to continue it"):
        publish(study, lambda message: None)
    assert all(path.exists() for path in local)


@pytest.mark.parametrize("fault", ["400", None])
def test_server_that_cannot_confirm_is_noted(
    study: Study, wandb_server: WandbServer, caplog: pytest.LogCaptureFixture, fault: Literal["400"] | None
) -> None:
    """It rejects the query, or does not know it and says so."""
    if fault is None:
        wandb_server._store.__dict__["_do_runs_of_group"] = None
    local = offline_study(study)
    wandb_server.fault_at, wandb_server.fault = "RunsOfGroup", fault
    for _ in range(2):
        messages: list[str] = []
        publish(study, messages.append)
        (note,) = [message for message in messages if "cannot tell" in message]
        assert note.startswith("W&B: the server cannot tell whether the upload is complete (")
        assert note.endswith(f"); local runs are kept in {study.folder / 'wandb'}")
        assert "/sweeps/" in messages[-1]
    assert all(path.exists() for path in local)
    tracker, url = make_tracker(study)
    assert tracker.close(finished=True) == url
    assert caplog.text.count("the server cannot tell whether the upload is complete") == 1


def tables(server: WandbServer, *, stored: bool) -> set[str]:
    """Collections of the tables of runs, of which the server has or has not stored a version."""
    committed = {each.collection for each in server.artifacts.values() if each.version is not None}
    found = {each.collection for each in server.artifacts.values() if each.type == "run_table"}
    return found & committed if stored else found - committed


@pytest.mark.parametrize(
    ("runs", "reason"),
    [
        (None, r"unexpected answer \(TypeError\)"),
        ({"edges": []}, r"unexpected answer \(KeyError\)"),
        ({"edges": [], "pageInfo": {"endCursor": "x", "hasNextPage": True}}, "its list of runs does not end"),
    ],
)
def test_odd_answer_cannot_confirm(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, runs: object, reason: str
) -> None:
    """Some servers have parts of the API only."""
    monkeypatch.setattr(
        wandb_server._store, "_do_runs_of_group", lambda variables: {"project": {"runs": runs}}, raising=False
    )
    with pytest.raises(Unsupported, match=f"^{reason}$"):
        runs_of("my-study")
    assert confirm(study, ["c0ffee00-0000"]).startswith("the server cannot tell whether the upload is complete (")


def test_files_that_did_not_arrive_are_reported_and_uploaded_the_next_time(
    study: Study, wandb_server: WandbServer
) -> None:
    """W&B stores files on another host. Rows arrive without it, and W&B's client reports no error."""
    local = offline_study(study)
    wandb_server.fault_at, wandb_server.fault = "/storage/", "403"
    lost = r"W&B: search-c0ffee00 was not stored \(.*\) and 1 more; the upload is incomplete\. Try again"
    with pytest.raises(UserError, match=lost):
        publish(study, lambda message: None)
    runs = runs_of("my-study")
    assert [runs[f"c0ffee00-{name}"].is_closed for name in ("0000", "search")] == [True, True]
    assert any("out_of_fold" in name for name in runs["c0ffee00-0000"].missing)
    assert all(path.exists() for path in local)
    wandb_server.fault = None
    publish(study, lambda message: None)
    assert [run.missing for run in runs_of("my-study").values()] == [(), ()]
    assert "run-c0ffee00-0000-out_of_fold" in tables(wandb_server, stored=True)
    assert tables(wandb_server, stored=False) == set()
    assert not any(path.exists() for path in local)
    before = [run.lines("wandb-history.jsonl") for run in wandb_server.runs.values()]
    publish(study, lambda message: None)
    assert [run.lines("wandb-history.jsonl") for run in wandb_server.runs.values()] == before, "complete: not rewritten"
    assert wandb_server.unknown == []


@pytest.mark.slow
def test_files_of_a_killed_upload_are_sent_again(study: Study, wandb_server: WandbServer) -> None:
    """It is killed when the rows of its run have arrived, and its files have not."""
    run_trial(study, NoTracker(), 0)
    wandb_server.fault_at, wandb_server.fault = "/storage/", "hang"
    command = [sys.executable, "-m", "leukemia.tracking", "publish", study.name, "--runs", str(study.folder.parent)]
    killed = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    runs = wandb_server.runs
    wandb_server.wait_for(lambda: "c0ffee00-0000" in runs and len(runs["c0ffee00-0000"].history) == 7)
    killed.kill()
    killed.wait()
    wandb_server.fault = None
    publish(study, lambda message: None)
    assert [run.missing for run in runs_of("my-study").values()] == [(), ()]
    assert "run-c0ffee00-0000-out_of_fold" in tables(wandb_server, stored=True)
    assert [row["_step"] for row in runs["c0ffee00-0000"].history] == list(range(7))


def test_slow_upload_has_time(study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search would not wait for it."""
    run_trial(study, NoTracker(), 0)
    monkeypatch.setattr(client, "FINISH_TIMEOUT_SECONDS", 0.4)
    wandb_server.delay, wandb_server.fault_at, wandb_server.fault = 0.6, "0000/media/table/out_of_fold", "slow"
    publish(study, lambda message: None)
    assert [run.missing for run in runs_of("my-study").values()] == [(), ()]


def test_files_that_the_user_excludes_are_not_awaited(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_IGNORE_GLOBS", "*.png,media/table/*")
    run_trial(study, NoTracker(), 0)
    publish(study, lambda message: None)
    files = wandb_server.runs["c0ffee00-0000"].files
    assert "media/table" not in {name.rpartition("/")[0] for name in files}


def test_search_says_that_files_did_not_arrive_even_after_it_was_resumed(
    study: Study, wandb_server: WandbServer
) -> None:
    tracker, _ = make_tracker(study)
    wandb_server.fault_at, wandb_server.fault = "/storage/", "403"
    run_trial(study, tracker, 0)
    assert tracker.close(finished=False).startswith("W&B: upload incomplete; upload it with: ")
    wandb_server.fault = None
    resumed, _ = make_tracker(study)
    run_trial(study, resumed, 1)
    assert resumed.close(finished=True).startswith("W&B: upload incomplete; upload it with: ")
    publish(study, lambda message: None)
    assert [run.missing for run in runs_of("my-study").values()] == [(), (), ()]
    tracker, url = make_tracker(study)
    assert tracker.close(finished=True) == url
