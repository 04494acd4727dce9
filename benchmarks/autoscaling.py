"""Do nodes come when a search begins, and go when it is over?

    python benchmarks/autoscaling.py [--trials 12] [--seconds 2] [--nodes 3] [--json]

A search of idle trials (as in ``scale.py``) joins a cluster of a head without processors and Ray's own autoscaler,
which starts nodes of one processor each (``ray.cluster_utils.AutoscalingCluster``: processes of this machine). There
must be none before the search, some while it runs, at most ``--nodes``, and none in the end; every trial must be
complete.

Needs Linux, root, ``unshare`` and ``ip``: Ray ends other Rays there by name, so it gets namespaces of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys

from scale import measure_apart

from leukemia.base.errors import SUCCESS, UserError, run_command

NAMESPACES = [
    *("unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c"),
    *('ip link set lo up && "$@"; exit $?', "sh"),
]
"""Before a command: it sees neither other processes nor the network, and nothing that it starts outlives it."""


def why_not() -> str | None:
    """Why a command cannot get namespaces of its own here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    if not all(map(shutil.which, ("unshare", "ip"))):
        return "needs unshare and ip"
    if subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode:
        return "needs leave to make namespaces, as root of a container has none"
    return None


def main(argv: list[str] | None = None) -> int:
    """One search; prints what became of the nodes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12, help="(default: 12)")
    parser.add_argument("--seconds", type=float, default=2.0, help="a trial's sleep before each report (default: 2)")
    parser.add_argument("--nodes", type=int, default=3, help="at most (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args(argv)
    for name in ("trials", "nodes"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    if not 0 < arguments.seconds <= 3600:
        raise UserError(f"--seconds: expected more than 0 and at most 3600, got {arguments.seconds:g}")
    if reason := why_not():
        raise UserError(f"{reason}: Ray ends other Rays here by name")
    found = measure_apart(
        "autoscaling_search.py", arguments.trials, arguments.seconds, arguments.nodes, before=NAMESPACES
    )
    print(
        f"no nodes at first; the first {found['first_up_seconds']:.0f} s after the search began, all {found['nodes']} "
        f"after {found['all_up_seconds']:.0f} s; {found['trials']} trials over after {found['seconds']:.0f} s, the "
        f"last node gone {found['down_seconds']:.0f} s later (idle timeout {found['idle_seconds']:.0f} s)"
    )
    if arguments.json:
        print(json.dumps(found))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
