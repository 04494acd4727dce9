"""The stand-in for Weights & Biases' server: the real client is content with it, and what it was told it holds."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import wandb
from helpers.wandb_server import KEY, WandbServer

SWEEP = {"method": "random", "parameters": {"lr": {"min": 0.1, "max": 1.0}, "optimizer": {"values": ["adam", "sgd"]}}}

PROCESS = """
import sys, time, wandb
first, last, end = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
settings = wandb.Settings(
    silent=True, console="off", x_disable_stats=True, x_disable_meta=True, x_file_stream_transmit_interval=1
)
run = wandb.init(project="cells", id="long", config={"first": first}, resume="allow", settings=settings)
for step in range(first, last):
    run.log({"loss": 1 / (1 + step)}, step=step)
if end == "wait":
    time.sleep(3600)
run.finish()
"""
"""Logs steps first to last - 1, and then ends or waits for its end."""


@pytest.fixture(autouse=True)
def clean_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A client that has read nothing and keeps nothing, and that has no key but that of this test."""
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    (tmp_path / "netrc").touch()
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    # The client itself sets these two when it makes a sweep: set first, so that they are restored.
    for name in ("WANDB_ENTITY", "WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    with WandbServer() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        yield running
        running.fault = None
        wandb.teardown()
        assert running.unknown == []


def settings(**more: Any) -> wandb.Settings:
    """Quiet, and quick to deliver, to try again and to give up. Of a second's parts, the client makes nothing."""
    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        x_save_requirements=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_file_stream_transmit_interval=1,
        x_file_stream_retry_wait_min_seconds=1,
        x_file_stream_retry_wait_max_seconds=1,
        x_graphql_retry_wait_min_seconds=1,
        x_graphql_retry_wait_max_seconds=1,
        finish_timeout=100,
        finish_timeout_raises=True,
        **({"init_timeout": 100} | more),
    )


def begin(run_id: str, *, given: wandb.Settings | None = None, **more: Any) -> Any:
    return wandb.init(project="cells", id=run_id, reinit="create_new", settings=given or settings(), **more)


def series(server: WandbServer, run_id: str, name: str) -> list[tuple[int, Any]]:
    """Steps and values of one series."""
    return [(row["_step"], row[name]) for row in server.runs[run_id].history if name in row]


def test_a_run_arrives_as_it_was_logged(server: WandbServer) -> None:
    run = begin(
        "r1", name="first", group="study", job_type="trial", tags=["a", "b"], config={"lr": 0.1, "deep": {"x": 1}}
    )
    for step in (0, 1, 5):
        run.log({"loss": step / 3, "epoch": step}, step=step)
    run.summary.update({"state": "failed"})
    run.finish(exit_code=3)
    found = server.runs["r1"]
    assert (found.entity, found.project, found.display_name) == ("lab", "cells", "first")
    assert (found.group, found.job_type, found.tags) == ("study", "trial", ["a", "b"])
    assert found.config == {"lr": 0.1, "deep": {"x": 1}}
    assert series(server, "r1", "loss") == [(0, 0), (1, 1 / 3), (5, 5 / 3)]
    assert found.summary.items() >= {"loss": 5 / 3, "epoch": 5, "state": "failed"}.items()
    assert (found.exit_code, found.complete, found.num_inits, found.sweep) == (3, True, 1, None)
    assert {"config.yaml", "wandb-summary.json"} <= set(found.files)


def test_many_runs_are_kept_apart(server: WandbServer) -> None:
    runs = [begin(f"r{number}") for number in range(3)]
    for number, run in enumerate(runs):
        run.log({"loss": number}, step=0)
    for run in runs:
        run.finish()
    assert [series(server, f"r{number}", "loss") for number in range(3)] == [[(0, 0)], [(0, 1)], [(0, 2)]]
    assert all(run.complete and run.exit_code == 0 for run in server.runs.values())


def test_a_sweep_knows_its_ranges_and_prior_runs_and_takes_new_ones(server: WandbServer) -> None:
    for number in range(2):
        begin(f"r{number}").finish()
    sweep_id = wandb.sweep(SWEEP, project="cells", prior_runs=["r0", "r1"])
    sweep = server.sweeps[sweep_id]
    assert (sweep.name, sweep.project, sweep.prior_runs) == (sweep_id, "cells", ["r0", "r1"])
    assert sweep.config["method"] == "random"
    assert sweep.config["parameters"]["lr"].items() >= {"min": 0.1, "max": 1.0}.items()
    assert sweep.config["parameters"]["optimizer"] == {"values": ["adam", "sgd"]}
    begin("r2", given=settings(sweep_id=sweep_id)).finish()
    assert [run.sweep for run in server.runs.values()] == [None, None, sweep_id]


def test_an_unknown_sweep_is_refused(server: WandbServer) -> None:
    with pytest.raises(wandb.errors.Error, match="sweep nowhere not found"):
        begin("r1", given=settings(sweep_id="nowhere"))
    assert server.runs == {}


def test_a_killed_run_goes_on_where_the_server_has_it(server: WandbServer) -> None:
    command = [sys.executable, "-c", PROCESS]
    killed = subprocess.Popen([*command, "0", "4", "wait"], start_new_session=True)
    try:
        # The client holds the newest step back until the next begins.
        server.wait_for(lambda: "long" in server.runs and len(server.runs["long"].history) == 3)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    assert not server.runs["long"].complete
    subprocess.run([*command, "2", "6", "end"], check=True, stderr=subprocess.DEVNULL)
    (run,) = server.runs.values()
    assert series(server, "long", "loss") == [(step, 1 / (1 + step)) for step in range(6)]
    assert len(run.lines("wandb-history.jsonl")) == 6
    assert (run.num_inits, run.complete, run.exit_code) == (2, True, 0)
    assert run.config == {"first": 2}


def test_an_artifact_is_committed_and_used(server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a b.bin").write_bytes(b"\x00\x01")
    for number in range(2):
        (tmp_path / "model.txt").write_text(f"model {number}")
        artifact = wandb.Artifact("best", "model", metadata={"score": number})
        artifact.add_file(str(tmp_path / "model.txt"))
        artifact.add_dir(str(tmp_path / "weights"), name="weights")
        run = begin(f"maker{number}")
        run.log_artifact(artifact, aliases=["winner"]).wait(timeout=100)
        run.finish()
    old, new = server.artifacts["best:v0"], server.artifacts["best:v1"]
    assert (old.aliases, sorted(new.aliases)) == ([], ["latest", "winner"])
    assert (new.type, new.collection, new.version, new.state) == ("model", "best", 1, "COMMITTED")
    assert (new.created_by, new.metadata, new.used_by) == ("maker1", {"score": 1}, [])
    assert new.files == {"model.txt": b"model 1", "weights/a b.bin": b"\x00\x01"}
    run = begin("user")
    used = run.use_artifact("best:winner")
    folder = Path(used.download(str(tmp_path / "down")))
    run.finish()
    assert (used.version, used.digest, used.metadata) == ("v1", new.digest, {"score": 1})
    assert (folder / "model.txt").read_text() == "model 1"
    assert (folder / "weights" / "a b.bin").read_bytes() == b"\x00\x01"
    assert (old.used_by, new.used_by) == ([], ["user"])


def test_an_artifact_of_the_same_content_is_no_new_version(server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("model")
    for number in range(2):
        artifact = wandb.Artifact("best", "model")
        artifact.add_file(str(tmp_path / "model.txt"))
        run = begin(f"maker{number}")
        run.log_artifact(artifact, aliases=[f"by-{number}"]).wait(timeout=100)
        run.finish()
    assert list(server.artifacts) == ["best:v0"]
    assert sorted(server.artifacts["best:v0"].aliases) == ["by-0", "by-1", "latest"]


def test_an_artifact_that_a_run_brings_along_is_used_but_not_made_by_it(server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("data")
    artifact = wandb.Artifact("cells", "dataset")
    artifact.add_file(str(tmp_path / "data.txt"))
    run = begin("user")
    run.use_artifact(artifact)
    run.finish()
    made = server.artifacts["cells:v0"]
    assert (made.files, made.created_by, made.used_by) == ({"data.txt": b"data"}, None, ["user"])


def test_aliases_move_when_a_logged_artifact_is_saved(server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("model")
    artifact = wandb.Artifact("best", "model")
    artifact.add_file(str(tmp_path / "model.txt"))
    run = begin("maker")
    logged = run.log_artifact(artifact, aliases=["candidate"]).wait(timeout=100)
    logged.aliases.append("winner")
    logged.aliases.remove("candidate")
    logged.save()
    run.finish()
    assert sorted(server.artifacts["best:v0"].aliases) == ["latest", "winner"]


def test_an_artifact_whose_commit_fails_stays_pending(server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("model")
    artifact = wandb.Artifact("best", "model")
    artifact.add_file(str(tmp_path / "model.txt"))
    run = begin("maker", given=settings(x_graphql_retry_max=1))
    server.fault_at, server.fault = "CommitArtifact", "500"
    with pytest.raises(Exception, match="500"):
        run.log_artifact(artifact).wait(timeout=100)
    run.finish()
    (pending,) = server.artifacts.values()
    assert (pending.state, pending.version, pending.aliases) == ("PENDING", None, [])
    assert server.runs["maker"].complete


def test_a_wrong_key_is_refused_at_once(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    with pytest.raises(wandb.errors.CommError, match="user is not logged in"):
        begin("r1")
    assert server.runs == {}
    assert {request.status for request in server.requests} == {401}


def test_the_front_door_knows_the_user_by_the_key(server: WandbServer) -> None:
    def ask(key: str) -> requests.Response:
        question = {"query": "query { viewer { id } }"}
        return requests.post(f"{server.url}/graphql", json=question, auth=("api", key), timeout=50)

    assert ask(KEY).json()["data"]["viewer"]["id"] == "lab"
    assert ask("f" * 40).status_code == 401
    server.key = "f" * 40
    assert ask("f" * 40).ok


def test_the_key_is_not_kept(server: WandbServer) -> None:
    begin("r1").finish()
    assert all("authorization" not in request.headers for request in server.requests)
    assert KEY not in repr(server.requests)


@pytest.mark.parametrize("fault", ["500", "401", "drop", "hang"])
def test_a_sick_server_opens_no_run(server: WandbServer, fault: Any) -> None:
    server.fault = fault
    with pytest.raises(wandb.errors.CommError):
        begin("r1", given=settings(init_timeout=1))
    assert server.runs == {}
    assert server.num_requests > 0


def test_a_slow_server_is_late(server: WandbServer) -> None:
    server.fault, server.delay = "slow", 0.3
    run = begin("r1")
    run.log({"loss": 1}, step=0)
    run.finish()
    assert server.runs["r1"].complete
    server.fault = None
    assert server.num_in_flight == 0


@pytest.mark.parametrize(
    "fault", ["500", "lost", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("drop", "hang"))]
)
def test_a_run_survives_a_sick_server_without_loss_or_repeat(server: WandbServer, fault: Any) -> None:
    run = begin("r1", given=settings(x_file_stream_timeout_seconds=1))
    run.log({"loss": 0}, step=0)
    run.log({"loss": 1}, step=1)
    server.wait_for(lambda: series(server, "r1", "loss"))
    before = server.num_requests
    server.fault_at, server.fault = "file_stream", fault
    for step in range(2, 6):
        run.log({"loss": step}, step=step)
    server.wait_for(lambda: server.num_requests >= before + 2)
    server.fault = None
    run.finish()
    assert series(server, "r1", "loss") == [(step, step) for step in range(6)]
    assert len(server.runs["r1"].lines("wandb-history.jsonl")) == 6
    assert server.runs["r1"].complete


def test_a_run_outlives_the_death_of_the_server(server: WandbServer) -> None:
    run = begin("r1")
    url = server.url
    run.log({"loss": 0}, step=0)
    run.log({"loss": 1}, step=1)
    server.wait_for(lambda: series(server, "r1", "loss"))
    server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=1)
    for step in range(2, 6):
        run.log({"loss": step}, step=step)
    server.start()
    assert server.url == url
    run.finish()
    assert series(server, "r1", "loss") == [(step, step) for step in range(6)]
    assert server.runs["r1"].complete


@pytest.mark.slow
def test_a_key_refused_on_the_way_ends_a_run_in_silence_until_its_folder_is_sent(
    server: WandbServer, tmp_path: Path
) -> None:
    run = begin("r1")
    run.log({"loss": 0}, step=0, commit=True)
    server.wait_for(lambda: "wandb-history.jsonl" in server.runs["r1"].streams)
    server.fault = "401"
    run.log({"loss": 1}, step=1, commit=True)
    server.wait_for(lambda: server.requests[-1].status == 401)
    server.fault = None
    run.log({"loss": 2}, step=2, commit=True)
    run.finish()
    # The client writes its folder to the end when it ends itself.
    wandb.teardown()
    assert (series(server, "r1", "loss"), server.runs["r1"].complete) == ([(0, 0)], False)
    (folder,) = (tmp_path / "DIR" / "wandb").glob("run-*")
    # Runs that were online are left out unless they are asked for.
    command = [sys.executable, "-m", "wandb", "sync", "--no-skip-online", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    assert (series(server, "r1", "loss"), server.runs["r1"].complete) == ([(0, 0), (1, 1), (2, 2)], True)


def test_the_stop_button_is_heard(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client asks itself every 15 seconds.
    monkeypatch.setattr("wandb.sdk.lib.run_stopping._SLEEP", lambda seconds: asyncio.sleep(0.05))
    heard = {name: threading.Event() for name in ("r1", "r2")}
    runs = [begin(name, given=settings(stop_fn=event.set)) for name, event in heard.items()]
    server.stop_run("r1")
    for run in runs:
        run.log({"loss": 1}, step=0, commit=True)
    assert heard["r1"].wait(100)
    for run in runs:
        run.finish()
    assert not heard["r2"].is_set()


def test_an_offline_run_arrives_by_sync(server: WandbServer, tmp_path: Path) -> None:
    run = begin("r1", mode="offline", group="study", config={"lr": 0.1})
    for step in range(3):
        run.log({"loss": step}, step=step)
    run.finish(exit_code=1)
    wandb.teardown()
    assert server.runs == {}
    (folder,) = (tmp_path / "DIR" / "wandb").glob("offline-run-*")
    subprocess.run([sys.executable, "-m", "wandb", "sync", str(folder)], check=True, capture_output=True)
    found = server.runs["r1"]
    assert (found.group, found.config, found.exit_code, found.complete) == ("study", {"lr": 0.1}, 1, True)
    assert series(server, "r1", "loss") == [(0, 0), (1, 1), (2, 2)]


def test_what_the_server_cannot_answer_is_kept_and_refused() -> None:
    with WandbServer() as server:
        answer = requests.post(
            f"{server.url}/graphql", json={"query": "query Weather { sky }"}, auth=("api", KEY), timeout=50
        )
        assert answer.json()["errors"] == [{"message": "unknown operation 'Weather'"}]
        assert requests.get(f"{server.url}/nowhere", auth=("api", KEY), timeout=50).status_code == 404
        assert server.unknown == ["Weather", "GET /nowhere"]
        assert server.operations == ["Weather"]


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="fault: expected None or one of 500, 401, slow, hang, drop, lost, got 'ill'"):
        WandbServer().fault = "ill"  # type: ignore[assignment]


def test_waiting_in_vain_is_an_error() -> None:
    with WandbServer() as server, pytest.raises(TimeoutError, match=r"waited 0\.1 s"):
        server.wait_for(lambda: server.runs, seconds=0.1)
