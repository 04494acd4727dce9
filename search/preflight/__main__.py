"""``python -m search.preflight FILE``: problems that would make ``ray up`` or ``sbatch`` fail."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
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
        "limit and the disk space compared with that",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Check for problems and print them; returns the exit status."""
    from search.preflight.job_options import is_script, options_of, read_script, variables_of
    from search.preflight.slurm import check_script

    parser = _parser()
    words = sys.argv[1:] if argv is None else argv
    if options := _options_before_script(words, lambda word: is_script(Path(word))):
        parser.error(
            f"{shlex.join(options)}: expected no options of sbatch, whose `#SBATCH` lines are checked; edit the file"
        )
    parsed = parser.parse_args(words)
    path, arguments = parsed.cluster, parsed.arguments
    if is_script(path):
        command, text = f"sbatch {shlex.join([str(path), *arguments])}", read_script(path)
        return _report(path, command, *check_script(path, options_of(path, text), arguments, variables_of(text)))
    if arguments:
        parser.error(f"{' '.join(arguments)}: expected nothing after a cluster file of Ray; remove it")

    from search.cluster.variables import check_variables

    # Before anything imports Ray.
    check_variables()

    from search.preflight.check import check_cluster, read_cluster

    return _report(path, f"ray up {path}", *check_cluster(read_cluster(path)))


def _options_before_script(words: list[str], is_script: Callable[[str], bool]) -> list[str]:
    """What stands before the job script, other than the options of this command: as on sbatch's command line.

    >>> _options_before_script(["--nodes", "4", "my.slurm", "--trials", "5"], lambda word: word.endswith(".slurm"))
    ['--nodes', '4']
    """
    script = next((index for index, word in enumerate(words) if is_script(word)), 0)
    own = ("-h", "--help", "--version", "--")
    return [] if any(word in own for word in words[:script]) else words[:script]


def _report(path: Path, command: str, problems: list[str], notes: list[str]) -> int:
    """Print what was found; returns the exit status.

    Args:
        command: what the problems would make fail.
    """
    for note in notes:
        # Before the problems, which are on stderr.
        print(printable(note), flush=True)
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = listed(problems, limit=len(problems))
        print_error(f"{path} is not ready, {count} to fix:\n{lines}")
        return USER_ERROR
    print(printable(f"ready: {command}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
