"""What the commands have in common: their parser, and the arguments that several of them take."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia import __version__

AUTO = "auto"
"""The value of an argument that leaves the choice to the command."""

DEVICES = (AUTO, "cpu", "cuda", "mps")
"""What ``--device`` may be."""

Arguments = argparse._ActionsContainer
"""A parser, or a group of its arguments."""


def command_parser(module: str, description: str, example: str) -> argparse.ArgumentParser:
    """The parser of ``python -m MODULE``, with ``--help`` and ``--version``.

    Args:
        module: as after ``python -m``.
        description: one sentence.
        example: arguments of an example call.
    """
    command = f"python -m {module}"
    parser = argparse.ArgumentParser(prog=command, description=description, epilog=f"example: {command} {example}")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def add_runs(arguments: Arguments) -> None:
    """``--runs``."""
    arguments.add_argument(
        "--runs",
        type=Path,
        default=Path("runs"),
        metavar="DIR",
        help="directory that contains the studies (default: %(default)s)",
    )


def add_study(arguments: Arguments) -> None:
    """An optional STUDY, and ``--runs``."""
    arguments.add_argument(
        "study", nargs="?", metavar="STUDY", help="name of the study (default: the newest with a winner)"
    )
    add_runs(arguments)


def add_data(arguments: Arguments, default: str) -> None:
    """``--data`` and how it is read; ``default`` says which data are taken without it."""
    arguments.add_argument(
        "--data", metavar="DATA", help=f"C-NMC folder, CSV file or one folder per class (default: {default})"
    )
    add_reading(arguments)


def add_reading(arguments: Arguments) -> None:
    """``--base`` and ``--subjects-from``."""
    arguments.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="base directory for relative paths in the CSV, where it is not the directory of the CSV",
    )
    arguments.add_argument(
        "--subjects-from",
        type=Path,
        metavar="DIR",
        help="take patient IDs from another copy of the data, matched by pixels",
    )


def add_device(arguments: Arguments) -> None:
    """``--device``."""
    arguments.add_argument(
        "--device",
        choices=DEVICES,
        default=AUTO,
        help="device to compute on (default: %(default)s, which takes cuda, else mps, else cpu)",
    )


def add_settings(arguments: Arguments, description: str) -> None:
    """``--set``, which can be repeated; the texts are for ``leukemia.config.fields.parse_settings``."""
    arguments.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="FIELD=VALUE", help=description
    )
