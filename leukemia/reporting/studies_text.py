"""The comparison of studies on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leukemia.base.printable import printable
from leukemia.reporting.compared_study import ComparedStudy
from leukemia.reporting.studies_report import HEADER, summary
from leukemia.reporting.winner_differences import Row


def print_comparison(console: Console, studies: Sequence[ComparedStudy], differences: Sequence[Row]) -> None:
    """Print a row for each study, and a line for each difference between their winners."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in HEADER:
        table.add_column(name, overflow="fold")
    for row in summary(studies):
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
    for compared, difference, source in differences:
        line = f"{compared}: {difference} ({source})"
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
