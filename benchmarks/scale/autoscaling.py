"""Does Ray's autoscaler start nodes when a search starts, and stop them when it is over?

    python -m benchmarks.scale.autoscaling [--trials 12] [--seconds 2] [--nodes 3] [--json]

A search of sleeping trials (as in ``workers``) joins a cluster with a head without CPUs and Ray's own autoscaler, which
starts nodes of one CPU each (``ray.cluster_utils.AutoscalingCluster``: processes on this machine). There must be no
node before the search, at least one and at most ``--nodes`` during it, and none at the end; every trial must be
complete.

Requires Linux, root, ``unshare`` and ``ip``: AutoscalingCluster kills other Ray processes by name, so it runs in
namespaces of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys

from benchmarks.idle.process import measure_in_process
from leukemia.base.errors import SUCCESS, UserError, run_command

NAMESPACES = [
    *("unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c"),
    *('ip link set lo up && "$@"; exit $?', "sh"),
]
"""Prefix of a command: it sees neither other processes nor the network, and nothing that it starts outlives it."""


def why_not() -> str | None:
    """Why commands cannot run in their own namespaces here, or None if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux"
    if not all(map(shutil.which, ("unshare", "ip"))):
        return "needs unshare and ip"
    if subprocess.run([*NAMESPACES, "true"], capture_output=True).returncode:
        return "needs permission to create namespaces, which root in a container lacks"
    return None


def main(argv: list[str] | None = None) -> int:
    """Run one search and print when nodes started and stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12, help="trials of the search (default: 12)")
    parser.add_argument("--seconds", type=float, default=2.0, help="a trial's sleep before each report (default: 2)")
    parser.add_argument("--nodes", type=int, default=3, help="maximum number of nodes (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args(argv)
    for name in ("trials", "nodes"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    if not 0 < arguments.seconds <= 3600:
        raise UserError(f"--seconds: expected more than 0 and at most 3600, got {arguments.seconds:g}")
    if reason := why_not():
        raise UserError(f"{reason}: AutoscalingCluster kills other Ray processes by name")
    found = measure_in_process(
        "benchmarks.scale.measuring.autoscaled_search",
        *(arguments.trials, arguments.seconds, arguments.nodes),
        prefix=NAMESPACES,
    )
    print(
        f"no nodes at first; the first up {found['first_up_seconds']:.0f} s after the start of the search, all "
        f"{found['nodes']} after {found['all_up_seconds']:.0f} s; {found['trials']} trials finished after "
        f"{found['seconds']:.0f} s, the last node stopped {found['down_seconds']:.0f} s later (idle timeout "
        f"{found['idle_seconds']:.0f} s)"
    )
    if arguments.json:
        print(json.dumps(found))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
