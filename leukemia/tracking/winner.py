"""The runs that the end of a search changes: of the winner, of former winners and of repeated trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.ladder import waiting_trials
from leukemia.study.schema import State
from leukemia.tracking import server

WINNER = "winner"
"""Tag of the winner's run."""


def run_id(study_uid: str, name: str) -> str:
    """W&B's id of a study's run; ``name`` is a trial such as ``0007``, ``search``, or ``final-`` and a hash."""
    return f"{study_uid}-{name}"


@dataclass(frozen=True)
class ClosedRun:
    """How the run of a trial was closed."""

    state: State | Literal["waiting"]
    reason: str
    score: float | None = None


def tracked_trials(study: Study) -> dict[int, ClosedRun]:
    """Trials with a run that have ended or wait, by number, ascending; reused ones have theirs in an earlier study."""
    waiting = waiting_trials(study)
    found: dict[int, ClosedRun] = {}
    for number in study.trials():
        if study.origin(number) is not None:
            continue
        if (end := study.end(number)) is not None:
            found[number] = ClosedRun(end.state, end.reason, end.score)
        elif number in waiting:
            found[number] = ClosedRun("waiting", waiting[number].describe())
    return found


def changed_trials(study: Study, best: Best, *, online: bool) -> list[int]:
    """Numbers of the trials whose runs are no longer up to date, ascending.

    Args:
        online: whether to ask the server for former winners. All local runs are written again by ``publish``.

    Raises:
        requests.RequestException: as ``server.ask``.
    """
    changed = {int(best.trial), *map(int, best.noise.seeds)}
    if online:
        changed |= _tagged(study)
    return sorted(number for number in changed if study.origin(number) is None)


def _tagged(study: Study) -> set[int]:
    """Trials whose runs on the server have the winner's tag; none if the server cannot list runs."""
    try:
        found = server.runs_of(study.name)
    except server.Unsupported:
        # Confirming the upload asks the same, and says so.
        return set()
    ids = {run_id(study.info.study_uid, f"{number:04d}"): number for number in study.trials()}
    return {number for run, number in ids.items() if run in found and WINNER in found[run].tags}
