"""The commands that a search names for what comes next: to resume it, and to train and deliver its winner."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from leukemia.study import layout
from leukemia.study.folder import Study

RESUME, FINAL = "LEUKEMIA_RESUME_COMMAND", "LEUKEMIA_FINAL_COMMAND"
"""Environment variables with the commands to name instead. ``search.slurm`` sets them: as typed on one machine, the
commands would train on the login node."""


def is_job() -> bool:
    """Whether ``search.slurm`` runs the search."""
    return RESUME in os.environ


def resume_command(study: Study, options: Sequence[str] = ()) -> str:
    """The command that resumes a study.

    Args:
        options: that it needs besides the study's name and folder.
    """
    where = shlex.join(["--study", study.name, "--runs", str(study.folder.parent), *options])
    return os.environ.get(RESUME) or f"python -m search.run --resume {where}"


def final_command(study: Study) -> str:
    """The command that trains and delivers a study's winner; with plug-ins, by the copies in the study's folder."""
    files = sorted((study.folder / layout.PLUGINS).glob("*.py"))
    plugins = [word for file in files for word in ("--plugin", str(file))]
    where = shlex.join(["--best", study.name, "--runs", str(study.folder.parent), *plugins])
    return os.environ.get(FINAL) or f"python -m leukemia.final {where}"
