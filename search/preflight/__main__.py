"""``python -m search.preflight CLUSTER.yaml``: problems that would make ``ray up`` fail."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from leukemia import __version__
from leukemia.base.errors import SUCCESS, USER_ERROR, listed, run_command
from search.preflight.check import findings, read_cluster


def main(argv: list[str] | None = None) -> int:
    """Look, and say what was found; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m search.preflight",
        description="Look for everything that would make `ray up` fail, and change nothing.",
        epilog="example: python -m search.preflight cluster.yaml && ray up cluster.yaml",
    )
    parser.add_argument("cluster", type=Path, metavar="CLUSTER.yaml", help="the cluster's file, as for `ray up`")
    parser.add_argument("--version", action="version", version=__version__)
    path = parser.parse_args(argv).cluster
    config = read_cluster(path)
    problems, known = findings(config)
    for words in known:
        print(words)
    if problems:
        words = listed(problems, limit=len(problems))
        print(f"error: {path} is not ready, {len(problems)} to mend:\n{words}", file=sys.stderr)
        return USER_ERROR
    print(f"ready: ray up {path}")
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
