"""The variables ``RAY_*`` of this machine. Ray reads most of them without a check: a wrong value may crash it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

import search
from leukemia.base.errors import UserError

SET_HERE = ("RAY_AUTH_MODE", "RAY_CLIENT_MODE", "RAY_CHDIR_TO_TRIAL_DIR")
"""Set by Ray itself in a process that uses it; the last one by ``search.cluster.tuner``, whatever its value was."""

LONGEST_IMPORT_SECONDS = 120
"""Within this time, Ray is imported even on a slow disk."""


def given() -> list[str]:
    """Names of the variables that the user has set."""
    own = {*search.VARIABLES.items(), *((name, os.environ.get(name)) for name in SET_HERE)}
    return sorted(name for name, value in os.environ.items() if name.startswith("RAY_") and (name, value) not in own)


def check_environment() -> None:
    """Check that Ray can be imported here, with docstrings and as ``check_variables``. Call it before the import.

    Raises:
        UserError: it cannot.
    """
    if sys.flags.optimize > 1:
        raise UserError("Ray cannot run without docstrings: leave out -OO, or set PYTHONOPTIMIZE to 1 or nothing")
    check_variables()


def check_variables() -> None:
    """Check that Ray can be imported with these variables: it may end the process instead. Call it before the import.

    Nothing is checked, and no time is spent, if no variable is set.

    Raises:
        UserError: it cannot; the message names the variables that are at fault.
    """
    names = given()
    if not names or _is_importable(without=()) or not _is_importable(without=names):
        return
    alone = [name for name in names if not _is_importable(without=set(names) - {name})]
    at_fault = alone or names
    raise UserError(
        f"{', '.join(f'{name}={os.environ[name]}' for name in at_fault)}: Ray cannot be imported with "
        f"{'this value' if len(at_fault) == 1 else 'these values'}; correct the variable, or unset it"
    )


def _is_importable(without: Iterable[str]) -> bool:
    """Whether another process can import Ray, without some of the variables."""
    environment = {name: value for name, value in os.environ.items() if name not in without}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", "import ray"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST_IMPORT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0
