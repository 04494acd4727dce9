"""``python -m leukemia.report STUDY``: write a study's report from its folder."""

from __future__ import annotations

import argparse

from leukemia.base import cli
from leukemia.base.errors import SUCCESS, run_command
from leukemia.base.printable import printable
from leukemia.study import layout


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.report", f"Write a study's {layout.REPORT} and its figures.", "20261124-101500-amber"
    )
    cli.add_study(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Write a report and print its path; returns the exit status."""
    arguments = _parser().parse_args(argv)

    from leukemia.base.files import require_writable
    from leukemia.reporting.study_report import write_study_report
    from leukemia.study.best import Best
    from leukemia.study.folder import Study
    from leukemia.study.verification import verify

    study = Study.find(arguments.runs, arguments.study)
    require_writable(study.folder)
    verify(study)
    print(printable(str(write_study_report(study, Best.find(study)))))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
