"""``python -m leukemia.sample``: generate the sample set."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.sample",
        "Generate the sample set: 336 synthetic images in the layout of C-NMC 2019 (205 MB).",
        "--root data/sample",
    )
    parser.add_argument(
        "--root",
        type=cli.path,
        metavar="DIR",
        help="folder to create (default: sample-v1 in the cache, which is generated only once)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Generate a sample set and print its path; returns the exit status."""
    root: Path | None = _parser().parse_args(argv).root

    from leukemia.data.sample import generate, sample_set

    if root is None:
        root = sample_set()
    else:
        generate(root)
    print(printable(str(root)))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
