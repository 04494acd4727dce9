"""What our own Ray needs of this machine: one table of checks, so that a failure to start names its cause."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from leukemia.base.errors import UserError
from search.cluster import ray_private, variables

LONGEST_SOCKET = 107 if sys.platform == "linux" else 103
"""In bytes; the size of ``sun_path`` less its final zero (unix(7))."""

SHARED_MEMORY = Path("/dev/shm")


def check_machine() -> None:
    """Check what makes Ray's start fail with certainty.

    Raises:
        UserError: a requirement is not met; nothing was started.
    """
    for problem in _problems(CERTAIN):
        raise UserError(problem)


def likely_cause() -> str | None:
    """Why Ray may have failed to start, as far as this machine shows it; None if nothing is conspicuous."""
    return next(_problems(LIKELY), None)


def _temporary_folder() -> str | None:
    folder = Path(ray_private.temporary_folder())
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return f"Ray cannot write to {folder}; set RAY_TMPDIR to a folder that you can write"
    if (excess := excess_bytes(folder)) > 0:
        return (
            f"Ray's temporary folder {folder} is {excess} bytes too long for the names of its sockets; set RAY_TMPDIR "
            "to a shorter path, such as /tmp"
        )
    return None


def excess_bytes(folder: Path) -> int:
    """By how many bytes the names of Ray's sockets would be too long with this temporary folder, if positive."""
    # As in Ray's name for its session: time and process.
    longest = folder / f"session_2026-01-01_00-00-00_000000_{os.getpid()}" / "sockets" / "plasma_store"
    return len(os.fsencode(longest)) - LONGEST_SOCKET


def _home() -> str | None:
    """Ray keeps its token in the home directory, unless a variable names another file."""
    if os.environ.get("RAY_AUTH_TOKEN_PATH") or os.environ.get("RAY_AUTH_TOKEN"):
        return None
    advice = "set HOME to a folder that you can write"
    try:
        home = Path.home()
    except RuntimeError:
        return f"there is no home directory, where Ray keeps its token; {advice}"
    folder = home / ".ray"
    if (folder / "auth_token").is_file():
        return None
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return f"cannot write to the home directory {home}, where Ray keeps its token; {advice}"
    return None


def _shared_memory() -> str | None:
    if sys.platform != "linux" or SHARED_MEMORY.is_dir():
        return None
    return f"{SHARED_MEMORY} is missing, where Ray shares memory between processes; mount a tmpfs there"


def _limit(number: int, what: str, flag: str, needed: int, unit: str) -> Callable[[], str | None]:
    """Check a limit of this process.

    Args:
        number: a ``resource.RLIMIT_*``.
        needed: in the limit's own unit; Ray has started with that much.
        unit: shown after the number; "GB" divides it by 1e9, "" does not.
    """

    def check() -> str | None:
        soft, _ = resource.getrlimit(number)
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return None
        scale = 1e9 if unit == "GB" else 1
        shown, wanted = f"{soft / scale:.4g} {unit}".rstrip(), f"{needed / scale:.4g} {unit}".rstrip()
        return f"the limit of {what} is {shown}, and Ray needs about {wanted}; raise it with `ulimit {flag}`"

    return check


def _shared_memory_size() -> str | None:
    if not SHARED_MEMORY.is_dir() or os.access(SHARED_MEMORY, os.W_OK):
        return None
    return f"cannot write to {SHARED_MEMORY}, where Ray shares memory between processes; mount it writable"


def _variables() -> str | None:
    names = variables.given()
    return f"these variables change Ray, correct or unset them: {', '.join(names)}" if names else None


def _problems(checks: tuple[Callable[[], str | None], ...]) -> Iterator[str]:
    for check in checks:
        if problem := check():
            yield problem


CERTAIN = (_temporary_folder, _home, _shared_memory)
"""Checked before Ray is started: with any of these problems it fails, after up to a minute and for no clear reason."""

LIKELY = (
    _shared_memory_size,
    _limit(resource.RLIMIT_AS, "the address space", "-v", 20 * 10**9, "GB"),
    _limit(resource.RLIMIT_FSIZE, "the size of a file", "-f", 10 * 10**9, "GB"),
    _limit(resource.RLIMIT_NOFILE, "open files", "-n", 1024, ""),
    _limit(resource.RLIMIT_NPROC, "processes", "-u", 1000, ""),
    _variables,
)
"""Looked at only after Ray has failed to start: how much it needs depends on the machine."""
