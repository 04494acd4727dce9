"""``python -m leukemia.unpack ARCHIVE FOLDER``: write the images of an ``.npz`` archive as files."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.unpack",
        "Write the images of an .npz archive, such as those of MedMNIST, as PNG files with a CSV of labels.",
        "bloodmnist.npz bloodmnist",
    )
    parser.add_argument(
        "archive", type=cli.path, metavar="ARCHIVE", help="archive with the arrays train_images, train_labels, ..."
    )
    parser.add_argument("folder", type=cli.path, metavar="FOLDER", help="folder to create")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Unpack an archive and print the path of the CSV; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.data.array_archive import unpack

    print(printable(str(unpack(arguments.archive, arguments.folder))))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
