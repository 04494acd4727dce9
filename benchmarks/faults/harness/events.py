"""What a search has logged about its jobs, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["begins", "goes on", "epoch", "fold", "waits", "ends"]

_LINE = re.compile(r"\S+ INFO trial (?P<job>\d{4,}(?P<seed> seed \d+)?) (?P<rest>.*)")

_KINDS: dict[Kind, re.Pattern[str]] = {
    "begins": re.compile(r"(starts|resumes after .*): "),
    "goes on": re.compile(r"goes on: "),
    "epoch": re.compile(r"fold (?P<fold>\d+)/\d+ epoch (?P<epoch>\d+)/\d+: "),
    "fold": re.compile(r"fold (?P<fold>\d+)/\d+: "),
    "waits": re.compile(r"waits at "),
    "ends": re.compile(r"(complete|stopped|failed): "),
}
"""How the line of each kind begins after the job, as ``search.trials.display`` writes it."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that has happened to a job."""

    kind: Kind

    job: str
    """Its label, as ``Job.label``."""

    is_repeat: bool = False

    fold: int = 0
    """From 0; of an epoch or a fold."""

    epoch: int = 0
    """From 1; of an epoch."""


def events_of(log: Path) -> list[Event]:
    """The events in the log of a study, over all its sessions; none without a log."""
    if not log.exists():
        return []
    # The last line may be incomplete.
    lines = log.read_text(encoding="utf-8").split("\n")[:-1]
    return [event for line in lines if (event := _event_of(line)) is not None]


def _event_of(line: str) -> Event | None:
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    for kind, pattern in _KINDS.items():
        if (match := pattern.match(found["rest"])) is not None:
            numbers = {name: int(text) for name, text in match.groupdict().items()}
            return Event(
                kind=kind,
                job=found["job"],
                is_repeat=found["seed"] is not None,
                fold=numbers.get("fold", 1) - 1,
                epoch=numbers.get("epoch", 0),
            )
    return None
