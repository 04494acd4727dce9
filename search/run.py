"""``python -m search.run``: search for the best recipe."""

from __future__ import annotations

from leukemia.base.errors import run_command


def main(argv: list[str] | None = None) -> int:
    """Run a search; returns the exit status."""
    from search.launch.arguments import parse

    arguments = parse(argv)

    from search.cluster.variables import check_environment

    # Before anything imports Ray.
    check_environment()

    from leukemia.base.provenance import command_line
    from search.launch.search import search

    return search(arguments, command_line("search.run", argv))


if __name__ == "__main__":
    run_command(main)
