"""``python -m leukemia.leakcheck``: measure how much of a random split's score comes from knowing the patients."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.leakcheck",
        "Cross-validate a study's winner again with images split at random, and compare the score with the score on "
        "unseen patients. The difference is the gain from having the same patients in training and validation.",
        "my-study --device cuda",
    )
    cli.add_study(parser)
    cli.add_data(parser, "where the search found it")
    cli.add_plugins(parser)
    cli.add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the leak check; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.base.provenance import command_line
    from leukemia.data.reading import Reading
    from leukemia.delivery.leak_check import check
    from leukemia.plugins.registry import load_named
    from leukemia.study.folder import Study

    found, path = check(
        Study.find(arguments.runs, arguments.study),
        data=arguments.data,
        reading=Reading.of(arguments),
        device_name=arguments.device,
        command=command_line("leukemia.leakcheck", argv),
        plugins=load_named(arguments.plugins),
    )
    print(found.describe())
    print(printable(f"leak check: {path}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
