"""A Ray that is joined or started: errors on joining, and our own Ray is unreachable for others."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
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
from search.cluster import heartbeat, ray_private, session
from search.cluster.session import RayNotStarted, ray_session


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "127.0.0.1:port", "ray://127.0.0.1:1", "auto"])
def test_an_address_without_ray_is_refused_before_ray_connects(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would retry for half a minute."""
    calls: list[Any] = []
    for module, name in ((ray_private, "GcsClient"), (ray, "init")):
        monkeypatch.setattr(module, name, lambda **given: calls.append(given))
    with pytest.raises(
        UserError, match=rf"--address {address}: no Ray cluster found there \(.+\); start one with"
    ) as refusal:
        ray_session(address).__enter__()
    assert calls == []
    assert "\n" not in str(refusal.value)
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["", ":6379", "127.0.0.1:port", "head"])
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=rf"^--address {address}: .*\(expected HOST:PORT, auto or local\)"):
        ray_session(address).__enter__()


@pytest.mark.parametrize("response", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
def test_a_service_that_is_not_ray_is_refused_before_ray_connects(
    monkeypatch: pytest.MonkeyPatch, response: bytes | None
) -> None:
    """Ray itself tries to connect to such a server for forty seconds."""
    monkeypatch.setattr(heartbeat, "TIMEOUT_SECONDS", 0.5 if response is None else 120)
    monkeypatch.setattr(ray_private, "GcsClient", lambda **_: pytest.fail("Ray connects"))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            if response is not None:
                # The first connection is only a ping and already closed.
                with contextlib.suppress(OSError):
                    connection.sendall(response)
                    connection.shutdown(socket.SHUT_WR)

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        reason = "timed out" if response is None else "the service at that address is not Ray"
        # Called directly: ``ray_session`` would use the machine's own address, not loopback.
        with pytest.raises(OSError, match=reason):
            session._require_access(f"127.0.0.1:{listener.getsockname()[1]}")


def test_an_address_from_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(
        UserError, match=r"^RAY_ADDRESS=127\.0\.0\.1:1: no Ray cluster found there .* or use --address local"
    ):
        ray_session(None).__enter__()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            Exception("The current node timed out during startup.\nMore."),
            r"The current node timed out during startup\.",
        ),
        (KeyError(), "KeyError"),
    ],
)
def test_failure_to_start_our_own_ray_is_one_line_and_no_user_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def init(**given: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(
        RayNotStarted, match=rf"^Ray did not start \({message}\); try again .*session_latest/logs\)$"
    ) as raised:
        ray_session("local").__enter__()
    assert not isinstance(raised.value, UserError)
    assert ray_constants.ENABLE_RAY_CLUSTER, "a cluster may be joined afterwards"


def test_our_own_ray_gets_the_cpus_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all of the machine, which Ray would count."""
    counts: list[int] = []

    def init(**given: Any) -> None:
        counts.append(given["num_cpus"])
        raise ConnectionError

    monkeypatch.setattr(session, "available_cpus", lambda: 3)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RayNotStarted):
        ray_session("local").__enter__()
    assert counts == [3]


def _other_version(**given: Any) -> None:
    versions = {"ray_version": "2.50.1", "python_version": "3.11.1"}
    check_version_info(versions, "127.0.0.1", raise_on_mismatch=True)


def _unknown_error(**given: Any) -> None:
    raise Exception("Not today:\n    ...")


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (_unknown_error, r"no Ray cluster found there \(Not today:\); start one with .* or use --address local"),
        (
            _other_version,
            rf"the cluster has Ray 2\.50\.1, Python 3\.11\.1, this environment Ray {re.escape(ray.__version__)}, "
            rf"Python {platform.python_version()}; install the cluster's here, or run on its head",
        ),
    ],
)
def test_the_reason_why_a_cluster_cannot_be_joined_is_one_line(
    monkeypatch: pytest.MonkeyPatch, init: Callable[..., None], message: str
) -> None:
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(session, "_require_access", lambda address: None)
    with pytest.raises(UserError, match=rf"^--address 127\.0\.0\.1:9: {message}$"):
        ray_session("127.0.0.1:9").__enter__()


def test_a_missing_token_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(address: str) -> None:
        raise AuthenticationError("Unauthenticated")

    monkeypatch.setattr(heartbeat, "ping_address", refuse)
    with pytest.raises(
        UserError, match=r"^--address 127\.0\.0\.1:9: .* its token; .* \(mode 0600\) and set RAY_AUTH_MODE"
    ):
        ray_session("127.0.0.1:9").__enter__()


def listening(pids: set[int]) -> dict[str, str]:
    """Address of each TCP socket that these processes listen on, hexadecimal as in /proc."""
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


def process_tree(root: int) -> set[int]:
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
    before = process_tree(os.getpid())

    @ray.remote
    class Worker:
        def pid(self) -> int:
            return os.getpid()

    with ray_session("local") as own:
        assert own
        assert ray_private.is_own()
        worker = Worker.remote()
        pid = ray.get(worker.pid.remote())
        ours = process_tree(os.getpid())
        assert pid in ours
        addresses = listening(ours)
        assert len(addresses) >= 4
        assert set(addresses.values()) <= LOOPBACK
        for process in ours - before - {os.getpid()}:
            assert key.encode() not in Path(f"/proc/{process}/environ").read_bytes()
        assert os.environ["WANDB_API_KEY"] == key, "the driver keeps it"
    assert ray_constants.ENABLE_RAY_CLUSTER, "a cluster may be joined afterwards"
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR not in os.environ
    deadline = time.monotonic() + 200
    while process_tree(os.getpid()) - before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert process_tree(os.getpid()) - before == set()
    assert capfd.readouterr() == ("", "")
