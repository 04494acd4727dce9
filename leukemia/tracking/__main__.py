"""``python -m leukemia.tracking publish STUDY``: upload a study to Weights & Biases."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.tracking",
        "Upload a study to Weights & Biases: all its runs and a sweep page. Safe to run repeatedly.",
        "publish my-study",
    )
    parser.add_argument("command", choices=["publish"], help="upload a study")
    parser.add_argument("study", metavar="STUDY", help="name of the study")
    cli.add_runs(parser)
    cli.add_wandb_ids(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Publish a study; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.study.folder import Study
    from leukemia.tracking.publish import publish

    study = Study.find(arguments.runs, arguments.study)
    publish(study, lambda line: print(printable(line)), with_names=arguments.wandb_ids)
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
