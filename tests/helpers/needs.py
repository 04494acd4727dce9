"""What slow tests need of a machine beyond ``make setup``: without it each is skipped and names it."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a machine's own tools lie; a user's path may lack ``sbin``."""


def lacking(*commands: str, root: bool = False) -> str | None:
    """Why a test that needs these commands cannot run here, or None."""
    if root and (sys.platform != "linux" or os.geteuid() != 0):
        return "needs root on Linux"
    absent = [command for command in commands if shutil.which(command, path=PATH) is None]
    return f"needs {', '.join(absent)}: .ci/apt-packages.txt names the packages" if absent else None


def requires(*commands: str, root: bool = False) -> None:
    """Skip the test where a command, or root, is missing."""
    skip_for(lacking(*commands, root=root))


def skip_for(reason: str | None) -> None:
    """Skip the test for this reason, if there is one; where continuous integration is root, the test fails.

    There ``.ci/run`` has installed all that the tests need, and a skip would hide that it has not.
    """
    if reason is None:
        return
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"skipped nowhere in continuous integration: {reason}", pytrace=False)
    pytest.skip(reason)
