"""W&B's client: runs, tables, artifacts, sweeps, and ending a client that hangs."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pandas as pd
import psutil
import wandb
from wandb.sdk import wandb_config

from leukemia.base.errors import first_line
from leukemia.tracking import settings

INIT_TIMEOUT_SECONDS = 20
"""Timeout for opening a run."""

FINISH_TIMEOUT_SECONDS = 30
"""Timeout for uploading a run when a search or ``leukemia.final`` closes it."""

UPLOAD_TIMEOUT_SECONDS = 600
"""Timeout for the same in ``publish``, in addition to the time for the run's files."""

SLOWEST_BYTES_PER_SECOND = 50_000
"""Speed of the slowest connection over which ``publish`` uploads files."""

MAX_OPEN_FILES = 65_536
"""Requested limit of open files; the default is often 1,024. A run needs one here and three in W&B's process."""

Mode = Literal["online", "offline", "upload", "overwrite"]
"""How runs are written.

- ``online``: an existing run is resumed, and has little time to be closed;
- ``offline``: a new local run is created;
- ``upload``: as ``online``, but with time to upload all files;
- ``overwrite``: as ``upload``, but an existing run is written again from its first step.
"""

DELETED = "previously created and deleted"
"""In the server's error for a run that was deleted."""

log = logging.getLogger(__name__)

Run = Any
"""A ``wandb.Run``."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Identity and config of a run."""

    id: str
    """Opening a run again with the same id continues it."""

    name: str
    group: str
    job_type: Literal["trial", "search", "final"]
    folder: Path
    """Local files are written to ``wandb/`` in this folder."""

    config: Mapping[str, Any]
    tags: Sequence[str] = ()
    sweep: str | None = None
    """Id of the sweep that the run belongs to."""

    upload_bytes: int = 0
    """Size of the files in its artifact, if they may be large."""

    on_stop: Callable[[], None] = field(default=lambda: None)
    """Called from another thread when a user presses Stop on the run's page."""


class NotStoredError(Exception):
    """The server has not stored an artifact."""


def open_run(spec: RunSpec, mode: Mode) -> Run:
    """Open a run; of a run that a user has deleted, one that does nothing (``is_deleted``).

    Raises:
        Exception: any error of W&B, for example the server is unreachable or the client process has crashed.
    """
    with contextlib.suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES if most < 0 else min(MAX_OPEN_FILES, most), most))
    try:
        return _init(spec, mode)
    except Exception as error:
        if DELETED not in str(error):
            raise
        log.warning("W&B: run %s was deleted on the server, which accepts no new one of this id; left out", spec.id)
        return wandb.init(mode="disabled", reinit="create_new")


def is_deleted(run: Run) -> bool:
    """Whether the run was deleted on the server, so that nothing was uploaded."""
    return bool(run.disabled)


def _init(spec: RunSpec, mode: Mode) -> Run:
    return wandb.init(
        project=settings.project(),
        dir=str(spec.folder),
        id=spec.id,
        name=spec.name,
        group=settings.group(spec.group),
        job_type=spec.job_type,
        tags=list(dict.fromkeys([*spec.tags, *settings.tags()])),
        config=dict(spec.config),
        mode="offline" if mode == "offline" else "online",
        # Without it, W&B overwrites the run that has this id.
        resume="allow" if mode in ("online", "upload") else None,
        settings=_quiet_settings(_finish_timeout(spec, mode), spec.sweep, spec.on_stop),
    )


def _finish_timeout(spec: RunSpec, mode: Mode) -> float:
    if mode in ("online", "offline"):
        return FINISH_TIMEOUT_SECONDS
    return UPLOAD_TIMEOUT_SECONDS + spec.upload_bytes / SLOWEST_BYTES_PER_SECOND


def close_run(run: Run, exit_code: int = 0, logged: wandb.Artifact | None = None) -> None:
    """Close a run, and wait until everything is uploaded.

    Args:
        logged: the artifact that was logged to the run, if any.

    Raises:
        TimeoutError: the upload did not finish in time.
        NotStoredError: the server has not stored the artifact. W&B's client closes the run without an error then.
    """
    run.finish(exit_code=exit_code)
    if logged is None or run.offline or is_deleted(run):
        return
    try:
        logged.wait(FINISH_TIMEOUT_SECONDS)
    except Exception as error:
        raise NotStoredError(f"{logged.name} was not stored ({first_line(error)})") from error


def _quiet_settings(finish_timeout: float, sweep: str | None, on_stop: Callable[[], None]) -> wandb.Settings:
    """Settings of a run that prints nothing and collects nothing on its own."""
    return wandb.Settings(
        **settings.FIXED,
        init_timeout=INIT_TIMEOUT_SECONDS,
        finish_timeout=finish_timeout,
        sweep_id=sweep,
        # By default, Stop interrupts the main thread and so the whole search.
        stop_fn=on_stop,
    )


def frame(table: pd.DataFrame) -> wandb.Table:
    """A W&B table; missing values are empty cells."""
    cells = table.astype(object).where(table.notna(), None)
    return wandb.Table(columns=[str(name) for name in table.columns], data=cells.to_numpy().tolist())


def image(path: Path) -> wandb.Image:
    """A W&B image from a file."""
    return wandb.Image(str(path))


def clear_summary(run: Run, *prefixes: str) -> None:
    """Delete the keys with these prefixes, which an earlier upload may have left, from a run's summary."""
    for key in dict(run.summary):
        if key.startswith(prefixes):
            del run.summary[key]


def artifact(name: str, kind: str, files: Mapping[str, Path | str], metadata: Mapping[str, Any]) -> wandb.Artifact:
    """A W&B artifact: a named, versioned set of files, given by name as paths or as text."""
    result = wandb.Artifact(name, type=kind, metadata=dict(metadata))
    for file, content in files.items():
        if isinstance(content, Path):
            # Files of a study are replaced, never changed in place, so models need no copy.
            result.add_file(str(content), name=file, policy="immutable", skip_cache=True)
        else:
            with result.new_file(file, encoding="utf-8") as stream:
                stream.write(content)
    return result


def create_sweep(config: Mapping[str, Any], entity: str, runs: Sequence[str] = ()) -> str:
    """Create a sweep in the project; returns its id.

    Args:
        entity: owner of the project; W&B would query it only after creating the sweep, which could then be lost.
        runs: ids of existing runs to add to it.
    """
    settings.resolved()
    # W&B prints the new sweep, and sets variables that later runs would read.
    before = {name: os.environ.get(name) for name in ("WANDB_PROJECT", "WANDB_ENTITY")}
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            return str(wandb.sweep(dict(config), entity=entity, project=settings.project(), prior_runs=list(runs)))
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ |= {} if value is None else {name: value}


def sweep_url(entity: str, identity: str) -> str:
    """URL of a sweep's page."""
    return f"{settings.resolved().app_url}/{sweep_path(entity, identity)}"


def sweep_path(entity: str, identity: str) -> str:
    """The path of that URL, which does not depend on the server's host name."""
    return "/".join(map(quote, (entity, settings.project(), "sweeps", identity)))


def has_sweep(entity: str, identity: str) -> bool:
    """Whether the project has a sweep; True if the server returns an unrelated error."""
    try:
        _api().sweep(f"{entity}/{settings.project()}/{identity}")
    except (ValueError, wandb.errors.CommError) as error:
        return not any(text in str(error).lower() for text in ("could not find sweep", "not found"))
    return True


def entity() -> str:
    """Owner of the project: as configured in W&B, else the account's default entity, queried from the server."""
    return settings.entity() or str(_api().default_entity)


def _api() -> wandb.Api:
    settings.resolved()
    return wandb.Api()


def _add_quiet_handler(handler: logging.Handler) -> None:
    """Add a handler to W&B's logger that prints no traceback when it fails, for example on a full disk."""
    handler.handleError = lambda record: None  # type: ignore[method-assign]
    logging.Logger.addHandler(_LOGGER, handler)


# W&B adds a file handler per run and writes to it before ``wandb.init`` returns, so patch ``addHandler``.
_LOGGER = logging.getLogger("wandb")
_LOGGER.addHandler = _add_quiet_handler  # type: ignore[method-assign, assignment]

# By default, all runs get the values in ``config-defaults.yaml`` in the working directory, and fail if it is invalid.
wandb_config.Config._load_defaults = lambda self: None


def end_client() -> None:
    """Kill W&B's process even if it hangs; open runs are abandoned. The next run starts a new process."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "wandb-core" in child.name():
                child.kill()
                child.wait(5)
    with contextlib.suppress(Exception):
        wandb.teardown()
