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
    parser.add_argument(
        "--contact-sheet",
        type=cli.path,
        metavar="FILE.png",
        help="draw images of each class as the network sees them, with sizes and patients, to a new file",
    )
    parser.add_argument(
        "--label-sheet",
        type=cli.path,
        metavar="FILE.csv",
        help="only list the images in a new CSV, with the labels and patients that can be read, to fill in the others",
    )
    parser.add_argument("--unlabelled", action="store_true", help="accept a test set without labels")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Describe a data set; returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    others = {"--contact-sheet": arguments.contact_sheet, "--subjects-from": arguments.subjects_from}
    if arguments.label_sheet is not None and any(others.values()):
        parser.error(f"--label-sheet reads no pixels; give {' and '.join(others)} when the labels are filled in")

    if arguments.label_sheet is not None:
        return _write_label_sheet(arguments)

    from leukemia.config.recipe import Recipe
    from leukemia.data.catalog import read_catalog
    from leukemia.data.description import describe
    from leukemia.data.folds import describe_split
    from leukemia.data.reading import Reading
    from leukemia.data.survival import describe_survival, viewed
    from leukemia.data.view import view_of
    from leukemia.reporting.contact_sheet import draw_contact_sheet, require_new_picture
    from leukemia.study.schema import SearchOptions

    sheet, reading, defaults = arguments.contact_sheet, Reading.of(arguments), SearchOptions()
    if sheet is not None:
        require_new_picture(sheet, arguments.data)
    catalog = read_catalog(arguments.data, reading, labels=not arguments.unlabelled)
    recipe = Recipe().resolved(catalog.sizes)
    view = view_of(recipe)
    print(describe(viewed(catalog, view), *reading.paths(arguments.data)), end="")
    print(f"{'input:':<13}{describe_survival(view, catalog.sizes)}")
    if catalog.has_labels:
        for number, line in enumerate(describe_split(catalog, defaults.folds, defaults.seed)):
            print(printable(line if number else f"{'split:':<13}{line}"))
    if sheet is not None:
        draw_contact_sheet(catalog, recipe, sheet, with_subjects=True)
        print(printable(f"{'sheet:':<13}{sheet}"))
    return SUCCESS


def _write_label_sheet(arguments: argparse.Namespace) -> int:
    from leukemia.data.label_sheet import LabelSheet
    from leukemia.data.reading import Reading

    sheet = LabelSheet(path=arguments.label_sheet, data=arguments.data, reading=Reading.of(arguments))
    sheet.require_new()
    num_images, num_labels = sheet.write()
    print(printable(f"{'sheet:':<13}{sheet.path} ({num_images} images, {num_labels} of them with a label)"))
    way = (
        "fill in the column label: 0 normal, 1 leukemic, or words for --classes; and subject and split (train, "
        "validation, test), if you know them"
    )
    print(printable(f"{'next:':<13}{way}; then {sheet.command}"))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
