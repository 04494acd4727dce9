"""``python -m leukemia.catalog DATA``: what a data set holds and how it can be split."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia import __version__
from leukemia.base.errors import SUCCESS, run_command
from leukemia.data.catalog import describe, read_catalog


def main(argv: list[str] | None = None) -> int:
    """``python -m leukemia.catalog``: print what a data set holds and how it can be split."""
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.catalog",
        description="What a data set holds: images, subjects, duplicates, and which protocol is possible.",
        epilog="example: python -m leukemia.catalog ~/C-NMC_Leukemia",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="C-NMC's folder, a CSV Path,label, or folders by class")
    parser.add_argument("--base", type=Path, metavar="DIR", help="folder of a CSV's paths; absent: the CSV's own")
    parser.add_argument(
        "--subjects-from", type=Path, metavar="DIR", help="a copy of the same images that tells their subjects"
    )
    parser.add_argument("--unlabelled", action="store_true", help="accept a test set that has no labels")
    parser.add_argument("--version", action="version", version=__version__)
    args = parser.parse_args(argv)
    labels = not args.unlabelled
    catalog = read_catalog(args.data, base=args.base, subjects_from=args.subjects_from, labels=labels)
    print(describe(catalog), end="")
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
