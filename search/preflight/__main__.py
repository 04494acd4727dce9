"""``python -m search.preflight CLUSTER.yaml``: problems that would make ``ray up`` fail."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, USER_ERROR, listed, print_error, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "search.preflight",
        "Check for problems that would make `ray up` fail, without changing anything.",
        "cluster.yaml && ray up --no-config-cache cluster.yaml",
    )
    parser.add_argument("cluster", type=cli.path, metavar="CLUSTER.yaml", help="cluster file, as for `ray up`")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Check for problems and print them; returns the exit status."""
    path = _parser().parse_args(argv).cluster

    from search.cluster.variables import check_variables

    # Before anything imports Ray.
    check_variables()

    from search.preflight.check import check_cluster, read_cluster

    problems, notes = check_cluster(read_cluster(path))
    for note in notes:
        print(printable(note))
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = listed(problems, limit=len(problems))
        print_error(f"{path} is not ready, {count} to fix:\n{lines}")
        return USER_ERROR
    print(printable(f"ready: ray up {path}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
