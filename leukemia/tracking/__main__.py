"""``python -m leukemia.tracking publish STUDY``: upload a study to Weights & Biases."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia import __version__
from leukemia.base.errors import SUCCESS, run_command
from leukemia.study.folder import Study
from leukemia.tracking.publish import publish


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.tracking",
        description="Send a study to Weights & Biases: all its runs, then a sweep page. Can be repeated.",
        epilog="example: python -m leukemia.tracking publish my-study",
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("publish", help="send a study's runs to W&B's server")
    command.add_argument("study", metavar="STUDY", help="name of the study")
    command.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie (default: runs)"
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Publish a study; returns the exit status."""
    arguments = _parser().parse_args(argv)
    publish(Study.find(arguments.runs, arguments.study), print)
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
