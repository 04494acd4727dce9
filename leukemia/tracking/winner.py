"""The runs that the end of a search changes: of the winner, of former winners and of repeated trials."""

from __future__ import annotations

from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.schema import TrialEnd
from leukemia.tracking import server

WINNER = "winner"
"""Tag of the winner's run."""


def run_id(study_uid: str, name: str) -> str:
    """W&B's id of a study's run; ``name`` is a trial such as ``0007``, ``search``, or ``final-`` and a hash."""
    return f"{study_uid}-{name}"


def tracked_trials(study: Study) -> dict[int, TrialEnd]:
    """Ended trials that have runs, by number, ascending; those reused have their runs in an earlier study."""
    ends = {number: study.end(number) for number in study.trials() if study.origin(number) is None}
    return {number: end for number, end in ends.items() if end is not None}


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
