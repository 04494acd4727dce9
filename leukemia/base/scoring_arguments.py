"""Arguments of commands that score a delivered model or classify images with it."""

from __future__ import annotations

import argparse

from leukemia.base.cli import Arguments, path
from leukemia.base.errors import UserError


def add_test(arguments: Arguments, *, required: bool) -> None:
    """Add ``--test``, ``--test-base``, ``--drop-overlap`` and ``--allow-overlap``."""
    arguments.add_argument(
        "--test",
        type=path,
        required=required,
        metavar="DATA",
        help="test data: C-NMC test folder or its labels CSV, CSV file, or one folder per class",
    )
    arguments.add_argument(
        "--test-base",
        type=path,
        metavar="DIR",
        help="base directory for relative paths in the CSV of --test (default: the directory of that CSV, whatever "
        "--base is)",
    )
    overlap = arguments.add_mutually_exclusive_group()
    overlap.add_argument(
        "--drop-overlap",
        action="store_const",
        dest="overlap",
        const="drop",
        default="refuse",
        help="leave out test images that are in the training data, or whose patients are; every output says so "
        "(default: such a test set is refused)",
    )
    overlap.add_argument(
        "--allow-overlap",
        action="store_const",
        dest="overlap",
        const="allow",
        help="score such test images like the others; every output says so",
    )


def check_test(arguments: argparse.Namespace) -> None:
    """Check the options of ``add_test`` and ``add_submission`` against each other.

    Raises:
        UserError: they contradict.
    """
    if arguments.submission is not None and arguments.overlap == "drop":
        raise UserError(
            "--submission: it has a row for every test image, some of which --drop-overlap leaves out; give "
            "only one of the two"
        )


def share(text: str) -> float:
    """A number between 0 and 1.

    Raises:
        ArgumentTypeError: it is not.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, such as 0.3, got {text!r}")
    return value


def add_prevalence(arguments: Arguments) -> None:
    """Add ``--prevalence``."""
    arguments.add_argument(
        "--prevalence",
        type=share,
        metavar="P",
        help="share of leukemic cells where the model is to be used, such as 0.3: PPV and NPV are also computed for it "
        "(default: only for the share in the images)",
    )


def add_submission(arguments: Arguments) -> None:
    """Add ``--submission``."""
    arguments.add_argument(
        "--submission",
        type=path,
        metavar="FILE",
        help="new CSV ID,label with the predicted class of every test image: ID is that of the test list's column ID, "
        "else its path as written, in the list's order",
    )
