"""``python -m leukemia.sample``: generate the sample set."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia import __version__
from leukemia.base.errors import SUCCESS, run_command
from leukemia.data.sample import generate, sample_set


def main(argv: list[str] | None = None) -> int:
    """The command: generate a sample set and print where it lies."""
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.sample",
        description="Generate the sample set: 336 made images in the layout of C-NMC 2019 (205 MB).",
        epilog="example: python -m leukemia.sample --root data/sample",
    )
    parser.add_argument("--root", type=Path, help="folder to make (default: sample-v1 in the cache, generated once)")
    parser.add_argument("--version", action="version", version=f"leukemia-search {__version__}")
    root: Path | None = parser.parse_args(argv).root
    if root is None:
        root = sample_set()
    else:
        generate(root)
    print(root)
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
