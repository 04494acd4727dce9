"""The argument parser of every command, and arguments that several commands share."""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from pathlib import Path
from typing import Any, NoReturn

from leukemia import __version__
from leukemia.base.errors import USER_ERROR
from leukemia.base.printable import printable

AUTO = "auto"
"""Argument value that lets the command choose."""

DEVICES = (AUTO, "cpu", "cuda", "mps")
"""Values of ``--device``."""

SEE_HELP = "; see --help"
"""The end of the line that an invalid argument gets."""

SPELLINGS = ("normal", "exact")
"""Values of ``--subject-spelling``."""

SCOPES = ("all", "site")
"""Values of ``--subject-scope``."""

Arguments = argparse._ActionsContainer
"""A parser or an argument group."""


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, which must be UTF-8: they are stored in JSON, which carries nothing else."""
        given = sys.argv[1:] if args is None else list(args)
        for argument in given:
            try:
                argument.encode()
            except UnicodeEncodeError:
                self.error(f"expected arguments in UTF-8, got {argument}; rename the file or folder")
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line, made printable: it may quote any argument. ``--help`` has the usage."""
        known = [option for action in self._actions for option in action.option_strings]
        if message.startswith("unrecognized arguments: -"):
            name = message.split()[2].split("=")[0]
            similar = difflib.get_close_matches(name, known, n=1)
            message += f"; did you mean {similar[0]}?" if similar else ""
        self.exit(USER_ERROR, f"error: {printable(message)}{SEE_HELP}\n")


def location(text: str) -> str:
    """A path on the command line, as text; an empty one, as of an unset variable, would be the current folder.

    ``~/`` is the home directory: shells do not expand it in ``--runs=~/studies``.

    Raises:
        ArgumentTypeError: the text is empty, or there is no home directory.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text; write '.' for the current folder")
    if not text.startswith("~/"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}; write the whole path") from None


def path(text: str) -> Path:
    """A path on the command line; not empty."""
    return Path(location(text))


def command_parser(module: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser for ``python -m MODULE`` with ``--help`` and ``--version``.

    Args:
        module: the module name after ``python -m``.
        description: one sentence for ``--help``.
        example: arguments of the example in ``--help``.
    """
    command = f"python -m {module}"
    parser = _Parser(
        prog=command,
        description=textwrap.fill(description),
        epilog=f"example:\n  {command} {example}",
        # An example that is wrapped cannot be pasted.
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # Else ``--all`` would be ``--allow-overlap``.
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def add_runs(arguments: Arguments) -> None:
    """Add ``--runs``."""
    arguments.add_argument(
        "--runs",
        type=path,
        default=Path("runs"),
        metavar="DIR",
        help="directory that contains the studies (default: %(default)s)",
    )


def add_study(arguments: Arguments) -> None:
    """Add an optional STUDY, and ``--runs``."""
    arguments.add_argument(
        "study", nargs="?", metavar="STUDY", help="name of the study (default: the newest with a winner)"
    )
    add_runs(arguments)


class Paths(argparse.Action):
    """The paths of one data set: the first one, and the others as ``also``; both are None if not given."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values[0])
        namespace.also = list(map(Path, values[1:]))


def add_data(arguments: Arguments, default: str) -> None:
    """Add ``--data`` and the options of ``add_reading``; ``default`` is the help text for the default data."""
    arguments.add_argument(
        "--data",
        type=location,
        nargs="+",
        action=Paths,
        metavar="DATA",
        help=f"C-NMC folder, folder of CSVs, one folder per class, or CSV files of one data set (default: {default})",
    )
    add_reading(arguments)


def add_reading(arguments: Arguments) -> None:
    """Add ``--base`` and the options of ``add_interpretation``; ``also`` is of an argument with ``Paths``."""
    arguments.set_defaults(also=None)
    arguments.add_argument(
        "--base",
        type=path,
        metavar="DIR",
        help="base directory for relative paths in the CSV (default: the directory of the CSV, or one above it that "
        "has all images)",
    )
    add_interpretation(arguments)


def add_interpretation(arguments: Arguments) -> None:
    """Add the options on subjects, classes and splits."""
    arguments.add_argument(
        "--subjects-from",
        type=path,
        metavar="DIR",
        help="take patient IDs from another copy of the data, matched by pixels; the other options on subjects then "
        "apply to the copy",
    )
    arguments.add_argument(
        "--subject-column",
        type=location,
        metavar="NAME",
        help="column of the CSV with the patient IDs (default: subject, if there is one)",
    )
    arguments.add_argument(
        "--subject-pattern",
        metavar="REGEX",
        help="regular expression with one group, the patient ID in an image's path or in --subject-column; '' for no "
        "patients (default: C-NMC's names, UID_SUBJECT_...)",
    )
    arguments.add_argument(
        "--subject-spelling",
        choices=SPELLINGS,
        help="normal: h3 = H3 and 1 = 1.0 = 01 are one patient; nan, NA, unknown and the like are none. exact: as "
        "written (default: normal)",
    )
    arguments.add_argument(
        "--subject-scope",
        choices=SCOPES,
        help="site: equal IDs in CSVs of different sites are different patients; all: they are one (default: all)",
    )
    arguments.add_argument(
        "--split-column",
        type=location,
        metavar="NAME",
        help="keep the split that the data have in this column of the CSV, as train, validation and test, or as fold "
        "numbers; 'split' for a split into folders or several CSVs (default: split all images together)",
    )
    arguments.add_argument(
        "--classes",
        nargs="+",
        metavar="CLASS=WORD,...",
        help="which folder names or labels are which class: normal=Benign,hem leukemic=Early,Pre,Pro; ignore=Other "
        "leaves images out (default: the usual words, such as hem/all, healthy/cancer, 0/1)",
    )
    arguments.add_argument(
        "--label-column",
        type=location,
        metavar="NAME",
        help="column of the CSV with the labels (default: label, else class, target, diagnosis, category or y)",
    )


def add_model(arguments: Arguments) -> None:
    """Add ``--model``."""
    arguments.add_argument(
        "--model",
        type=path,
        required=True,
        metavar="DIR",
        help="folder written by leukemia.final: runs/STUDY/final",
    )


def add_device(arguments: Arguments) -> None:
    """Add ``--device``."""
    arguments.add_argument(
        "--device",
        choices=DEVICES,
        default=AUTO,
        help="device to compute on (default: %(default)s, which picks cuda, else mps, else cpu)",
    )


def add_wandb_ids(arguments: Arguments) -> None:
    """Add ``--wandb-ids`` and ``--no-wandb-ids``; None if neither is given."""
    arguments.add_argument(
        "--wandb-ids",
        action=argparse.BooleanOptionalAction,
        help="send the names of images and patients to W&B; stored in the study, and so remembered by later commands "
        "(default: send row numbers instead)",
    )


def add_plugins(arguments: Arguments) -> None:
    """Add ``--plugin``, which can be repeated; ``leukemia.plugins.registry.load_named`` runs the files."""
    arguments.add_argument(
        "--plugin",
        action="append",
        type=path,
        default=[],
        dest="plugins",
        metavar="FILE.py",
        help="run this file, which registers a network, an optimizer or an augmentation (docs/plugins.md); it can do "
        "all that you can, so read it first; can be repeated",
    )


def add_settings(arguments: Arguments, description: str) -> None:
    """Add ``--set``, which can be repeated; parse its values with ``leukemia.config.fields.parse_settings``."""
    arguments.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="FIELD=VALUE", help=description
    )
