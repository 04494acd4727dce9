"""``python -m search.run``: search for the best recipe."""

from __future__ import annotations

import sys

from leukemia.base.errors import UserError, run_command


def main(argv: list[str] | None = None) -> int:
    """Run a search; returns the exit status."""
    if sys.flags.optimize > 1:
        raise UserError("Ray cannot run without docstrings: leave out -OO, or set PYTHONOPTIMIZE to 1 or nothing")

    from search.launch.arguments import parse

    arguments = parse(argv)

    from search.cluster.variables import check_variables

    # Before anything imports Ray.
    check_variables()

    from leukemia.base.provenance import command_line
    from search.launch.search import search

    return search(arguments, command_line("search.run", argv))


if __name__ == "__main__":
    run_command(main)
