"""What a stand-in for Weights & Biases' server holds of runs, sweeps and artifacts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

HISTORY, EVENTS, SUMMARY, OUTPUT = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
"""Names of the streams of a run."""


@dataclass(kw_only=True)
class Run:
    """A run as the server knows it."""

    name: str
    """Its id."""

    entity: str
    project: str
    display_name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    """Without the client's own ``_wandb``."""

    client_config: dict[str, Any] = field(default_factory=dict)
    """``_wandb``: versions, and the metrics that were defined."""

    sweep: str | None = None
    streams: dict[str, dict[int, str]] = field(default_factory=dict)
    """Lines of each streamed file by their number: a line that comes again replaces itself."""

    exit_code: int | None = None
    complete: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    """Uploaded files."""

    num_inits: int = 0
    """How often it was opened; an open run that sends its config again is no new one."""

    stopped: bool = False
    """Somebody has pressed Stop."""

    def lines(self, stream: str) -> list[str]:
        """Lines of a stream, in order."""
        return [line for _, line in sorted(self.streams.get(stream, {}).items())]

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was logged, one row a step, in order of ``_step``."""
        rows: dict[int, dict[str, Any]] = {}
        for line in self.lines(HISTORY):
            row = json.loads(line)
            rows.setdefault(row["_step"], {}).update(row)
        return [rows[step] for step in sorted(rows)]

    @property
    def summary(self) -> dict[str, Any]:
        """The newest summary."""
        return dict(json.loads((self.lines(SUMMARY) or ["{}"])[-1]))


@dataclass(kw_only=True)
class Sweep:
    """A sweep, and the runs that it was told of when it was made."""

    name: str
    entity: str
    project: str
    config: dict[str, Any]
    prior_runs: list[str]
    state: str = "PENDING"


@dataclass(kw_only=True)
class Artifact:
    """One version of a collection."""

    identity: str
    entity: str
    project: str
    type: str
    collection: str
    digest: str
    created_by: str | None
    """The run that logged it; None where a run brought it along to use it."""

    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    wanted_aliases: list[str] = field(default_factory=list)
    """What it shall be called once it is committed."""

    aliases: list[str] = field(default_factory=list)
    """What it is called; the version before has lost these."""

    version: int | None = None
    state: Literal["PENDING", "COMMITTED"] = "PENDING"
    manifest: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    used_by: list[str] = field(default_factory=list)
