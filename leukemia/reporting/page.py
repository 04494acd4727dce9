"""A report as one self-contained HTML file: embedded pictures, no scripts, all text escaped."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from leukemia.base.errors import MissingFile
from leukemia.base.files import write_text
from leukemia.base.printable import escaped
from leukemia.reporting.canvas import DPI
from leukemia.scoring.metrics import METRICS, Interval

Table: TypeAlias = pd.DataFrame | Sequence[Sequence[Any]]
"""A data frame (the index is not shown), or rows of cells, the first row being the header."""

_METRIC_NAMES = {
    "weighted_f1": "weighted F1",
    "sensitivity": "sensitivity (leukemic cells found)",
    "specificity": "specificity (normal cells found)",
    "auroc": "AUROC",
    "ece": "calibration error of the predicted class (ECE)",
}


@dataclass(frozen=True)
class Section:
    """A section of a page: a title and text (an empty line separates paragraphs); optional list, table and pictures."""

    title: str
    text: str
    table: Table | None = None
    pictures: Sequence[tuple[Path, str]] = ()
    """PNG files with captions."""

    points: Sequence[str] = ()
    """List items, shown between text and table."""


def metrics_table(scores: Mapping[str, Interval], majority_rate: float) -> pd.DataFrame:
    """Scores in the order of ``METRICS``, as "0.873 (0.851 to 0.894)", followed by the majority rate.

    >>> metrics_table({"accuracy": Interval(0.8734, 0.851, 0.894)}, 0.682).to_numpy().tolist()
    [['accuracy', '0.873 (0.851 to 0.894)'], ['majority rate', '0.682']]
    """
    rows = [
        (_METRIC_NAMES.get(metric, metric.replace("_", " ")), describe_interval(scores[metric]))
        for metric in METRICS
        if metric in scores
    ]
    return pd.DataFrame([*rows, ("majority rate", f"{majority_rate:.3f}")], columns=["score", "value (interval)"])


def describe_interval(interval: Interval) -> str:
    """A score and its interval, or why it is undefined.

    >>> describe_interval(Interval(0.8734, 0.851, 0.894))
    '0.873 (0.851 to 0.894)'
    """
    if math.isnan(interval.value):
        return "undefined: only one class"
    if math.isnan(interval.low):
        return f"{interval.value:.3f} (no interval: too few groups)"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Write a self-contained HTML file that needs no scripts and no network; all text is escaped.

    Raises:
        MissingFile: a picture is missing.
    """
    anchors = [f'<a href="#part-{number}">{_escape(part.title)}</a>' for number, part in enumerate(sections)]
    parts = "\n".join(_section(part, number) for number, part in enumerate(sections))
    contents = f"<nav>{' '.join(anchors)}</nav>" if len(anchors) > 2 else ""
    header = f"<header><h1>{_escape(title)}</h1><p>{_escape(subtitle)}</p>{contents}</header>"
    head = f"{_HEAD}<title>{_escape(title)}</title>\n<style>{_CSS}</style>"
    write_text(
        path, f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>{header}\n{parts}</body>\n</html>\n'
    )


def _section(section: Section, number: int) -> str:
    paragraphs = [f"<p>{_escape(text.strip())}</p>" for text in section.text.split("\n\n") if text.strip()]
    items = "\n".join(f"<li>{_escape(point)}</li>" for point in section.points)
    points = [f"<ul>{items}</ul>"] if items else []
    table = [] if section.table is None else [_table(section.table)]
    pictures = "\n".join(_picture(Path(path), caption) for path, caption in section.pictures)
    body = "\n".join([*paragraphs, *points, *table, f'<div class="pictures">{pictures}</div>' if pictures else ""])
    return f'<section id="part-{number}"><h2>{_escape(section.title)}</h2>\n{body}\n</section>'


def _table(table: Table) -> str:
    if isinstance(table, pd.DataFrame):
        table = [list(table.columns), *table.itertuples(index=False, name=None)]
    header, *rows = table
    head = "".join(f'<th scope="col">{_escape(cell)}</th>' for cell in header)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = "–" if math.isnan(value) else f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
        return f'<td class="number">{number}</td>'
    return f"<td>{'–' if value is None else _escape(value)}</td>"


def _picture(path: Path, caption: str) -> str:
    if not path.is_file():
        raise MissingFile(f"report: no picture at {path}; draw it before writing the page")
    data, text = path.read_bytes(), _escape(caption)
    # Bytes 16 to 19 of a PNG are its width in pixels; a CSS pixel is 1/96 inch.
    width = int.from_bytes(data[16:20], "big") * 96 // DPI
    source = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
    return f'<figure><img src="{source}" width="{width}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _escape(text: Any) -> str:
    # Line breaks cannot forge anything here; a mark of text direction could reorder the line.
    return html.escape("\n".join(map(escaped, str(text).split("\n"))), quote=True)


_HEAD = """
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
"""

_CSS = """
:root { --ink: #1d2430; --soft: #5b6472; --page: #f5f6f8; --card: #ffffff; --line: #e1e4e9; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e9f0; --soft: #9aa4b2; --page: #14171c; --card: #1d2128; --line: #333a45; --accent: #6cb6e8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 66rem; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; }
h2 { margin: 0 0 .6rem; font-size: 1.2rem; }
p { margin: 0 0 .8rem; max-width: 46rem; white-space: pre-line; }
ul { margin: 0 0 .8rem; padding-left: 1.2rem; max-width: 46rem; }
header p, figcaption { color: var(--soft); }
header p { margin: .4rem 0 1rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-bottom: 1.4rem; font-size: .92rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section { margin: 0 0 1.2rem; padding: 1.3rem 1.5rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.wide { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .35rem 1.1rem .35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td.number { text-align: right; }
tbody tr:last-child td { border-bottom: 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem 1.4rem; align-items: flex-end; }
figure { margin: .6rem 0 0; max-width: 100%; }
img { display: block; max-width: 100%; height: auto; padding: .6rem; background: #ffffff;
  border: 1px solid var(--line); border-radius: 8px; }
figcaption { margin-top: .4rem; font-size: .9rem; }
@media print { body { background: none; } section { break-inside: avoid; } }
"""
