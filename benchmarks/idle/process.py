"""Measure in a separate process, with a controlled environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leukemia.base.files import read_json

ROOT = Path(__file__).resolve().parents[2]

MEASURED = "measured.json"
"""The file that a measuring process leaves in its folder."""

ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray stays on loopback unless it is part of a cluster.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}
DROPPED = ("RAY_ADDRESS", "WANDB_API_KEY", "WANDB_DIR", "WANDB_PROJECT", "WANDB_RUN_GROUP")


def measure_in_process(module: str, *arguments: object, prefix: Sequence[str] = ()) -> dict[str, Any]:
    """Run ``python -m MODULE FOLDER ARGUMENTS`` in a temporary folder and return what it measured.

    Args:
        prefix: words before the command, such as those of ``unshare``.

    Returns:
        The content of ``MEASURED``, with ``load``, the machine's load just before.

    Raises:
        RuntimeError: the process failed; the message contains its output.
    """
    load = os.getloadavg()[0]
    # Ray places its sockets here, and the path of a socket is limited to 107 characters.
    with tempfile.TemporaryDirectory(prefix="measured-", dir="/tmp") as folder:
        environment = {name: value for name, value in os.environ.items() if name not in DROPPED} | ENVIRONMENT
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module, folder, *map(str, arguments)],
            env=environment | {"RAY_TMPDIR": folder},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = process.communicate()
        except KeyboardInterrupt:
            # The process has received the interrupt as well and shuts down its Ray first.
            process.communicate()
            raise
        if process.returncode:
            raise RuntimeError(f"{module} ended with status {process.returncode}:\n{output}")
        return {**read_json(Path(folder) / MEASURED), "load": load}
