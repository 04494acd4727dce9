"""What every test stands on: a cache of its own, no network, one thread, a small set of images that can be learned."""

from __future__ import annotations

import os

# Before numpy and torch are imported: threads change the order of sums, and with it the last bits.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["WANDB_MODE"] = "offline"

import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from s3_server import CREDENTIALS, S3Server
from wandb_server import KEY, WandbServer

from leukemia import CLASS_NAMES
from leukemia.catalog import Catalog, read_catalog

torch.set_num_threads(1)

NUM_SUBJECTS = 6
"""Subjects of each class in ``tiny_folder``."""

SIZE_PX = 32


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_surroundings(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from or written to the user's own cache or account."""
    monkeypatch.setenv("LEUKEMIA_CACHE", str(session_cache))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_API_KEY", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that leaves this machine fails the test; sockets to itself are how its processes talk."""
    connect = socket.socket.connect
    # Whoever joins a cluster on this machine calls it by the machine's own address.
    own = {each.address for found in psutil.net_if_addrs().values() for each in found} | {"localhost"}

    def local_only(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith("127.") and address[0] not in own:
            raise OSError(f"a test tried to reach {address[0]}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture
def fresh_wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B reads environment and settings files once in a process; here a test has its own."""
    import wandb

    monkeypatch.setattr(logging.getLogger("search"), "propagate", True)
    for kind in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path / "wandb" / kind.lower()))
    (tmp_path / "netrc").write_text("")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def wandb_server(fresh_wandb: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """A W&B server on this machine; environment and key lead to it."""
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
    """An S3 server on this machine with one bucket, which all tests share; the environment has its credentials."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return running_s3


def draw_cell(generator: np.random.Generator, label: int) -> np.ndarray:
    """A purple disc on black, (32, 32, 3) uint8; leukemic ones are larger, with some overlap of their sizes."""
    radius = (7.0, 11.0)[label] + generator.normal(0.0, 0.8)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX] - (SIZE_PX - 1) / 2
    disc = (rows**2 + columns**2 < radius**2)[:, :, None] * np.array([130.0, 60.0, 150.0])
    return np.clip(disc + generator.normal(0.0, 8.0, disc.shape), 0, 255).astype(np.uint8)


def draw_cells(folder: Path, *, seed: int, subjects: range = range(1, NUM_SUBJECTS + 1), per_subject: int = 4) -> Path:
    """Images in C-NMC's layout and names: ``fold_K/{hem,all}/UID_SUBJECT_N_1_CLASS.png``; subjects Hn and n."""
    generator = np.random.default_rng(seed)
    for label, name in enumerate(CLASS_NAMES):
        for subject in subjects:
            place = folder / f"fold_{subject % 3}" / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(1, per_subject + 1):
                file = f"UID_{'H' if label == 0 else ''}{subject}_{number}_1_{name}.png"
                Image.fromarray(draw_cell(generator, label)).save(place / file)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 images of 32 px, 6 subjects of each class, 4 images of each; only read."""
    return draw_cells(tmp_path_factory.mktemp("data") / "cells", seed=1)


@pytest.fixture
def tiny_catalog(tiny_folder: Path) -> Catalog:
    return read_catalog(tiny_folder)


@dataclass(frozen=True, kw_only=True)
class TinyImages:
    """Learnable images in memory."""

    images: np.ndarray
    """uint8 (48, 32, 32, 3)."""

    labels: np.ndarray
    """int64 (48,): 0 and 1 by turns."""


@pytest.fixture(scope="session")
def tiny_images() -> TinyImages:
    generator = np.random.default_rng(2)
    labels = np.arange(48, dtype=np.int64) % 2
    return TinyImages(images=np.stack([draw_cell(generator, int(label)) for label in labels]), labels=labels)
