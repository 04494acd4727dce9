"""Paths in CSV files: written such that no spreadsheet takes them for a formula."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula can begin with; the last four are full-width forms of the first four."""

_CHANGED = (*_FORMULA, "#", " ")


def cell_of(path: str) -> str:
    """A relative path as written to a CSV: ``./NAME``, which is the same file, if it looks like a formula or a comment,
    or begins with a blank.

    >>> cell_of("=cmd.png"), cell_of("# 9.png"), cell_of("all/=cmd.png")
    ('./=cmd.png', './# 9.png', 'all/=cmd.png')
    """
    return f"./{path}" if path.startswith(_CHANGED) else path


def path_of(cell: str) -> str:
    """The inverse of ``cell_of``; also accepts paths as written by versions that did not change them.

    >>> path_of("./=cmd.png"), path_of("=cmd.png")
    ('=cmd.png', '=cmd.png')
    """
    path = cell.removeprefix("./")
    return path if path.startswith(_CHANGED) else cell
