"""W&B's client: opens runs that print nothing, makes what they show, and can be ended when it hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

# Before wandb is imported: none of its own lines in the terminal, and no reports of its own failures to its makers.
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import numpy as np
import pandas as pd
import psutil
import wandb

from leukemia import CLASS_NAMES
from leukemia.scoring.metrics import THRESHOLD

PROJECT = "leukemia-search"
"""W&B project, unless ``WANDB_PROJECT`` names another."""

INIT_TIMEOUT_SECONDS = 20
"""How long a run may wait for W&B's server to open it."""

FINISH_TIMEOUT_SECONDS = 30
"""How long the end of a run may wait for its upload."""

OPEN_FILES = 65_536
"""Open files asked for: each run that is open takes one here and three in W&B's process; systems often allow 1,024."""

FOREIGN = (
    *("WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_LAUNCH"),
    *("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_RESUME_FROM", "WANDB_FORK_FROM"),
)
"""Variables of whoever started this process, such as a sweep's agent, that would make our runs other runs."""

Mode = Literal["online", "offline"]

Run = Any
"""A ``wandb.Run``."""


def project() -> str:
    """Where runs go."""
    return os.environ.get("WANDB_PROJECT") or PROJECT


def base_url() -> str:
    """W&B's server as W&B sees it: ``WANDB_BASE_URL``, what ``wandb login --host`` wrote down, or its default."""
    return str(_settings().base_url).rstrip("/")


def _settings() -> wandb.Settings:
    """W&B's settings of this machine; reads them first where that is not done, so it goes before all else of W&B."""
    # For good, as W&B reads them again in its own time.
    for name in FOREIGN:
        os.environ.pop(name, None)
    if mode := os.environ.get("WANDB_MODE"):
        os.environ["WANDB_MODE"] = mode.lower()
    return wandb.setup().settings


def settings_problem() -> str | None:
    """What W&B itself would refuse of this machine's settings, with the variable's name, or None."""
    for name, value in list(os.environ.items()):
        if name.startswith("WANDB_") and name not in FOREIGN:
            try:
                wandb.Settings().update_from_env_vars({name: value.lower() if name == "WANDB_MODE" else value})
            except Exception as error:
                return f"{name}: {_reason(error)}"
    try:
        _settings()
    except Exception as error:
        return f"W&B's settings: {_reason(error)}"
    return None


def _reason(error: Exception) -> str:
    """What is wrong, without the value: it may be a key."""
    told = getattr(error, "errors", None)
    return str(told()[0]["msg"]) if callable(told) else str(error).partition("\n")[0]


def default_url() -> str:
    """W&B's own cloud."""
    return str(wandb.Settings().base_url).rstrip("/")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What a run is opened with."""

    id: str
    """Stable: the same run when it is opened again."""

    name: str
    group: str
    job_type: Literal["trial", "search", "final"]
    folder: Path
    """Its files go to ``wandb/`` in there."""

    config: Mapping[str, Any]
    tags: Sequence[str] = ()
    sweep: str | None = None
    """Id of the sweep that it belongs to."""

    on_stop: Callable[[], None] = field(default=lambda: None)
    """Called, from another thread, when somebody presses Stop on the run's page."""


def open_run(opening: RunSpec, mode: Mode) -> Run:
    """Open a run, or go on with it online; offline it is always a new one.

    Raises:
        Exception: W&B's own, of many kinds: the server does not answer, or its process has died.
    """
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if most < 0 else min(OPEN_FILES, most), most))
    _settings()
    return wandb.init(
        project=project(),
        dir=str(opening.folder),
        id=opening.id,
        name=opening.name,
        group=opening.group,
        job_type=opening.job_type,
        tags=list(opening.tags),
        config=dict(opening.config),
        mode=mode,
        reinit="create_new",
        resume="allow" if mode == "online" else None,
        settings=_quiet_settings(opening.sweep, opening.on_stop),
    )


def _quiet_settings(sweep: str | None = None, on_stop: Callable[[], None] = lambda: None) -> wandb.Settings:
    """Settings of a run that prints nothing and reads nothing but what it is given."""
    return wandb.Settings(
        silent=True,
        console="off",
        show_info=False,
        show_warnings=False,
        disable_git=True,
        save_code=False,
        x_save_requirements=False,
        x_disable_stats=True,
        x_disable_meta=True,
        # There, the training job's name would replace the run's id.
        sagemaker_disable=True,
        init_timeout=INIT_TIMEOUT_SECONDS,
        finish_timeout=FINISH_TIMEOUT_SECONDS,
        finish_timeout_raises=True,
        sweep_id=sweep,
        # By default Stop interrupts the main thread: the whole search.
        stop_fn=on_stop,
    )


def evidence(predictions: pd.DataFrame) -> dict[str, Any]:
    """Table, confusion matrix and ROC of out-of-fold predictions, as a run logs them.

    Args:
        predictions: ``Study.out_of_fold``.
    """
    table = predictions.assign(predicted=(predictions["probability_leukemic"] >= THRESHOLD).astype(int))
    probabilities = table["probability_leukemic"].to_numpy(dtype=float)
    labels = table["label"].to_numpy(dtype=int)
    found = {
        "out_of_fold": frame(table),
        "confusion_matrix": wandb.plot.confusion_matrix(
            y_true=labels.tolist(), preds=table["predicted"].tolist(), class_names=list(CLASS_NAMES)
        ),
    }
    if len(np.unique(labels)) == 2:
        both = np.stack([1 - probabilities, probabilities], axis=1)
        found["roc"] = wandb.plot.roc_curve(labels, both, labels=list(CLASS_NAMES))
    return found


def frame(table: pd.DataFrame) -> wandb.Table:
    """A table as W&B shows it; cells without a value are empty."""
    cells = table.astype(object).where(table.notna(), None)
    return wandb.Table(columns=[str(name) for name in table.columns], data=cells.to_numpy().tolist())


def image(path: Path) -> wandb.Image:
    """A picture."""
    return wandb.Image(str(path))


def artifact(name: str, kind: str, files: Sequence[Path], metadata: Mapping[str, Any]) -> wandb.Artifact:
    """A named, versioned set of files; a folder goes with all that is in it."""
    made = wandb.Artifact(name, type=kind, metadata=dict(metadata))
    for path in files:
        if path.is_dir():
            made.add_dir(str(path))
        else:
            made.add_file(str(path))
    return made


def create_sweep(config: Mapping[str, Any], entity: str, runs: Sequence[str] = ()) -> str:
    """Create a sweep in the project; returns its id.

    Args:
        entity: whose project it is; W&B would ask for it after the sweep is made, and might then lose it.
        runs: ids of runs that it adopts.
    """
    _settings()
    # W&B prints what it has made, and sets variables that later runs would read.
    before = {name: os.environ.get(name) for name in ("WANDB_PROJECT", "WANDB_ENTITY")}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            return str(wandb.sweep(dict(config), entity=entity, project=project(), prior_runs=list(runs)))
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ |= {} if value is None else {name: value}


def sweep_url(entity: str, identity: str) -> str:
    """Address of a sweep's page."""
    return f"{_settings().app_url}/{sweep_path(entity, identity)}"


def sweep_path(entity: str, identity: str) -> str:
    """The end of that address: the same wherever the server's pages are shown."""
    return "/".join(map(quote, (entity, project(), "sweeps", identity)))


def has_sweep(entity: str, identity: str) -> bool:
    """Whether the project still has a sweep; where the server cannot tell, it has."""
    _settings()
    try:
        wandb.Api().sweep(f"{entity}/{project()}/{identity}")
    except (ValueError, wandb.errors.CommError) as error:
        return not any(words in str(error).lower() for words in ("could not find sweep", "not found"))
    return True


def not_complete(group: str, runs: Iterable[str]) -> list[str]:
    """Those of ``runs``, ids of a group's runs, that the server does not hold to their end.

    The client gives up on a run whose key is refused in the middle, and closes it without a word.
    """
    found = wandb.Api().runs(f"{entity()}/{project()}", filters={"group": group}, per_page=500)
    # Killed: somebody pressed Stop, and the run was closed like any other.
    ended = {run.id for run in found if run.state in ("finished", "failed", "killed")}
    return [run for run in runs if run not in ended]


def entity() -> str:
    """Whose project it is; the server is asked for it where ``WANDB_ENTITY`` does not say so."""
    _settings()
    return os.environ.get("WANDB_ENTITY") or str(wandb.Api().default_entity)


def _add_silently(handler: logging.Handler) -> None:
    """Add a handler to W&B's logger whose failures, as on a full disk, are no tracebacks in the terminal."""
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    logging.Logger.addHandler(_LOGGER, handler)


# W&B gives each run a file of its own, and writes into it before the run is handed out.
_LOGGER = logging.getLogger("wandb")
_LOGGER.addHandler = _add_silently  # type: ignore[method-assign, assignment]


def end_client() -> None:
    """End W&B's process, whatever it is waiting for; runs that are open are lost to it. The next run starts another."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "wandb-core" in child.name():
                child.kill()
                child.wait(5)
    with contextlib.suppress(Exception):
        wandb.teardown()
