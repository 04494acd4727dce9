"""Text for terminals and logs: what a value contains can neither control the terminal nor forge a line."""

from __future__ import annotations

INDENT = "  "
"""Every line of a message but the first begins with it."""

LONGEST_LINE = 2_000
"""Longer lines are shortened, in characters."""

_KEPT_AT_END = 500


def printable(text: str) -> str:
    """A message with the escapes of ``one_line`` in each of its lines.

    A line break that is not followed by ``INDENT`` comes from a value, since messages indent their further lines. It
    is escaped, too, so that no value can begin a line of its own.

    >>> printable("first:\\n  second")
    'first:\\n  second'
    >>> print(printable("no file \\x1b[31m\\nerror: forged"))
    no file \\x1b[31m\\nerror: forged
    """
    return f"\n{INDENT}".join(one_line(line) for line in text.split(f"\n{INDENT}"))


def one_line(text: str) -> str:
    """A value as one line, ``escaped``; the middle of a line over ``LONGEST_LINE`` characters is left out."""
    if len(text) > LONGEST_LINE:
        start, end = text[: LONGEST_LINE - _KEPT_AT_END], text[-_KEPT_AT_END:]
        text = f"{start} ... ({len(text) - LONGEST_LINE} characters left out) ... {end}"
    return escaped(text)


def escaped(text: str) -> str:
    """A value with control characters, line breaks, text direction marks, lone surrogates and unusual spaces as
    escapes of Python.

    >>> print(escaped("a\\tb\\u202ec\\udc80"))
    a\\tb\\u202ec\\udc80
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
