"""``python -m search.preflight FILE``: problems that would make ``ray up`` or ``sbatch`` fail."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, USER_ERROR, listed, print_error, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "search.preflight",
        "Check for problems that would make `ray up` or `sbatch` fail, without changing anything.",
        "cluster.yaml && ray up --no-config-cache cluster.yaml",
    )
    parser.add_argument(
        "cluster",
        type=cli.path,
        metavar="FILE",
        help="cluster file, as for `ray up`, or cluster.slurm, as for `sbatch`",
    )
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="ARGUMENTS",
        help="of the search, after cluster.slurm, as for `sbatch`: the search is timed on a node, and the job's time "
        "limit compared with that",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Check for problems and print them; returns the exit status."""
    parser = _parser()
    parsed = parser.parse_args(argv)
    path, arguments = parsed.cluster, parsed.arguments

    from search.preflight.slurm import SUFFIX, check_script, read_script

    if path.suffix == SUFFIX:
        return _report(path, "sbatch", *check_script(path, read_script(path), arguments))
    if arguments:
        parser.error(f"{' '.join(arguments)}: expected nothing after a cluster file of Ray; remove it")

    from search.cluster.variables import check_variables

    # Before anything imports Ray.
    check_variables()

    from search.preflight.check import check_cluster, read_cluster

    return _report(path, "ray up", *check_cluster(read_cluster(path)))


def _report(path: Path, command: str, problems: list[str], notes: list[str]) -> int:
    """Print what was found; returns the exit status."""
    for note in notes:
        print(printable(note))
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = listed(problems, limit=len(problems))
        print_error(f"{path} is not ready, {count} to fix:\n{lines}")
        return USER_ERROR
    print(printable(f"ready: {command} {path}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
