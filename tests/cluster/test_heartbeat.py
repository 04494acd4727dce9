"""Ray is watched: its crash is noticed at once, and no trial counts as failed because of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from search.cluster import heartbeat, ray_private
from search.cluster.heartbeat import RayCrashed


class Node:
    """Ray's record of the processes that it has started here."""

    def __init__(self, dead: list[str]) -> None:
        self.dead = dead

    def dead_processes(self) -> list[tuple[str, object]]:
        return [(name, object()) for name in self.dead]

    def kill_all_processes(self, check_alive: bool, allow_graceful: bool) -> None:
        assert not check_alive
        assert allow_graceful
        self.dead = ["all"]


@pytest.mark.parametrize(("dead", "gone"), [(["raylet"], True), (["log_monitor", "gcs_server"], True), ([], False)])
def test_a_trial_that_ends_with_ray_has_not_failed(
    monkeypatch: pytest.MonkeyPatch, dead: list[str], gone: bool
) -> None:
    monkeypatch.setattr(heartbeat, "_monitor", heartbeat.HeartbeatMonitor())
    monkeypatch.setattr(ray_private.worker, "_global_node", Node(dead))
    if gone:
        with pytest.raises(RayCrashed, match=rf"^Ray crashed \({dead[-1]}\)$"):
            heartbeat.require_ray()
    else:
        heartbeat.require_ray()
    assert not issubclass(RayCrashed, Exception), "Tune would wait for a crashed Ray"


@pytest.mark.parametrize(("closed", "name"), [(0, r"its head at 127\.0\.0\.1:\d+"), (1, "its raylet on this machine")])
def test_a_joined_cluster_that_stops_responding_is_unreachable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: int, name: str
) -> None:
    monkeypatch.setattr(heartbeat, "PING_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "_monitor", monitor := heartbeat.HeartbeatMonitor())
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as head, socket.socket(socket.AF_UNIX) as raylet:
        raylet.bind(str(tmp_path / "raylet"))
        raylet.listen(1000)
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setattr(ray_private.worker, "_global_node", Node([]))
        with monitor.watching(heartbeat.pings_of(address, str(tmp_path / "raylet"))):
            time.sleep(0.1)
            assert monitor.crash is None
            (head, raylet)[closed].close()
            deadline = time.monotonic() + 120
            while monitor.crash is None and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(RayCrashed, match=rf"^the Ray cluster is unreachable: no response from {name}$"):
                heartbeat.require_ray()


@pytest.mark.parametrize("waits", [True, False])
def test_the_thread_ends_a_search_only_while_it_is_blocked_in_ray(monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    printed: list[str] = []
    ended = threading.Event()
    monkeypatch.setattr(heartbeat, "PING_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "NOTICE_SECONDS", 0.05)
    monkeypatch.setattr(heartbeat, "exit_now", ended.set)
    monkeypatch.setattr(heartbeat, "_monitor", monitor := heartbeat.HeartbeatMonitor())
    monkeypatch.setattr(ray_private.worker, "_global_node", node := Node([]))
    heartbeat.on_crash(printed.append)
    with monitor.watching({}):
        if not waits:
            heartbeat.stop_watching()
        node.dead = ["gcs_server"]
        assert ended.wait(120 if waits else 0.5) == waits
    assert printed == (["Ray crashed (gcs_server)"] if waits else [])
    assert node.dead == (["all"] if waits else ["gcs_server"])


BLOCKED_IN_RAY = """
import os, signal, sys
import ray
from ray._private import worker
from search.cluster import heartbeat
from search.cluster.session import ray_session
with ray_session("local"):
    heartbeat.on_crash(lambda message: print(message, file=sys.stderr))
    started = {name: each[0].process.pid for name, each in worker._global_node.all_processes.items()}
    print(*started.values(), flush=True)
    os.kill(started["gcs_server"], signal.SIGKILL)
    ray.nodes()
"""


@pytest.mark.slow
def test_a_search_blocked_in_a_crashed_ray_exits_with_its_own_message() -> None:
    """The call to Ray never returns, and after a minute Ray would end the process with its own message."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED_IN_RAY],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        timeout=1200,
    )
    assert (ran.returncode, ran.stderr) == (1, "Ray crashed (gcs_server)\n")
    pids = ran.stdout.split()
    assert len(pids) >= 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
