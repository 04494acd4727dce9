"""Runs, sweeps and artifacts stored by the fake Weights & Biases server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

HISTORY, EVENTS, SUMMARY, OUTPUT = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
"""Names of a run's streams."""


@dataclass(kw_only=True)
class Run:
    """A run on the server."""

    name: str
    """The run's id."""

    entity: str
    project: str
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    """Without the client's ``_wandb``."""

    client_config: dict[str, Any] = field(default_factory=dict)
    """``_wandb``: versions and metric definitions."""

    sweep: str | None = None
    streams: dict[str, dict[int, str]] = field(default_factory=dict)
    """Lines of each streamed file by number; a line that is sent again is replaced."""

    exit_code: int | None = None
    complete: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    """Uploaded files."""

    announced: set[str] = field(default_factory=set)
    """Names of files whose upload was begun."""

    num_inits: int = 0
    """How often the run was opened, not counting config updates of an open run."""

    stopped: bool = False
    """Whether Stop was pressed."""

    def lines(self, stream: str) -> list[str]:
        """Lines of a stream, in order."""
        return [line for _, line in sorted(self.streams.get(stream, {}).items())]

    @property
    def history(self) -> list[dict[str, Any]]:
        """Logged values, one row per step, ordered by ``_step``."""
        rows: dict[int, dict[str, Any]] = {}
        for line in self.lines(HISTORY):
            row = json.loads(line)
            rows.setdefault(row["_step"], {}).update(row)
        return [rows[step] for step in sorted(rows)]

    @property
    def summary(self) -> dict[str, Any]:
        """The latest summary."""
        return dict(json.loads((self.lines(SUMMARY) or ["{}"])[-1]))


@dataclass(kw_only=True)
class Sweep:
    """A sweep, and the runs it was created with."""

    name: str
    entity: str
    project: str
    config: dict[str, Any]
    prior_runs: list[str]
    state: str = "PENDING"
    states: list[str] = field(default_factory=list)
    """All states that were set, in order."""

    @property
    def identity(self) -> str:
        """The id in GraphQL, which differs from the name that is called id elsewhere."""
        return f"sweep:{self.name}"


@dataclass(kw_only=True)
class Artifact:
    """One version in a collection."""

    identity: str
    entity: str
    project: str
    type: str
    collection: str
    digest: str
    created_by: str | None
    """The run that logged it; None if it was created only for use by a run."""

    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    wanted_aliases: list[str] = field(default_factory=list)
    """Aliases to assign when it is committed."""

    aliases: list[str] = field(default_factory=list)
    """Current aliases; an alias moves from the previous version to the new one."""

    version: int | None = None
    state: Literal["PENDING", "COMMITTED"] = "PENDING"
    manifest: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    used_by: list[str] = field(default_factory=list)
