"""``python -m leukemia.report STUDY``: write a study's report from its folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from leukemia import __version__
from leukemia.base.errors import SUCCESS, run_command
from leukemia.reporting.study_report import write_study_report
from leukemia.study.best import Best
from leukemia.study.folder import Study


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.report",
        description="Write a study's report.html and its pictures from the study folder.",
        epilog="example: python -m leukemia.report 20261124-101500-amber",
    )
    parser.add_argument("study", nargs="?", metavar="STUDY", help="name (default: the newest with a winner)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie (default: runs)"
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """``python -m leukemia.report``."""
    arguments = _parser().parse_args(argv)
    study = Study.find(arguments.runs, arguments.study)
    print(write_study_report(study, Best.found_in(study)))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
