"""Kills a process of a search at a chosen moment, and lets the search end."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.moments import MOMENTS, Moment, moments_of
from benchmarks.faults.harness.processes import kill
from benchmarks.faults.harness.search import Search
from benchmarks.faults.harness.undisturbed import Aim

WORKER, RAYLET, HEAD = "ray::ImplicitFunc", "/raylet/raylet ", "/gcs/gcs_server "
TARGETS = {"trial": ((WORKER,),), "ray": ((RAYLET,), (HEAD,), (RAYLET, HEAD))}
"""Parts of the command lines of the processes to kill, by kind; one entry is drawn. The driver is known by its PID."""

EXPECTED = {"driver": (-signal.SIGKILL,), "trial": (0,), "ray": (0, 1)}
"""Status of the killed search; 0 for ``ray`` if the last trial had ended. A resumed search must end with 0."""

LOOK_SECONDS = 0.01
"""How often a search is looked at for the moment of the kill; some are this short."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What was killed, and when."""

    moment: Moment
    description: str


def kill_at(
    search: Search, kind: str, aim: Aim, parts: tuple[str, ...], case: Case, draw: random.Random
) -> Kill | None:
    """Start a search and kill one of its processes, or all of Ray's; None if there was none left, which tests nothing.

    Args:
        kind: ``driver`` or a key of ``TARGETS``.
        parts: an entry of ``TARGETS``; empty for the driver.
    """
    start = time.monotonic()
    search.start()
    first = search.folder / "trials" / "0000" / "recipe.json"
    # The driver may also be killed during start-up; Ray must be running first.
    if not search.wait_until(
        lambda: aim.happened(search) and (not parts or (first.exists() and search.processes_with(parts))),
        every=LOOK_SECONDS,
    ):
        return None
    moment = time.monotonic() + aim.seconds
    if not search.wait_until(lambda: time.monotonic() >= moment, every=LOOK_SECONDS):
        return None
    pids = search.processes_with(parts) if parts else [search.process.pid]
    if not pids:
        return None
    if kind == "trial":
        # Several may train side by side.
        pids = [draw.choice(pids)]
    events, epochs, folds = search.events(), sum(search.epochs().values()), search.num_folds()
    for pid in pids:
        kill(pid)
    target = "+".join(part.rpartition("/")[2].strip() for part in parts) if kind == "ray" else kind
    seconds = time.monotonic() - start
    description = f"{target} killed {seconds:.0f} s after the start, after {epochs} epochs and {folds} folds"
    return Kill(moment=moments_of(events, case)[-1] if events else MOMENTS[0], description=description)


def complete(search: Search) -> tuple[list[int], str]:
    """Wait for the end of a search of which a process was killed, and resume it if that has ended it.

    Returns:
        the status of each session, and a description.
    """
    start = time.monotonic()
    statuses = [search.wait()]
    description = f"status {statuses[0]} {time.monotonic() - start:.0f} s later"
    if statuses[0] != 0:
        if (search.folder / "study.json").exists():
            search.resume()
        else:
            search.start()
        statuses.append(search.wait())
        description += ", resumed"
    return statuses, description
