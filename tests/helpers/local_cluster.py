"""A project's folder with a cluster's file of machines at hand, and what preflight says of it."""

from __future__ import annotations

import getpass
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.preflight.check import findings, read_cluster

RAY = importlib.metadata.version("ray")

ALIVE, DEAD = "127.0.0.77", "127.0.0.78"
"""Addresses of this machine, of which the first may have an ssh server and the second has none."""

BAD_KEYS = [
    ("passphrase", "key has a passphrase, and `ray up` copies the key to the head"),
    ("public", "key is a public key; name the private one"),
    ("other", "key is no private key; name one that ssh-keygen made"),
    ("half", r"key cannot be opened \(ssh-keygen: .*\); name a whole key"),
    ("directory", "key is a directory; name the key in it"),
    ("link", "key is a link, which `ray up` copies to the head as a link that leads nowhere; name the file.*/real"),
]
"""How a key is damaged (``damage_key``), and what is said of it."""


def settle(place: Path, monkeypatch: pytest.MonkeyPatch, make_key: Callable[[Path], None]) -> None:
    """Make this folder the working folder and the home, in which all is well."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    (place / ".ray").mkdir()
    for name, text in {".ray/auth_token": "0123", "constraints.txt": f"ray=={RAY}\n"}.items():
        (place / name).write_text(text)
        (place / name).chmod(0o600)
    make_key(place / "key")


def cluster(*hosts: str, **auth: str) -> dict[str, Any]:
    """A cluster's file; the head comes first."""
    return {
        "cluster_name": "test",
        "provider": {"type": "local", "head_ip": hosts[0], "worker_ips": list(hosts[1:])},
        "auth": {"ssh_user": getpass.getuser(), "ssh_private_key": "~/key", **auth},
        "file_mounts": {"~/.ray/auth_token": "~/.ray/auth_token", "~/p/constraints.txt": "constraints.txt"},
    }


def looked_at(config: dict[str, Any], place: Path) -> tuple[list[str], list[str]]:
    """What is wrong with it, and what is worth knowing."""
    path = place / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return findings(read_cluster(path))


def problems_of(config: dict[str, Any], place: Path) -> list[str]:
    return looked_at(config, place)[0]


def damage_key(key: Path, how: str, make_key: Callable[[Path, str], None]) -> None:
    """Leave no key that ``ray up`` can use.

    Args:
        make_key: makes one with a passphrase.
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
