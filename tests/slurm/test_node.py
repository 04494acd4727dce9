"""Ray on one node of a job, started as ``srun`` starts it: with a token on standard input, until that ends."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from helpers.hosts import ROOT, wait_until

from leukemia.base.errors import UserError
from search.slurm.allocation import Share
from search.slurm.node import (
    HEAD,
    SHARED_MEMORY,
    NodeSpec,
    _private_folder,
    own_address,
    ray_environment,
    start_command,
    temporary,
)
from search.slurm.ports import CLIENT, HEAD_OPTIONS, ports_of

TOKEN = "0123456789abcdef" * 4
SPEC = NodeSpec(head=HEAD, job_id=7, folder=Path("/tmp/ray-7-0"))
WORKER = NodeSpec(head="10.0.0.1:20070", job_id=7, folder=Path("/tmp/ray-7-0"))
PORTS = ports_of(7, lambda port: True)

JOIN = """
import sys
from leukemia.base.errors import UserError
from search.cluster.nodes import expected_nodes
from search.cluster.session import cluster_to_join
try:
    nodes = expected_nodes(cluster_to_join(sys.argv[1])).now
    print(sorted((node.cpus, node.gpus) for node in nodes))
except UserError as error:
    print(error)
"""


def options(command: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").partition("=")[::2] for word in command if word.startswith("--"))


def test_ray_gets_what_slurm_gave() -> None:
    given = options(start_command(SPEC, Share(cpus=3, gpus=2, memory_bytes=None), PORTS, "10.0.0.1"))
    assert (given["num-cpus"], given["num-gpus"], given["node-ip-address"]) == ("3", "2", "10.0.0.1")
    assert not {"memory", "object-store-memory"} & set(given)


def with_shared_memory(monkeypatch: pytest.MonkeyPatch, *, free: int, given: int) -> dict[str, str]:
    """Options on memory of a job that was given so many bytes, where so many are free for Ray's object store."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    return options(start_command(SPEC, Share(cpus=3, gpus=2, memory_bytes=given), PORTS, "10.0.0.1"))


def test_memory_is_divided_between_ray_and_its_object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = with_shared_memory(monkeypatch, free=10**11, given=10**10)
    assert (enough["memory"], enough["object-store-memory"]) == (str(7 * 10**9), str(3 * 10**9))
    little = with_shared_memory(monkeypatch, free=10**9, given=10**10)
    assert (little["memory"], little["object-store-memory"]) == (str(10**10 - 95 * 10**7), str(95 * 10**7))


def test_less_memory_than_ray_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^expected at least 1 GiB of memory for Ray .*, found 512 MiB; raise --mem"):
        with_shared_memory(monkeypatch, free=10**11, given=2**29)
    if SHARED_MEMORY.is_dir():
        with pytest.raises(UserError, match=r"^/dev/shm: expected 75 MiB for Ray's object store, found 64 MiB free; "):
            with_shared_memory(monkeypatch, free=2**26, given=10**10)


def test_the_own_disk_of_a_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(
            UserError, match=r"absent: Ray's files cannot be written there \(No such file or directory\); se"
        ),
        _private_folder(tmp_path / "absent" / "ray-7-0"),
    ):
        pass
    folder = tmp_path / "ray-7-0"
    with _private_folder(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=12 * 10**6))
    with (
        pytest.raises(UserError, match=r": expected 500 MB for Ray's files, found 12 MB free; free some, or set RAY_T"),
        _private_folder(folder),
    ):
        pass
    assert not folder.exists()


def test_every_service_has_a_port_of_the_job() -> None:
    share = Share(cpus=1, gpus=0, memory_bytes=None)
    head, worker = (options(start_command(spec, share, PORTS, "10.0.0.1")) for spec in (SPEC, WORKER))
    expected = set(PORTS) - (set() if importlib.util.find_spec("grpc") else {CLIENT})
    assert {name: head[name] for name in expected} == {name: str(PORTS[name]) for name in expected}
    assert expected - set(worker) == expected & set(HEAD_OPTIONS)
    assert (CLIENT in head) == (CLIENT in expected)
    assert worker["address"] == "10.0.0.1:20070"


def test_ray_has_the_token_but_no_key_of_wandb() -> None:
    given = {"PATH": "/bin", "WANDB_API_KEY": "secret", "RAY_ADDRESS": "elsewhere:6379"}
    assert ray_environment(given, SPEC.folder) == {
        "PATH": "/bin",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": "/tmp/ray-7-0/token",
    }


def test_temporary_files_are_in_the_folder_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    script = "import tempfile; print(tempfile.mkdtemp())"
    environment = os.environ | temporary(tmp_path)
    made = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert Path(made.stdout.strip()).parent == tmp_path
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == f"{tmp_path}/torchinductor"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/scratch/kept")
    assert temporary(tmp_path)["TORCHINDUCTOR_CACHE_DIR"] == "/scratch/kept"


def test_the_address_of_a_node() -> None:
    assert own_address({"SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1"}, SPEC) == "10.0.0.1"
    on_loopback = NodeSpec(head="127.0.0.1:20070", job_id=7, folder=Path("/tmp/ray-7-0"))
    assert own_address({"SLURM_LAUNCH_NODE_IPADDR": "10.0.0.9"}, on_loopback) == "127.0.0.1"


class Node:
    """The process on a node, and what it has printed."""

    def __init__(self, head: str, folder: Path, **variables: str) -> None:
        self.folder = folder
        environment = os.environ | {"PYTHONPATH": str(ROOT), "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"} | variables
        self.process = subprocess.Popen(
            [sys.executable, "-m", "search.slurm.node", *NodeSpec(head=head, job_id=7, folder=folder).arguments()],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(TOKEN + "\n")
        self.process.stdin.flush()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def end(self) -> tuple[int, str]:
        """Close its standard input; returns the exit status and what it printed on stderr."""
        _, errors = self.process.communicate()
        return self.process.returncode, errors


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with a short name, since the names of Ray's sockets are limited."""
    link = Path(f"/tmp/s{os.getpid()}")
    link.symlink_to(tmp_path)
    yield link
    link.unlink()


def join(address: str, **variables: str) -> str:
    """What a client finds that may have the token: the sizes of the nodes, or why it is refused."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = clean | {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent"} | variables
    shown = subprocess.run([sys.executable, "-c", JOIN, address], env=environment, capture_output=True, text=True)
    return shown.stdout.strip() or shown.stderr


@pytest.mark.slow
def test_two_nodes_until_their_input_ends(place: Path) -> None:
    head = Node(HEAD, place / "a", SLURM_CPUS_PER_TASK="1")
    told = head.line()
    assert told["share"].startswith("1 CPU, 0 GPUs, ")
    address = told["address"]
    client = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(place / "a" / "token")}
    wait_until(lambda: join(address, **client) == "[(1, 0.0)]", 120, "the head to start")
    assert "requires its token" in join(address)
    assert (place / "a" / "token").stat().st_mode & 0o777 == 0o600

    # On the same machine, its ports are taken by the head's.
    worker = Node(address, place / "b", SLURM_CPUS_PER_TASK="1", CUDA_VISIBLE_DEVICES="0,1")
    assert worker.line()["address"] != address
    wait_until(lambda: join(address, **client) == "[(1, 0.0), (1, 2.0)]", 120, "the worker to join")

    worker.process.send_signal(signal.SIGTERM)
    assert worker.line() == {"signal": signal.SIGTERM}
    for node in (worker, head):
        assert node.process.poll() is None
        assert node.end() == (0, "")
        assert not node.folder.exists()
        commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
        assert [command for command in commands if str(node.folder) in command] == []


@pytest.mark.slow
def test_a_ray_that_does_not_start_is_shown(place: Path) -> None:
    # Ray imports what this variable names.
    node = Node(HEAD, place / "b", RAY_START_HOOK="absent.hook")
    node.line()
    assert node.process.wait(180) == 1
    _, errors = node.end()
    assert ": Ray ended with status 1:\n" in errors
    assert "  ModuleNotFoundError: No module named 'absent'\n" in errors
    assert not (place / "b").exists()
