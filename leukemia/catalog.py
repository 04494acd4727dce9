"""``python -m leukemia.catalog DATA``: describe a data set and how it can be split."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.catalog",
        "Describe a data set: images, patients, duplicates, and how it can be split.",
        "~/C-NMC_Leukemia",
    )
    parser.add_argument(
        "data",
        type=cli.path,
        nargs="+",
        action=cli.Paths,
        metavar="DATA",
        help="C-NMC folder, folder of CSVs, one folder per class, or CSV files with columns Path,label",
    )
    cli.add_reading(parser)
    parser.add_argument("--unlabelled", action="store_true", help="accept a test set without labels")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Describe a data set; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.data.catalog import describe, read_catalog
    from leukemia.data.folds import describe_split
    from leukemia.data.reading import Reading
    from leukemia.study.schema import SearchOptions

    reading, defaults = Reading.of(arguments), SearchOptions()
    catalog = read_catalog(arguments.data, reading, labels=not arguments.unlabelled)
    print(describe(catalog, *reading.paths(arguments.data)), end="")
    if catalog.has_labels:
        for number, line in enumerate(describe_split(catalog, defaults.folds, defaults.seed)):
            print(printable(line if number else f"{'split:':<13}{line}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
