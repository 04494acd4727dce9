"""The study's sweep in W&B: its page compares trials by their recipes, without a click."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from leukemia.base.files import write_json
from leukemia.base.record import read_record
from leukemia.config.results import score_name
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import SweepRecord
from leukemia.tracking import client

log = logging.getLogger(__name__)

METHODS = ("custom", "random")
"""Who proposes: somebody else; else, where the server does not know that, the nearest that it does."""

SWEEP_SECONDS = 20.0
"""How long a sweep may take to be found or made; by itself, W&B's client tries for minutes."""


def sweep_config(name: str, objective: str, space: Mapping[str, Any], method: str) -> dict[str, Any]:
    """A sweep's configuration in W&B's words.

    Args:
        space: ``Space.describe`` of ``search.policy.space``, as in ``study.json``; its keys are those of runs' config.
    """
    return {
        "name": name,
        "description": "Proposed by Optuna and run by python -m search.run; agents have nothing to do here.",
        "method": method,
        "metric": {"name": score_name(objective), "goal": "maximize"},
        "parameters": {key: _parameter(entry) for key, entry in space.items()},
    }


def _parameter(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "choices" in entry:
        return {"values": list(entry["choices"])}
    distribution = "log_uniform_values" if entry["log"] else "uniform"
    return {"distribution": distribution, "min": entry["low"], "max": entry["high"]}


def known_sweep(study: Study) -> SweepRecord | None:
    """The study's sweep in this server's project, whoever's that is now, or None; one that was removed there is none.

    Raises:
        Exception: W&B's own, where the server does not answer.
    """
    path = study.folder / layout.SWEEP
    if not path.is_file():
        return None
    known = read_record(SweepRecord, path)
    if (known.server, known.project) != (client.base_url(), client.project()):
        return None
    entity = client.entity()
    is_ours = known.url.endswith("/" + client.sweep_path(entity, known.id))
    return known if is_ours and client.has_sweep(entity, known.id) else None


def make_sweep(study: Study, runs: Sequence[str] = ()) -> SweepRecord:
    """The study's sweep, created where there is none; ``sweep.json`` remembers it.

    Args:
        runs: ids of runs that a new one adopts.

    Raises:
        Exception: W&B's own, where the server does not answer or takes no sweep.
        TimeoutError: it has not answered in ``SWEEP_SECONDS``. W&B's process is ended then, so no run may be open.
    """
    made: list[SweepRecord] = []
    failures: list[Exception] = []

    def make() -> None:
        try:
            made.append(known_sweep(study) or _created(study, runs))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=make, name="sweep", daemon=True)
    thread.start()
    try:
        thread.join(SWEEP_SECONDS)
    finally:
        # Ctrl-C comes by here, too. The thread, which keeps W&B's prints from the terminal, is let go by that.
        if is_late := thread.is_alive():
            client.end_client()
            thread.join(5)
    if made:
        return made[0]
    if is_late or not failures:
        raise TimeoutError(f"no answer in {SWEEP_SECONDS:g} s")
    raise failures[0]


def _created(study: Study, runs: Sequence[str]) -> SweepRecord:
    """A new sweep, remembered as soon as it is there: what was asked after that could leave it without an owner."""
    entity = client.entity()
    for method in METHODS:
        config = sweep_config(study.name, study.info.objective, study.info.space, method)
        try:
            identity = client.create_sweep(config, entity, runs)
            break
        except Exception as error:
            if method == METHODS[-1] or "method" not in str(error).lower():
                raise
            log.info("W&B takes no sweep of method %s (%s)", method, error)
    made = SweepRecord(
        id=identity,
        server=client.base_url(),
        project=client.project(),
        url=client.sweep_url(entity, identity),
    )
    write_json(study.folder / layout.SWEEP, dataclasses.asdict(made))
    return made
