"""Work on many items in threads, one per CPU, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from leukemia.base import progress
from leukemia.base.cpus import available_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")


def completed(work: Callable[[Item], Result], items: Iterable[Item], what: str) -> Iterator[tuple[Item, Result]]:
    """Call ``work`` with each item, and yield items with their results in the order of completion.

    Threads scale where the work is done in compiled code without Python's lock: reading and writing files, decoding,
    resizing, hashing. After an error, or if the iteration ends early, no further item is begun.

    Args:
        what: description for the progress bar, such as ``reading images``.

    Raises:
        BaseException: the first one that ``work`` raised, after the calls that had begun have ended.
    """
    pool = ThreadPoolExecutor(available_cpus())
    try:
        futures = {pool.submit(work, item): item for item in items}
        with progress.bar(what, len(futures)) as advance:
            for future in as_completed(futures):
                advance()
                yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)
