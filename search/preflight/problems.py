"""What stands in a user's way, a line each; a look that trips over something is heard, and the next ones go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from leukemia.base.errors import first_line


def gathered(
    what: str, look: Callable[[], Iterable[str]], say: Callable[[Exception], str | None] = lambda _: None
) -> list[str]:
    """The lines that a look yields, with one more where it raises.

    Args:
        what: what is looked at, for the line about an error that nobody foresaw.
        say: words for an error; None for those of `unforeseen`.
    """
    found: list[str] = []
    try:
        for words in look():
            found.append(words)
    except Exception as error:
        found.append(say(error) or unforeseen(what, error))
    return found


def unforeseen(what: str, error: Exception) -> str:
    """The line for an error without words of its own: its type and first line, so that a bug of ours shows, too.

    >>> unforeseen("auth", KeyError("user"))
    "auth: cannot be looked at (KeyError: 'user'); correct it if it is wrong, else report this line as a bug"
    """
    said = f"{type(error).__name__}: {first_line(error)}"
    return f"{what}: cannot be looked at ({said}); correct it if it is wrong, else report this line as a bug"
