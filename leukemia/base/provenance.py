"""Provenance of results: versions, commit, hardware, command line, time."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from leukemia import __version__
from leukemia.base.cpus import available_cpus

PACKAGES = ("torch", "ray", "optuna", "albumentations", "opencv-python-headless", "ranger21", "ttach", "numpy", "wandb")
"""Packages whose version can affect results or how they are recorded."""

_SECRET = re.compile(r"(?i)(key|token|secret|password|credential)")
_URL_CREDENTIALS = re.compile(r"(://)[^/\s]+@")


def versions() -> dict[str, str]:
    """Versions of this project, Python and ``PACKAGES``; packages that are not installed are omitted."""
    found = {"leukemia-search": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Git commit of this checkout, with ``+changes`` if tracked files differ; ``unknown`` outside a checkout."""
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
    """This machine: device, number of CPUs available here, OS. The device of each fold is recorded with the fold."""
    return {"device": device, "processors": available_cpus(), "system": f"{platform.system()} {platform.machine()}"}


def command_line(module: str, argv: list[str] | None) -> str:
    """The command as typed, with values of secret-looking options and passwords in URLs masked."""
    shown, hide_next = [], False
    for argument in sys.argv[1:] if argv is None else argv:
        name, equals, _ = argument.partition("=")
        if hide_next:
            argument, hide_next = "***", False
        elif _SECRET.search(name):
            argument, hide_next = (f"{name}=***" if equals else name), not equals and name.startswith("-")
        shown.append(_URL_CREDENTIALS.sub(r"\1***@", argument))
    return f"python -m {module} {shlex.join(shown)}".strip()


def without_credentials(url: str) -> str:
    """A URL without user name and password.

    >>> without_credentials("https://user:pass@host:8080/path")
    'https://host:8080/path'
    """
    return _URL_CREDENTIALS.sub(r"\1", url)


def now(timespec: str = "seconds") -> str:
    """The current time in UTC, ISO 8601, to the second or another unit of ``datetime.isoformat``."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
