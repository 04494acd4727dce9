"""The sweep's state in W&B follows the search, and the buttons on its page reach the search."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.studies import change_info
from helpers.tracked import Tracker, begin, make_study, run_trial
from helpers.wandb_server import WandbServer
from helpers.wandb_store import GraphQLError

from leukemia.base.record import write_record
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.ledger import ledger_of
from leukemia.study.listener import Request
from leukemia.tracking import sweep_state
from leukemia.tracking.publish import publish
from leukemia.tracking.server import Unsupported
from leukemia.tracking.sweep import make_sweep
from leukemia.tracking.sweep_state import set_state
from leukemia.tracking.tracker import NoTracker, make_tracker


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_state, "POLL_SECONDS", 0.05)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(study: Study, server: WandbServer) -> Tracker:
    """A tracker whose sweep runs, which it has read at least once."""
    before = server.operations.count("SweepState")
    tracker, _ = make_tracker(study)
    # Before and after it is set, and then at every poll.
    server.wait_for(lambda: server.operations.count("SweepState") >= before + 3)
    return tracker


def test_state_follows_the_search(study: Study, wandb_server: WandbServer) -> None:
    """An interrupted search can be resumed, so it is paused; so can a finished one, with more trials."""
    tracker = started(study, wandb_server)
    ((_, sweep),) = wandb_server.sweeps.items()
    tracker.close(finished=False)
    assert sweep.states == ["RUNNING", "PAUSED"]
    for _ in range(2):
        started(study, wandb_server).close(finished=True)
    assert sweep.states[2:] == ["RUNNING", "FINISHED"] * 2
    assert wandb_server.unknown == []


@pytest.mark.parametrize(
    ("state", "request_", "left"),
    [
        ("PAUSED", Request.PAUSE, "FINISHED"),
        ("FINISHED", Request.STOP, "FINISHED"),
        ("CANCELED", Request.CANCEL, "CANCELED"),
    ],
)
def test_buttons_reach_the_search(
    study: Study, wandb_server: WandbServer, state: str, request_: Request, left: str
) -> None:
    tracker = started(study, wandb_server)
    ((identity, sweep),) = wandb_server.sweeps.items()
    assert tracker.request is Request.RUN
    wandb_server.set_sweep_state(identity, state)
    wait_until(lambda: tracker.request is request_)
    if state == "PAUSED":
        wandb_server.set_sweep_state(identity, "RUNNING")
        wait_until(lambda: tracker.request is Request.RUN)
    tracker.close(finished=True)
    assert sweep.state == left
    resumed = started(study, wandb_server)
    assert resumed.request is Request.RUN, "not that of the last end"
    resumed.close(finished=False)


def test_publish_sets_the_state(study: Study, wandb_server: WandbServer) -> None:
    begin(study, NoTracker(), 0)
    publish(study, lambda message: None)
    ((_, sweep),) = wandb_server.sweeps.items()
    assert sweep.state == "PAUSED", "its trial has not ended"
    run_trial(study, NoTracker(), 0)
    publish(study, lambda message: None)
    assert sweep.state == "FINISHED"
    wandb_server.set_sweep_state(sweep.name, "CANCELED")
    publish(study, lambda message: None)
    assert sweep.state == "FINISHED"


def test_interrupted_search_without_an_open_trial_is_not_published_as_finished(
    study: Study, wandb_server: WandbServer
) -> None:
    """Unless the search ended by itself, by its budget or patience: then it wrote a ledger of all its trials."""
    study = change_info(study, trials=50)
    run_trial(study, NoTracker(), 0)
    publish(study, lambda message: None)
    ((_, sweep),) = wandb_server.sweeps.items()
    assert (sweep.state, wandb_server.runs["c0ffee00-search"].summary["state"]) == ("PAUSED", "interrupted")
    write_record(study.folder / layout.LEDGER, ledger_of(study).to_dict())
    publish(study, lambda message: None)
    assert (sweep.state, wandb_server.runs["c0ffee00-search"].summary["state"]) == ("FINISHED", "finished")
    run_trial(study, NoTracker(), 1)
    publish(study, lambda message: None)
    assert sweep.state == "PAUSED", "it was resumed"


def test_sweep_without_a_state_is_an_odd_answer(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep(study)
    monkeypatch.setattr(
        wandb_server._store, "_do_sweep_state", lambda variables: {"project": {"sweep": {"id": "1"}}}, raising=False
    )
    with pytest.raises(Unsupported, match=r"^unexpected answer \(KeyError\)$"):
        set_state(sweep, "PAUSED")


@pytest.mark.parametrize("is_unknown", [True, False])
def test_server_without_states_is_noted_once(
    study: Study,
    wandb_server: WandbServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    is_unknown: bool,
) -> None:
    """It has no such field, or keeps a state of its own."""

    def reject(variables: object) -> dict[str, object]:
        raise GraphQLError('Cannot query field "state" on type "Sweep".')

    def keep(identity: str, state: str) -> dict[str, object]:
        return {"upsertSweep": {"sweep": None}}

    replaced = ("_do_sweep_state", reject) if is_unknown else ("_set_sweep_state", keep)
    monkeypatch.setattr(wandb_server._store, *replaced)
    tracker, url = make_tracker(study)
    run_trial(study, tracker, 0)
    wait_until(lambda: "buttons on the sweep page do not reach this search (" in caplog.text)
    assert tracker.close(finished=True) == url
    assert tracker.request is Request.RUN
    assert caplog.text.count("buttons on the sweep page") == caplog.text.count("could not be set (") == 1


def test_state_is_set_once_the_server_works_again(study: Study, wandb_server: WandbServer) -> None:
    wandb_server.fault_at, wandb_server.fault = "SweepState", "500"
    tracker, _ = make_tracker(study)
    wandb_server.wait_for(lambda: wandb_server.operations.count("SweepState") > 1)
    wandb_server.fault = None
    ((_, sweep),) = wandb_server.sweeps.items()
    wandb_server.wait_for(lambda: sweep.states == ["RUNNING"])
    tracker.close(finished=True)
    assert sweep.states == ["RUNNING", "FINISHED"]


def test_paused_search_sees_resume_after_an_odd_answer(study: Study, wandb_server: WandbServer) -> None:
    tracker = started(study, wandb_server)
    ((identity, _),) = wandb_server.sweeps.items()
    wandb_server.set_sweep_state(identity, "PAUSED")
    wait_until(lambda: tracker.request is Request.PAUSE)
    wandb_server.fault_at, wandb_server.fault = "SweepState", "400"
    before = wandb_server.operations.count("SweepState")
    wandb_server.wait_for(lambda: wandb_server.operations.count("SweepState") >= before + 2)
    assert tracker.request is Request.PAUSE
    wandb_server.fault = None
    wandb_server.set_sweep_state(identity, "RUNNING")
    wait_until(lambda: tracker.request is Request.RUN)
    tracker.close(finished=False)


def test_paused_search_whose_sweep_is_deleted_goes_on(
    study: Study, wandb_server: WandbServer, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = started(study, wandb_server)
    ((identity, _),) = wandb_server.sweeps.items()
    wandb_server.set_sweep_state(identity, "PAUSED")
    wait_until(lambda: tracker.request is Request.PAUSE)
    del wandb_server.sweeps[identity]
    wait_until(lambda: tracker.request is Request.RUN)
    assert "buttons on the sweep page do not reach this search (the server has no sweep" in caplog.text
    tracker.close(finished=False)
