"""Fixtures of all tests: a separate cache, no network, one thread, a small learnable image set."""

from __future__ import annotations

import os

# Before numpy and torch are imported: threads change the order of sums, and so the last bits.
os.environ["OMP_NUM_THREADS"] = "1"
# Some tests compute with two threads, which would spin while waiting for each other on a busy machine.
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["WANDB_MODE"] = "offline"

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from helpers.cells import TinyImages, draw_cell, draw_cells
from helpers.s3_server import CREDENTIALS, S3Server
from helpers.wandb_server import KEY, WandbServer

from leukemia.base import interrupts
from leukemia.data.catalog import Catalog, read_catalog

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def isolated_environment(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate tests from the user's cache and accounts."""
    monkeypatch.setenv("LEUKEMIA_CACHE", str(session_cache))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_API_KEY", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A command that computes in the process of the tests may change its number of threads, and so later numbers."""
    yield
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def restored_signals() -> Iterator[None]:
    """A command that ends in the process of the tests leaves it without Python's own handlers."""
    for number in interrupts.SIGNALS:
        # Under `nohup`, or in the background of a script, the tests start with signals ignored.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    yield
    for number, handler in before.items():
        if handler is not None:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to other machines fail the test; local ones are needed between processes."""
    connect = socket.socket.connect
    # Nodes of a local cluster connect to it by the machine's own address.
    own = {each.address for found in psutil.net_if_addrs().values() for each in found} | {"localhost"}

    def local_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith("127.") and address[0] not in own:
            raise OSError(f"a test tried to reach {address[0]}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture
def fresh_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Reset W&B, which reads environment and settings files once per process."""
    import wandb

    for kind in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path / "wandb" / kind.lower()))
    (tmp_path / "netrc").write_text("")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def wandb_server(fresh_wandb: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A local W&B server, with the environment set up to use it."""
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_MODE", "online")
        yield server


@pytest.fixture(scope="session")
def running_s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(running_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A local S3 server with one bucket, shared by all tests, with credentials in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return running_s3


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images of 32 px, 6 subjects of each class, 4 images of each; read-only."""
    return draw_cells(tmp_path_factory.mktemp("data") / "cells", seed=1)


@pytest.fixture
def tiny_catalog(tiny_folder: Path) -> Catalog:
    return read_catalog(tiny_folder)


@pytest.fixture(scope="session")
def tiny_images() -> TinyImages:
    generator = np.random.default_rng(2)
    labels = np.arange(48, dtype=np.int64) % 2
    return TinyImages(images=np.stack([draw_cell(generator, int(label)) for label in labels]), labels=labels)
