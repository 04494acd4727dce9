"""The fake Weights & Biases server works with the real client and stores what the client uploads."""

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
"""Logs steps first to last - 1, then finishes, or waits to be killed."""


@pytest.fixture(autouse=True)
def clean_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A client without settings, caches and keys from outside the test."""
    for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    (tmp_path / "netrc").touch()
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    # The client sets these when it creates a sweep; set them first, so that monkeypatch restores them.
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
    """Quiet, with short intervals for uploads, retries and timeouts; the client rounds fractions of a second to 0."""
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
    """Steps and values of a series."""
    return [(row["_step"], row[name]) for row in server.runs[run_id].history if name in row]


def test_run_is_stored_as_logged(server: WandbServer) -> None:
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


def test_sweep_has_ranges_and_prior_runs_and_accepts_new_runs(server: WandbServer) -> None:
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


def test_unknown_sweep_is_rejected(server: WandbServer) -> None:
    with pytest.raises(wandb.errors.Error, match="sweep nowhere not found"):
        begin("r1", given=settings(sweep_id="nowhere"))
    assert server.runs == {}


def test_killed_run_is_resumed(server: WandbServer) -> None:
    command = [sys.executable, "-c", PROCESS]
    killed = subprocess.Popen([*command, "0", "4", "wait"], start_new_session=True)
    try:
        # The client keeps the latest step until the next one starts.
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


def test_artifact_is_committed_and_used(server: WandbServer, tmp_path: Path) -> None:
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


def test_artifact_with_the_same_content_is_not_a_new_version(server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("model")
    for number in range(2):
        artifact = wandb.Artifact("best", "model")
        artifact.add_file(str(tmp_path / "model.txt"))
        run = begin(f"maker{number}")
        run.log_artifact(artifact, aliases=[f"by-{number}"]).wait(timeout=100)
        run.finish()
    assert list(server.artifacts) == ["best:v0"]
    assert sorted(server.artifacts["best:v0"].aliases) == ["by-0", "by-1", "latest"]


def test_artifact_created_for_use_is_not_logged_by_the_run(server: WandbServer, tmp_path: Path) -> None:
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


def test_artifact_with_a_failed_commit_stays_pending(server: WandbServer, tmp_path: Path) -> None:
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


def test_wrong_key_is_rejected_immediately(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    with pytest.raises(wandb.errors.CommError, match="user is not logged in"):
        begin("r1")
    assert server.runs == {}
    assert {request.status for request in server.requests} == {401}


def test_user_is_identified_by_the_key(server: WandbServer) -> None:
    def ask(key: str) -> requests.Response:
        question = {"query": "query { viewer { id } }"}
        return requests.post(f"{server.url}/graphql", json=question, auth=("api", key), timeout=50)

    assert ask(KEY).json()["data"]["viewer"]["id"] == "lab"
    assert ask("f" * 40).status_code == 401
    server.key = "f" * 40
    assert ask("f" * 40).ok


def test_key_is_not_stored(server: WandbServer) -> None:
    begin("r1").finish()
    assert all("authorization" not in request.headers for request in server.requests)
    assert KEY not in repr(server.requests)


@pytest.mark.parametrize("fault", ["500", "401", "drop", "hang"])
def test_faulty_server_opens_no_run(server: WandbServer, fault: Any) -> None:
    server.fault = fault
    with pytest.raises(wandb.errors.CommError):
        begin("r1", given=settings(init_timeout=1))
    assert server.runs == {}
    assert server.num_requests > 0


def test_slow_server_answers_late(server: WandbServer) -> None:
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
def test_run_survives_a_temporary_fault_without_loss_or_duplicates(server: WandbServer, fault: Any) -> None:
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


def test_run_survives_a_server_restart(server: WandbServer) -> None:
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
def test_run_whose_key_is_rejected_ends_silently_and_can_be_synced(server: WandbServer, tmp_path: Path) -> None:
    run = begin("r1")
    run.log({"loss": 0}, step=0, commit=True)
    server.wait_for(lambda: "wandb-history.jsonl" in server.runs["r1"].streams)
    server.fault = "401"
    run.log({"loss": 1}, step=1, commit=True)
    server.wait_for(lambda: server.requests[-1].status == 401)
    server.fault = None
    run.log({"loss": 2}, step=2, commit=True)
    run.finish()
    # The client completes its folder only at teardown.
    wandb.teardown()
    assert (series(server, "r1", "loss"), server.runs["r1"].complete) == ([(0, 0)], False)
    (folder,) = (tmp_path / "DIR" / "wandb").glob("run-*")
    # By default, sync skips runs that were online.
    command = [sys.executable, "-m", "wandb", "sync", "--no-skip-online", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    assert (series(server, "r1", "loss"), server.runs["r1"].complete) == ([(0, 0), (1, 1), (2, 2)], True)


def test_stop_button_stops_the_run(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client polls every 15 seconds.
    monkeypatch.setattr("wandb.sdk.lib.run_stopping._SLEEP", lambda seconds: asyncio.sleep(0.05))
    stopped = {name: threading.Event() for name in ("r1", "r2")}
    runs = [begin(name, given=settings(stop_fn=event.set)) for name, event in stopped.items()]
    server.stop_run("r1")
    for run in runs:
        run.log({"loss": 1}, step=0, commit=True)
    assert stopped["r1"].wait(100)
    for run in runs:
        run.finish()
    assert not stopped["r2"].is_set()


def test_offline_run_is_synced(server: WandbServer, tmp_path: Path) -> None:
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


def test_unsupported_requests_are_recorded_and_rejected() -> None:
    with WandbServer() as server:
        answer = requests.post(
            f"{server.url}/graphql", json={"query": "query Weather { sky }"}, auth=("api", KEY), timeout=50
        )
        assert answer.json()["errors"] == [{"message": "unknown operation 'Weather'"}]
        assert requests.get(f"{server.url}/nowhere", auth=("api", KEY), timeout=50).status_code == 404
        assert server.unknown == ["Weather", "GET /nowhere"]
        assert server.operations == ["Weather"]


def test_unknown_fault_is_rejected() -> None:
    with pytest.raises(
        ValueError, match="fault: expected None or one of 500, 400, 401, 403, slow, hang, drop, lost, got 'broken'"
    ):
        WandbServer().fault = "broken"  # type: ignore[assignment]


def test_wait_times_out() -> None:
    with (
        WandbServer() as server,
        pytest.raises(TimeoutError, match=r"^condition not met after 0\.1 s; last requests: \[\]$"),
    ):
        server.wait_for(lambda: server.runs, seconds=0.1)
