"""``python -m leukemia.predict --model DIR IMAGES...``: classify images with a delivered model."""

from __future__ import annotations

import argparse
import csv
import sys

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable
from leukemia.base.spreadsheet import cell_of


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.predict",
        "Print a CSV of probabilities for new images, path,probability_leukemic,predicted, or write a submission.",
        "--model runs/STUDY/final cells > probabilities.csv",
    )
    parser.add_argument(
        "--model",
        type=cli.path,
        required=True,
        metavar="DIR",
        help="folder written by leukemia.final: runs/STUDY/final",
    )
    parser.add_argument(
        "images", type=cli.path, nargs="+", metavar="IMAGE", help="image files, folders of images, or CSVs of paths"
    )
    cli.add_submission(parser)
    cli.add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Classify images; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.data.names import check_names
    from leukemia.delivery.classifier import classify, named_images
    from leukemia.delivery.submission import Submission

    names, images = zip(*named_images(arguments.images), strict=True)
    check_names(map(str, images), "IMAGE")
    submission = None if arguments.submission is None else Submission(path=arguments.submission)
    if submission is not None:
        submission.require_new()
        submission.check(names)
    probabilities = classify(arguments.model, images, arguments.device)
    if submission is not None:
        submission.write(names, [int(probability >= 0.5) for probability in probabilities])
        print(printable(f"submission: {submission.path}"))
        return SUCCESS
    # As `ls` does: names as they are for a file or a pipe, escaped on a terminal.
    shown = printable if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "probability_leukemic", "predicted"])
    for path, probability in zip(images, probabilities, strict=True):
        writer.writerow([shown(cell_of(str(path))), f"{probability:.6f}", int(probability >= 0.5)])
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
