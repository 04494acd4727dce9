"""``python -m search.slurm``: run a search in a Slurm job, as cluster.slurm does."""

from __future__ import annotations

import os
import sys

from leukemia.base import cli
from leukemia.base.errors import run_command


def main(argv: list[str] | None = None) -> int:
    """Run a search on the nodes of this job; returns its exit status."""
    parser = cli.command_parser(
        "search.slurm",
        "Run `python -m search.run` with the same arguments on all nodes of the Slurm job that this process belongs "
        "to. cluster.slurm calls it.",
        "--data DATA --trials 50",
    )
    parser.usage = "%(prog)s [-h] [--version] ARGUMENTS OF search.run ..."
    parser.parse_known_args(argv)

    from search.cluster.variables import check_environment

    # Before anything imports Ray, which reads the mode then, and the token when it needs it.
    check_environment()
    os.environ["RAY_AUTH_MODE"] = "token"
    # Ray would take it instead of the job's own token.
    os.environ.pop("RAY_AUTH_TOKEN", None)

    from search.slurm.launcher import launch

    return launch(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    run_command(main)
