"""Whether runs were uploaded completely; only then are their older local folders deleted."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import first_line
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.tracking import server


def outdated(study: Study) -> tuple[set[str], str]:
    """The runs on the server that must be written again, since a step that a run has is not sent twice.

    Returns:
        Ids of runs that were not uploaded completely, or whose tables have names of images and patients although the
        study does not want it, or the other way round; and a note, or an empty string. No ids if the server cannot
        tell.

    Raises:
        requests.RequestException: as ``server.ask``.
    """
    wanted = study.info.wandb_ids
    try:
        runs = server.runs_of(study.name).values()
    except server.Unsupported:
        # Confirming the upload asks the same, and says so.
        advice = (
            "the server cannot tell which tables were sent without names, and these stay so; to send all with names, "
            "publish to another project (WANDB_PROJECT)"
        )
        return set(), advice if wanted else ""
    named = [run for run in runs if run.with_names is not None and run.with_names != wanted]
    note = (
        ""
        if not named or wanted
        else (
            f"{len(named)} runs have names of images and patients from an earlier upload; their tables are sent again "
            "without, but W&B keeps earlier versions of files: delete them on its pages"
        )
    )
    return {run.id for run in runs if not run.is_complete or run in named}, note


def confirm(study: Study, runs: Sequence[str]) -> str:
    """Check that runs were uploaded completely, with their files, and delete their older local folders if so.

    Args:
        runs: ids.

    Returns:
        A note if the server cannot tell, or an empty string; then all local folders are kept.

    Raises:
        ConnectionError: runs are incomplete; the local folders of the others are deleted.
        requests.RequestException: as ``server.ask``.
    """
    try:
        found = server.runs_of(study.name)
    except server.Unsupported as error:
        return (
            f"the server cannot tell whether the upload is complete ({first_line(error)}); local runs are kept in "
            f"{study.folder / layout.WANDB}"
        )
    complete = [run for run in runs if run in found and found[run].is_complete]
    for run in complete:
        remove_older(study, run)
    if missing := [run for run in runs if run not in found or not found[run].is_closed]:
        raise ConnectionError(f"{len(missing)} runs did not finish uploading ({', '.join(missing[:3])})")
    if lost := [f"{run}: {name}" for run in runs for name in found[run].missing]:
        raise ConnectionError(
            f"{len(lost)} files did not arrive ({lost[0]}); a firewall may block the host on which W&B stores files"
        )
    return ""


def publish_hint(study: Study, advice: str = "upload it with") -> str:
    """The command that uploads what is missing, after an advice."""
    runs = shlex.quote(str(study.folder.parent))
    return f"{advice}: python -m leukemia.tracking publish {shlex.quote(study.name)} --runs {runs}"


def remove_older(study: Study, run: str, *, newest: Path | None = None) -> None:
    """Delete all local folders of a run but the newest, which was written from the study folder and has everything.

    Args:
        newest: the folder of the run that was just closed; None: the last by name. Names have the local time, which
            may be set back.
    """
    folders = _folders(study, run)
    kept = {path.resolve() for path in (folders[-1:] if newest is None else [newest])}
    for folder in folders:
        if folder.resolve() not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _folders(study: Study, run: str) -> list[Path]:
    """Local folders of a run, oldest first. W&B's client numbers those of one second."""
    name = re.compile(rf"(?:offline-)?run-(\d+_\d+)-{re.escape(run)}(?:-(\d+))?")
    found = [(name.fullmatch(path.name), path) for path in (study.folder / layout.WANDB).glob(f"*run-*-{run}*")]
    matching = [(match[1], int(match[2] or 0), path) for match, path in found if match]
    return [path for _, _, path in sorted(matching)]
