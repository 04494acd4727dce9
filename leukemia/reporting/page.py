"""A report as one self-contained HTML file: readable without scripts, interactive with them, all text escaped."""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from leukemia.base.errors import MissingFile
from leukemia.base.files import write_text
from leukemia.base.printable import escaped
from leukemia.reporting import theme
from leukemia.reporting.canvas import DPI
from leukemia.reporting.figure import Figure
from leukemia.reporting.gallery import Row
from leukemia.reporting.script import TEMPLATES, figure_script, page_script, policy_of
from leukemia.reporting.words import describe_interval, metric_name
from leukemia.scoring.metrics import METRICS, Interval

Table: TypeAlias = pd.DataFrame | Sequence[Sequence[Any]]
"""A data frame (the index is not shown), or rows of cells, the first row being the header."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a ``Grid``."""

    text: str
    value: str | float
    """What the column is sorted by; empty if absent."""

    @property
    def is_number(self) -> bool:
        """Whether it is sorted as a number."""
        return not isinstance(self.value, str)


@dataclass(frozen=True, kw_only=True)
class Download:
    """A CSV below a ``Grid``."""

    name: str
    content: str
    has: str
    """What it has, as the end of a sentence, such as ``all fields of all recipes``."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A long table that scripts can sort and filter; on narrow screens and on paper, a list of its rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    example: str
    """Of a filter."""

    sorted_by: int
    """Index of the column that the rows are sorted by, from its highest value."""

    download: Download | None = None


@dataclass(frozen=True)
class Section:
    """A section of a page: a title and text (an empty line separates paragraphs), and what follows, if anything."""

    title: str
    text: str
    table: Table | None = None
    pictures: Sequence[tuple[Path, str]] = ()
    """PNG files with captions."""

    points: Sequence[str] = ()
    """List items, shown between text and table."""

    figures: Sequence[Figure] = ()
    grid: Grid | None = None
    gallery: Sequence[Row] = ()
    quoted: str = ""
    """A result in large type, above the text."""


@dataclass(frozen=True)
class Part:
    """Sections under a common heading; a section without a title needs none of its own."""

    title: str
    sections: Sequence[Section]


def metrics_table(scores: Mapping[str, Interval], majority_rate: float) -> pd.DataFrame:
    """Scores in the order of ``METRICS``, as "0.873 (0.851 to 0.894)", followed by the majority rate.

    >>> metrics_table({"accuracy": Interval(0.8734, 0.851, 0.894)}, 0.682).to_numpy().tolist()
    [['accuracy', '0.873 (0.851 to 0.894)'], ['majority rate', '0.682']]
    """
    rows = [(metric_name(metric), describe_interval(scores[metric])) for metric in METRICS if metric in scores]
    return pd.DataFrame([*rows, ("majority rate", f"{majority_rate:.3f}")], columns=["score", "value (interval)"])


def write_page(path: Path, title: str, subtitle: str, parts: Sequence[Section | Part]) -> None:
    """Write a self-contained HTML file that needs no network; all text is escaped.

    Raises:
        MissingFile: a picture is missing.
    """
    sections = [each for part in parts for each in (part.sections if isinstance(part, Part) else [part])]
    has_figures, has_grid = (any(getattr(each, name) for each in sections) for name in ("figures", "grid"))
    scripts = [*([figure_script()] if has_figures else []), *([page_script()] if has_figures or has_grid else [])]
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            subtitle=subtitle,
            parts=parts,
            css=theme.css() + (TEMPLATES / "page.css").read_text(encoding="utf-8"),
            scripts=scripts,
            policy=Markup(policy_of(scripts)),
        )
    )
    write_text(path, page.lstrip())


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("leukemia.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_plain,
    )
    environment.tests["numeric"] = _is_number
    environment.filters |= {
        "data_url": _data_url,
        "in_script": _in_script,
        "markup": Markup,
        "picture_url": _picture_url,
        "picture_width": _picture_width,
        "rows": _rows,
        "shown": _shown,
    }
    return environment


def _plain(value: Any) -> Any:
    """Text without control characters; line breaks cannot forge anything, a mark of direction could reorder a line."""
    return "\n".join(map(escaped, value.split("\n"))) if type(value) is str else value


def _rows(table: Table) -> list[Sequence[Any]]:
    if isinstance(table, pd.DataFrame):
        return [list(table.columns), *table.itertuples(index=False, name=None)]
    return list(table)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A cell as text.

    >>> _shown(0.87345), _shown(float("nan")), _shown(None), _shown(12), _shown("0007")
    ('0.8734', '–', '–', '12', '0007')
    """
    if value is None or (_is_number(value) and math.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _in_script(text: str) -> Markup:
    """JSON inside of a ``script`` element, which no text of a user can end."""
    return Markup(text.replace("<", "\\u003c"))


def _data_url(text: str, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode('ascii')}"


def _picture(path: Path) -> bytes:
    if not path.is_file():
        raise MissingFile(f"report: no picture at {path}; draw it before writing the page")
    return path.read_bytes()


def _picture_url(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(_picture(path)).decode('ascii')}"


def _picture_width(path: Path) -> int:
    # Bytes 16 to 19 of a PNG are its width in pixels; a CSS pixel is 1/96 inch.
    return int.from_bytes(_picture(path)[16:20], "big") * 96 // DPI
