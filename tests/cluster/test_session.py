"""A Ray that is joined or started: nobody else can reach our own, and its death is no trial's failure."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import ray_constants
from ray._private.utils import check_version_info
from ray.exceptions import AuthenticationError

from leukemia.base.errors import UserError
from search.cluster import session as cluster
from search.cluster.session import RayDied, RayNotStarted, ray_session


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:port", "ray://127.0.0.1:1", "auto"])
def test_an_address_without_a_ray_is_refused_quickly(address: str) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=rf"--address {address}: no Ray there \(.+\); start one with") as refusal:
        ray_session(address).__enter__()
    assert time.monotonic() - start < 10
    assert "\n" not in str(refusal.value)
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["", ":6379", "127.0.0.1:port", "head"])
def test_an_address_that_is_none_is_said_to_be_none(address: str) -> None:
    with pytest.raises(UserError, match=rf"^--address {address}: .*\(expected HOST:PORT, auto or local\)"):
        ray_session(address).__enter__()


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
def test_what_listens_and_is_no_ray_is_noticed_quickly(monkeypatch: pytest.MonkeyPatch, words: bytes | None) -> None:
    """Ray itself asks such a server for forty seconds."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)

    def answer() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            if words is not None:
                # The first only knocks, and has gone.
                with contextlib.suppress(OSError):
                    connection.sendall(words)
                    connection.shutdown(socket.SHUT_WR)

    kept: list[socket.socket] = []
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        reason = "timed out" if words is None else "what listens there does not speak Ray's protocol"
        # The way in of ``ray_session``; that would ask at the machine's own address instead, not on loopback.
        with pytest.raises(OSError, match=reason):
            cluster._require_welcome(f"127.0.0.1:{listener.getsockname()[1]}")
    assert time.monotonic() - start < 10


def test_an_address_from_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match=r"--address 127\.0\.0\.1:1: no Ray there .* or use --address local"):
        ray_session(None).__enter__()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            Exception("The current node timed out during startup.\nMore."),
            r"The current node timed out during startup\.",
        ),
        (KeyError(), "KeyError"),
    ],
)
def test_a_ray_of_our_own_that_does_not_start_is_one_line_and_no_mistake(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def init(**given: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        RayNotStarted, match=rf"^Ray did not start \({words}\); try again .*session_latest/logs\)$"
    ) as raised:
        ray_session("local").__enter__()
    assert not isinstance(raised.value, UserError)
    assert ray_constants.ENABLE_RAY_CLUSTER, "a cluster may be joined afterwards"


def _other_version(**given: Any) -> None:
    versions = {"ray_version": "2.50.1", "python_version": "3.11.1"}
    check_version_info(versions, "127.0.0.1", raise_on_mismatch=True)


def _whatever(**given: Any) -> None:
    raise Exception("Not today:\n    ...")


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (_whatever, r"no Ray there \(Not today:\); start one with .* or use --address local"),
        (
            _other_version,
            rf"the cluster has Ray 2\.50\.1, Python 3\.11\.1, this environment Ray {re.escape(ray.__version__)}, "
            rf"Python {platform.python_version()}; install the cluster's here, or run on its head",
        ),
    ],
)
def test_why_a_cluster_cannot_be_joined_is_one_line(
    monkeypatch: pytest.MonkeyPatch, init: Callable[..., None], words: str
) -> None:
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster, "_require_welcome", lambda address: None)
    with pytest.raises(UserError, match=rf"^--address 127\.0\.0\.1:9: {words}$"):
        ray_session("127.0.0.1:9").__enter__()


def test_a_cluster_that_asks_for_its_token_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> None:
        raise AuthenticationError("Unauthenticated")

    monkeypatch.setattr(cluster, "_require_answer", refuse)
    with pytest.raises(
        UserError, match=r"^--address 127\.0\.0\.1:9: .* its token; .* \(mode 0600\) and set RAY_AUTH_MODE"
    ):
        ray_session("127.0.0.1:9").__enter__()


class Node:
    """What Ray knows of the processes that it has started here."""

    def __init__(self, dead: list[str]) -> None:
        self.dead = dead

    def dead_processes(self) -> list[tuple[str, object]]:
        return [(name, object()) for name in self.dead]

    def kill_all_processes(self, check_alive: bool, allow_graceful: bool) -> None:
        assert not check_alive
        assert allow_graceful
        self.dead = ["all"]


@pytest.mark.parametrize(("dead", "gone"), [(["raylet"], True), (["log_monitor", "gcs_server"], True), ([], False)])
def test_a_trial_that_dies_with_ray_is_not_called_failed(
    monkeypatch: pytest.MonkeyPatch, dead: list[str], gone: bool
) -> None:
    monkeypatch.setattr(cluster, "_pulse", cluster._Pulse())
    monkeypatch.setattr(cluster.ray_private.worker, "_global_node", Node(dead))
    if gone:
        with pytest.raises(RayDied, match=rf"^Ray died \({dead[-1]}\)$"):
            cluster.require_ray()
    else:
        cluster.require_ray()
    assert not issubclass(RayDied, Exception), "Tune would wait for its dead Ray"


@pytest.mark.parametrize(("closed", "words"), [(0, r"its head at 127\.0\.0\.1:\d+"), (1, "its raylet on this machine")])
def test_a_joined_cluster_that_answers_no_more_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: int, words: str
) -> None:
    monkeypatch.setattr(cluster, "KNOCK_SECONDS", 0.01)
    monkeypatch.setattr(cluster, "_pulse", pulse := cluster._Pulse())
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as head, socket.socket(socket.AF_UNIX) as raylet:
        raylet.bind(str(tmp_path / "raylet"))
        raylet.listen(1000)
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setattr(cluster.ray_private.worker, "_global_node", Node([]))
        with pulse.felt(cluster._knocks_at(address, str(tmp_path / "raylet"))):
            time.sleep(0.1)
            assert pulse.dead is None
            (head, raylet)[closed].close()
            deadline = time.monotonic() + 20
            while pulse.dead is None and time.monotonic() < deadline:
                time.sleep(0.01)
            with pytest.raises(RayDied, match=rf"^the Ray cluster died: {words} does not answer$"):
                cluster.require_ray()


@pytest.mark.parametrize("waits", [True, False])
def test_the_thread_ends_a_search_only_while_it_waits_within_ray(monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    said: list[str] = []
    ended = threading.Event()
    monkeypatch.setattr(cluster, "KNOCK_SECONDS", 0.01)
    monkeypatch.setattr(cluster, "NOTICE_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "_end_now", ended.set)
    monkeypatch.setattr(cluster, "_pulse", pulse := cluster._Pulse())
    monkeypatch.setattr(cluster.ray_private.worker, "_global_node", node := Node([]))
    cluster.on_death(said.append)
    with pulse.felt({}):
        if not waits:
            cluster.stop_watching()
        node.dead = ["gcs_server"]
        assert ended.wait(10 if waits else 0.5) == waits
    assert said == (["Ray died (gcs_server)"] if waits else [])
    assert node.dead == (["all"] if waits else ["gcs_server"])


WAITS_FOR_THE_DEAD = """
import os, signal, sys
import ray
from ray._private import worker
from search.cluster import session as cluster
with cluster.ray_session("local"):
    cluster.on_death(lambda words: print(words, file=sys.stderr))
    started = {name: each[0].process.pid for name, each in worker._global_node.all_processes.items()}
    print(*started.values(), flush=True)
    os.kill(started["gcs_server"], signal.SIGKILL)
    ray.nodes()
"""


@pytest.mark.slow
def test_a_search_that_waits_within_ray_for_the_dead_ends_in_its_own_words() -> None:
    """Ray's call returns never, and after a minute Ray would end the process in words of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    ran = subprocess.run(
        [sys.executable, "-c", WAITS_FOR_THE_DEAD],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (1, "Ray died (gcs_server)\n")
    pids = ran.stdout.split()
    assert len(pids) >= 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def listening(pids: set[int]) -> dict[str, str]:
    """Address of each TCP socket that these processes listen on: from /proc, hexadecimal as there."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found[fields[9]] = fields[1].split(":")[0]
    return found


def family(root: int) -> set[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found, new = {root}, [root]
    while new:
        new = [child for pid in new for child in children.get(pid, [])]
        found |= set(new)
    return found


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_our_own_ray_listens_on_loopback_only_and_leaves_no_process(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "deadbeef" * 5
    monkeypatch.setenv("WANDB_API_KEY", key)
    before = family(os.getpid())

    @ray.remote
    class Worker:
        def pid(self) -> int:
            return os.getpid()

    with ray_session("local") as own:
        assert own
        assert cluster.is_own()
        worker = Worker.remote()
        pid = ray.get(worker.pid.remote())
        ours = family(os.getpid())
        assert pid in ours
        addresses = listening(ours)
        assert len(addresses) >= 4
        assert set(addresses.values()) <= LOOPBACK
        for process in ours - before - {os.getpid()}:
            assert key.encode() not in Path(f"/proc/{process}/environ").read_bytes()
        assert os.environ["WANDB_API_KEY"] == key, "the driver keeps it"
    assert ray_constants.ENABLE_RAY_CLUSTER, "a cluster may be joined afterwards"
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ
    deadline = time.monotonic() + 20
    while family(os.getpid()) - before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert family(os.getpid()) - before == set()
    assert capfd.readouterr() == ("", "")
