"""``python -m leukemia.predict --model DIR IMAGES...``: classify images with a delivered model."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Hashable, Iterable
from typing import Any

from leukemia.base import cli, scoring_arguments
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.printable import printable
from leukemia.base.spreadsheet import cell_of


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.predict",
        "Print a table of probabilities for new images, or write a submission. Its columns are id (if a CSV is given), "
        "path, probability_leukemic, predicted (1 leukemic, from the model's threshold on, or 0 normal), spread (over "
        "the views of test-time augmentation) and warning (how the image is unlike the training images).",
        "--model runs/STUDY/final cells > probabilities.csv",
    )
    cli.add_model(parser)
    cli.add_plugins(parser)
    parser.add_argument(
        "images",
        type=cli.path,
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of images, CSVs of paths, or quoted patterns such as 'cells/**/*.png'",
    )
    parser.add_argument("--format", choices=("csv", "json"), help="how the table is printed (default: csv)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit with status 2, and print no table, if any image cannot be used (default: such images are named and "
        "left out)",
    )
    scoring_arguments.add_submission(parser)
    cli.add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Classify images; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.submission is not None and arguments.format is not None:
        raise UserError("--format is that of the printed table, which --submission replaces; leave one of them out")

    from leukemia.delivery.delivered_model import DeliveredModel
    from leukemia.delivery.image_list import named_images
    from leukemia.delivery.submission import Submission

    images = named_images(arguments.images)
    names = [image.name for image in images]
    submission = None if arguments.submission is None else Submission(path=arguments.submission)
    if submission is not None:
        submission.require_new()
        submission.check(names)
    model = DeliveredModel(arguments.model, arguments.device, arguments.plugins)
    # The table has standard output to itself.
    print(printable(f"note: {model.decision.describe()}"), file=sys.stderr)
    # A submission has a row for every image.
    table = model.classify(images, skip=not arguments.strict and submission is None)
    if submission is not None:
        submission.write(names, table["predicted"].tolist())
        print(printable(f"submission: {submission.path}"))
        return SUCCESS
    rows = table.to_dict("records")
    if arguments.format == "json":
        # ASCII only, so that no name can control the terminal.
        print("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]")
    else:
        _print_csv(list(table.columns), rows)
    return SUCCESS


def _print_csv(columns: list[str], rows: Iterable[dict[Hashable, Any]]) -> None:
    # As `ls` does: names as they are for a file or a pipe, escaped on a terminal.
    shown = printable if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = row | {"path": cell_of(row["path"])}
        writer.writerow(
            [f"{cell:.6f}" if isinstance(cell, float) else shown(str(cell)) for cell in map(cells.get, columns)]
        )


if __name__ == "__main__":
    run_command(main)
