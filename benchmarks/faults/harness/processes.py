"""The processes of searches on this machine, found through /proc. Linux only."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from pathlib import Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """A process, identified by its PID and start time, since PIDs are reused."""

    pid: int
    started: str
    title: str


def processes() -> Iterator[tuple[Process, int]]:
    """All running processes, each with the PID of its parent."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if fields[0] != "Z":
            yield Process(pid=int(folder.name), started=fields[19], title=title), int(fields[1])


class ProcessTree:
    """All descendants of the searches started here, including orphans."""

    def __init__(self) -> None:
        self._known: set[tuple[int, str]] = set()

    def update(self, root: int) -> None:
        """Record the current descendants of ``root`` and of processes recorded earlier."""
        running = list(processes())
        ours = {root} | {each.pid for each, _ in running if (each.pid, each.started) in self._known}
        size = 0
        while len(ours) > size:
            size = len(ours)
            ours |= {each.pid for each, parent in running if parent in ours}
        found = [each for each, _ in running if each.pid in ours and each.pid != root]
        self._known |= {(each.pid, each.started) for each in found}

    def kill(self) -> None:
        """Kill all recorded processes that still run."""
        for each, _ in list(processes()):
            if (each.pid, each.started) in self._known:
                kill(each.pid)


def kill(pid: int) -> None:
    """``kill -9``; does nothing if the process has just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
