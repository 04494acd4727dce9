"""The study's sweep in W&B, whose page compares trials by their recipes."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leukemia.base.provenance import without_credentials
from leukemia.base.record import read_record, write_record
from leukemia.config.parameters import swept
from leukemia.config.results import score_name
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares
from leukemia.tracking import client, settings

log = logging.getLogger(__name__)

METHODS = ("custom", "random")
"""Search methods to declare: ``custom``, or ``random`` on servers that do not support it."""

SWEEP_TIMEOUT_SECONDS = 20.0
"""Timeout for finding or creating a sweep; W&B's client alone would retry for minutes."""


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """``sweep.json``: the study's sweep in W&B."""

    id: str
    server: str
    project: str
    url: str


def sweep_config(
    name: str, objective: str, space: Mapping[str, Any], method: str, *, given: bool = False
) -> dict[str, Any]:
    """A sweep configuration in W&B's format.

    Args:
        space: ``Space.describe`` of ``search.policy.space``, as in ``study.json``.
        given: whether the user has given the recipes: it is a comparison.

    Parameters are nested as in the runs' config: W&B's API cannot filter by keys that contain dots.
    """
    return {
        "name": name,
        "description": f"{'A comparison of given recipes' if given else 'Proposed by Optuna and'} run by "
        "python -m search.run; agents have nothing to do here.",
        "method": method,
        "metric": {"name": score_name(objective), "goal": "maximize"},
        "parameters": swept(space),
    }


def existing_sweep(study: Study) -> SweepRecord | None:
    """The study's sweep; None if there is none in the current server, project and entity, or if it was deleted.

    Raises:
        Exception: any error of W&B, for example the server is unreachable.
    """
    path = study.folder / layout.SWEEP
    if not path.is_file():
        return None
    known = read_record(SweepRecord, path)
    if (without_credentials(known.server), known.project) != (settings.base_url(), settings.project()):
        return None
    entity = client.entity()
    is_ours = known.url.endswith("/" + client.sweep_path(entity, known.id))
    return known if is_ours and client.has_sweep(entity, known.id) else None


def make_sweep(study: Study, runs: Sequence[str] = ()) -> SweepRecord:
    """The study's sweep, created and saved to ``sweep.json`` if absent. Call it while no run is open.

    Args:
        runs: ids of existing runs to add to a new sweep.

    Raises:
        Exception: any error of W&B, for example the server is unreachable or does not support sweeps.
        TimeoutError: no answer in ``SWEEP_TIMEOUT_SECONDS``; W&B's process is killed.
    """
    found: list[SweepRecord] = []
    failures: list[Exception] = []

    def find_or_create() -> None:
        try:
            found.append(existing_sweep(study) or _create(study, runs))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=find_or_create, name="sweep", daemon=True)
    thread.start()
    try:
        thread.join(SWEEP_TIMEOUT_SECONDS)
    finally:
        # Also on Ctrl-C. Killing the client ends the thread, which redirects stdout while it runs.
        if is_late := thread.is_alive():
            client.end_client()
            thread.join(5)
    if found:
        return found[0]
    if is_late or not failures:
        raise TimeoutError(f"no answer in {SWEEP_TIMEOUT_SECONDS:g} s")
    raise failures[0]


def _create(study: Study, runs: Sequence[str]) -> SweepRecord:
    """Create a sweep and save it at once: the entity is queried first, so that nothing can fail in between."""
    entity = client.entity()
    for method in METHODS:
        info = study.info
        config = sweep_config(study.name, info.objective, info.space, method, given=compares(info))
        try:
            identity = client.create_sweep(config, entity, runs)
            break
        except Exception as error:
            if method == METHODS[-1] or "method" not in str(error).lower():
                raise
            log.info("W&B rejected a sweep with method %s (%s)", method, error)
    sweep = SweepRecord(
        id=identity,
        server=settings.base_url(),
        project=settings.project(),
        url=client.sweep_url(entity, identity),
    )
    write_record(study.folder / layout.SWEEP, dataclasses.asdict(sweep))
    return sweep
