"""``python -m leukemia.report STUDY``: write a study's report from its folder, or compare several studies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.base.printable import printable
from leukemia.study import layout

COMPARISON = "comparison.html"
"""The page that compares studies, next to their folders."""


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.report",
        f"Write a study's {layout.REPORT} and its figures, or a page that compares several studies.",
        "20261124-101500-amber",
    )
    parser.add_argument(
        "studies",
        nargs="*",
        metavar="STUDY",
        help="name of the study (default: the newest with a winner); several are compared with each other",
    )
    cli.add_runs(parser)
    parser.add_argument(
        "--out",
        type=cli.path,
        metavar="FILE.html",
        help=f"page that compares several studies (default: {COMPARISON} in --runs, which is replaced)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write a report, or a page that compares studies, and print its path; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if len(arguments.studies) > 1:
        return _compare(arguments.runs, arguments.studies, arguments.out)
    if arguments.out is not None:
        raise UserError(
            f"--out {arguments.out}: is for the page that compares two or more studies, got "
            f"{len(arguments.studies)}; name them, or leave it out"
        )

    from leukemia.base.files import require_writable
    from leukemia.reporting.study_report import write_study_report
    from leukemia.study.best import Best
    from leukemia.study.folder import Study
    from leukemia.study.verification import verify

    study = Study.find(arguments.runs, arguments.studies[0] if arguments.studies else None)
    require_writable(study.folder)
    verify(study)
    print(printable(str(write_study_report(study, Best.find(study)))))
    return SUCCESS


def _compare(runs: Path, names: list[str], out: Path | None) -> int:
    from rich.console import Console

    from leukemia.base.files import require_writable
    from leukemia.base.new_file import require_new
    from leukemia.reporting.compared_study import compared_studies
    from leukemia.reporting.studies_report import write_studies_report
    from leukemia.reporting.studies_text import print_comparison
    from leukemia.reporting.winner_differences import winner_differences

    if out is not None:
        require_new(out, "--out")
    studies = compared_studies(runs, names)
    page = runs / COMPARISON if out is None else out
    require_writable(page.parent)
    differences = winner_differences(studies)
    write_studies_report(studies, differences, page)
    print_comparison(Console() if sys.stdout.isatty() else Console(width=120), studies, differences)
    print(printable(str(page)))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
