"""A project folder with a cluster file for this machine's addresses, and preflight's result for it."""

from __future__ import annotations

import getpass
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.preflight.check import check_cluster, read_cluster

RAY = importlib.metadata.version("ray")

ALIVE, DEAD = "127.0.0.77", "127.0.0.78"
"""Addresses of this machine; the first may have an ssh server, the second has none."""

BAD_KEYS = [
    ("passphrase", "key has a passphrase, but `ray up` copies the key to the head"),
    ("public", "key is a public key; set the private one"),
    ("other", "key is not a private key; choose one created by ssh-keygen"),
    ("half", r"key cannot be opened \(ssh-keygen: .*\); choose an intact key"),
    ("directory", "key is a directory; set the path of a key in it"),
    ("link", "key is a symlink, which `ray up` would copy to the head as a broken symlink; set the path .*/real"),
]
"""How a key is damaged (``damage_key``), and the message about it."""


def set_up_project(folder: Path, monkeypatch: pytest.MonkeyPatch, make_key: Callable[[Path], None]) -> None:
    """Make this folder the working directory and the home, without any problem."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    (folder / ".ray").mkdir()
    for name, text in {".ray/auth_token": "0123", "constraints.txt": f"ray=={RAY}\n"}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    make_key(folder / "key")


def cluster(*hosts: str, **auth: str) -> dict[str, Any]:
    """The content of a cluster file; the head comes first."""
    return {
        "cluster_name": "test",
        "provider": {"type": "local", "head_ip": hosts[0], "worker_ips": list(hosts[1:])},
        "auth": {"ssh_user": getpass.getuser(), "ssh_private_key": "~/key", **auth},
        "file_mounts": {"~/.ray/auth_token": "~/.ray/auth_token", "~/p/constraints.txt": "constraints.txt"},
    }


def checked(config: dict[str, Any], folder: Path) -> tuple[list[str], list[str]]:
    """Preflight's problems and notes."""
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return check_cluster(read_cluster(path))


def problems_of(config: dict[str, Any], folder: Path) -> list[str]:
    return checked(config, folder)[0]


def damage_key(key: Path, how: str, make_key: Callable[[Path, str], None]) -> None:
    """Replace the key by one that ``ray up`` cannot use.

    Args:
        make_key: creates one with a passphrase.
    """
    if how == "passphrase":
        make_key(key, "secret words")
    elif how == "link":
        key.rename(key.with_name("real"))
        key.symlink_to(key.with_name("real"))
    elif how == "directory":
        key.unlink()
        key.mkdir()
    else:
        text = {"public": key.with_suffix(".pub").read_text(), "other": "a key\n", "half": key.read_text()[:200]}
        key.write_text(text[how])
