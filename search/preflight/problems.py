"""Collect preflight problems, a line each; one failing check does not hide the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from leukemia.base.errors import first_line


def collect(
    subject: str, check: Callable[[], Iterable[str]], describe: Callable[[Exception], str | None] = lambda _: None
) -> list[str]:
    """The problems that a check yields, and one more if it raises.

    Args:
        subject: what is checked, for the line about an unexpected error.
        describe: a line for an error; None for that of `unexpected`.
    """
    problems: list[str] = []
    try:
        for problem in check():
            problems.append(problem)
    except Exception as error:
        problems.append(describe(error) or unexpected(subject, error))
    return problems


def unexpected(subject: str, error: Exception) -> str:
    """The line for an unexpected error: its type and first line, because it may be a bug in the check.

    >>> unexpected("auth", KeyError("user"))
    "auth: cannot be checked (KeyError: 'user'); correct it if it is wrong, otherwise report this line as a bug"
    """
    text = f"{type(error).__name__}: {first_line(error)}"
    return f"{subject}: cannot be checked ({text}); correct it if it is wrong, otherwise report this line as a bug"
