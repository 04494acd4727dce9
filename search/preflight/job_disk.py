"""The disk space that a job's search needs in shared folders, which `search.run --dry-run` reads on a node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CACHE = re.compile(
    r"disk: [\d.]+ GB in (.+), of ([\d.]+) GB free: ([\d.]+) for decoded images, ([\d.]+) for a checkpoint of each of "
    r"(\d+) trials?(?:, besides at most ([\d.]+) for those of trials that wait)?"
)
_RUNS = re.compile(r"disk: ([\d.]+) GB in (.+), of ([\d.]+) GB free: the study")


@dataclass(frozen=True, kw_only=True)
class Space:
    """The space needed in a folder, and free there, in GB."""

    folder: str
    needed: float
    free: float
    what: str
    """That is written there."""

    waiting: float = 0.0
    """At most, for checkpoints of trials that wait, besides what is needed."""

    def __str__(self) -> str:
        waiting = f", and at most {self.waiting:.1f} GB for trials that wait (--paused-gb)" if self.waiting else ""
        return f"{self.needed:.1f} GB in {self.folder}{waiting}, {self.free:.1f} GB free"


def spaces(printed: str, nodes: int) -> list[Space]:
    """The space that a job needs in the cache and in the folder of its study; none if that was not printed.

    Args:
        printed: by ``search.run --dry-run`` on one node.
        nodes: of the job, which share both folders.
    """
    cache, runs = _CACHE.search(printed), _RUNS.search(printed)
    if cache is None or runs is None:
        return []
    images, checkpoint, trials, waiting = (float(cache[group] or 0) for group in (3, 4, 5, 6))
    kept = f"decoded images, and checkpoints of {nodes * trials:.0f} trials at once"
    needed = images + nodes * trials * checkpoint
    return [
        Space(folder=cache[1], needed=needed, free=float(cache[2]), what=kept, waiting=waiting),
        Space(folder=runs[2], needed=float(runs[1]), free=float(runs[3]), what="the study, and the winner's model"),
    ]


def compare_disk(printed: str, nodes: int, notes: list[str]) -> Iterator[str]:
    """Yield a problem for each folder with too little free space, or add a note on what is needed and free."""
    found = spaces(printed, nodes)
    short = [space for space in found if space.needed + space.waiting > space.free]
    for space in short:
        yield (
            f"disk space needed: {space}, for {space.what}; free some, or set LEUKEMIA_CACHE or --runs to another "
            "shared folder"
        )
    if found and not short:
        notes.append(f"disk space needed: {'; '.join(map(str, found))} (your quota may be less)")
