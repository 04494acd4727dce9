"""The study's sweep in W&B: its page compares trials by their recipes, without a click."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from leukemia import client
from leukemia.crossval import score_name
from leukemia.files import Fields, read_record, write_json
from leukemia.study import Study

log = logging.getLogger("search")

METHODS = ("custom", "random")
"""Who proposes: somebody else; else, where the server does not know that, the nearest that it does."""

FIELDS: Fields = {"id": str, "server": str, "project": str, "url": str}
"""What ``sweep.json`` holds."""


def sweep_config(name: str, objective: str, space: Mapping[str, Any], method: str) -> dict[str, Any]:
    """A sweep's configuration in W&B's words.

    Args:
        space: ``Space.describe`` of ``search.space``, as ``study.json`` holds it; its keys are those of runs' config.
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


def known_sweep(study: Study) -> dict[str, Any] | None:
    """The study's sweep on this server and in this project, or None."""
    path = study.folder / "sweep.json"
    if not path.is_file():
        return None
    known = read_record(path, FIELDS)
    here = (client.base_url(), client.project())
    return known if (known["server"], known["project"]) == here else None


def make_sweep(study: Study, runs: Sequence[str] = ()) -> dict[str, Any]:
    """The study's sweep, created where there is none; ``sweep.json`` remembers it.

    Args:
        runs: ids of runs that a new one adopts.

    Raises:
        Exception: W&B's own, where the server does not answer or takes no sweep.
    """
    known = known_sweep(study)
    if known is not None:
        return known
    for method in METHODS:
        config = sweep_config(study.name, study.info["objective"], study.info["space"], method)
        try:
            identity = client.create_sweep(config, runs)
            break
        except Exception as error:
            if method == METHODS[-1] or "method" not in str(error).lower():
                raise
            log.info("W&B takes no sweep of method %s (%s)", method, error)
    made = {
        "id": identity,
        "server": client.base_url(),
        "project": client.project(),
        "url": client.sweep_url(identity),
    }
    write_json(study.folder / "sweep.json", made)
    return made
