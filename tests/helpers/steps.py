"""The steps of a long test, printed as they pass, and as a table of their seconds at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

_taken: list[tuple[str, float]] = []


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print a line for a step, with its seconds."""
    start = time.monotonic()
    print(f"  {title} ...", end="", flush=True)
    yield
    _taken.append((title, time.monotonic() - start))
    print(f" {_taken[-1][1]:.0f} s", flush=True)


def print_table() -> None:
    """Print all steps so far as a table for docs/evidence.md, and forget them."""
    lines = ["| step | seconds |", "|---|---|", *(f"| {title} | {seconds:.0f} |" for title, seconds in _taken)]
    print("\n" + "\n".join(lines), flush=True)
    _taken.clear()
