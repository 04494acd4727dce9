"""Where a number comes from: versions, commit, hardware, command, time."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from leukemia import __version__

PACKAGES = ("torch", "ray", "optuna", "albumentations", "opencv-python-headless", "ranger21", "ttach", "numpy", "wandb")
"""Packages whose version can change a number or the way it was recorded."""

_SECRET = re.compile(r"(?i)(key|token|secret|password|credential)")
_ADDRESS_WITH_PASSWORD = re.compile(r"(://)[^/@\s]+@")


def versions() -> dict[str, str]:
    """Versions of this project, Python and the packages that decide numbers; absent packages are left out."""
    found = {"leukemia-search": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Git commit of this checkout, with ``+changes`` where files differ; ``unknown`` outside a checkout."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return "unknown"
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "--no-optional-locks", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def hardware(device: str) -> dict[str, Any]:
    """This machine: device in words, processors, system. Which device ran a fold stands with the fold."""
    return {"device": device, "processors": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


def command_line(module: str, argv: list[str] | None) -> str:
    """The command as typed, values of secret-looking settings and passwords in addresses removed."""
    words, hide_next = [], False
    for word in sys.argv[1:] if argv is None else argv:
        name, equals, _ = word.partition("=")
        if hide_next:
            word, hide_next = "***", False
        elif _SECRET.search(name):
            word, hide_next = (f"{name}=***" if equals else name), not equals and name.startswith("-")
        words.append(_ADDRESS_WITH_PASSWORD.sub(r"\1***@", word))
    return f"python -m {module} {shlex.join(words)}".strip()


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
