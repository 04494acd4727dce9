"""Tables on their way into figures: their columns, missing values and units of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd


def require_columns(table: pd.DataFrame, name: str, columns: Sequence[str]) -> None:
    """Check a table before it is drawn.

    Args:
        name: name of the table in the error message.

    Raises:
        ValueError: a column is missing, or there are no rows.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{name}: expected the columns {', '.join(columns)}; {', '.join(missing)} missing")
    if table.empty:
        raise ValueError(f"{name}: expected at least one row, got none")


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows in JSON types; None for NaN and infinity, which JSON lacks.

    >>> rows_of(pd.DataFrame({"trial": [7], "score": [float("nan")]}))
    [{'trial': 7, 'score': None}]
    """
    kept = table.astype(object).where(table.notna() & ~table.isin([float("inf"), float("-inf")]), None)
    return [
        {str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}
        for row in kept.to_dict("records")
    ]


def time_unit(seconds: float) -> tuple[int, str]:
    """The unit for an axis up to ``seconds``: its length in seconds, and its name."""
    return (3600, "hours") if seconds >= 7200 else (60, "minutes") if seconds >= 120 else (1, "seconds")
