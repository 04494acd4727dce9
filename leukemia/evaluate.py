"""``python -m leukemia.evaluate --model DIR --test DATA``: score a delivered model on a test set."""

from __future__ import annotations

import argparse

from leukemia.base import cli, scoring_arguments
from leukemia.base.errors import SUCCESS, run_command


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.evaluate",
        "Score a delivered model on a test set, and add the results to its folder, in tests/NAME; nothing is trained. "
        "Neither the study nor its data are needed.",
        "--model runs/STUDY/final --test hospital-2.csv",
    )
    cli.add_model(parser)
    cli.add_plugins(parser)
    scoring_arguments.add_test(parser, required=True)
    cli.add_interpretation(parser)
    # The data of a search have them; a test set has --test-base.
    parser.set_defaults(base=None, also=None)
    scoring_arguments.add_prevalence(parser)
    scoring_arguments.add_submission(parser)
    cli.add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Score a model; returns the exit status."""
    arguments = _parser().parse_args(argv)
    scoring_arguments.check_test(arguments)

    from leukemia.base.provenance import command_line
    from leukemia.data.location import absolute
    from leukemia.data.reading import Reading
    from leukemia.delivery.submission import Submission
    from leukemia.delivery.testing import Testing

    Testing(
        model=arguments.model,
        test=arguments.test,
        test_base=None if arguments.test_base is None else absolute(arguments.test_base),
        reading=Reading.of(arguments),
        device=arguments.device,
        overlap=arguments.overlap,
        prevalence=arguments.prevalence,
        submission=None if arguments.submission is None else Submission(path=arguments.submission),
        command=command_line("leukemia.evaluate", argv),
        plugins=arguments.plugins,
    ).run()
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
