"""Two threads that use a storage in a given order, one operation at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from search.storage.filesystem import Storage

OPERATIONS = ("read", "write", "names", "modified", "remove")


class Turns:
    """Interleaves the operations of two functions, each in a thread."""

    def __init__(self, order: Sequence[int]) -> None:
        """
        Args:
            order: which of the two has the next operation; at the end, the first one runs before the second.
        """
        self._order, self._condition = list(order), threading.Condition()
        self._threads: list[threading.Thread] = []
        self._ended = [False, False]

    def run(self, monkeypatch: pytest.MonkeyPatch, *functions: Callable[[], None]) -> list[Exception | None]:
        """Run both functions to their ends; returns the exception of each."""
        errors: list[Exception | None] = [None, None]

        def work(number: int) -> None:
            try:
                functions[number]()
            except Exception as error:
                errors[number] = error
            with self._condition:
                self._ended[number] = True
                self._condition.notify_all()

        with monkeypatch.context() as patch:
            for name in OPERATIONS:
                patch.setattr(Storage, name, self._in_turn(getattr(Storage, name)))
            self._threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
            for thread in self._threads:
                thread.start()
            for thread in self._threads:
                thread.join()
        return errors

    def _in_turn(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            own = self._threads.index(threading.current_thread())
            with self._condition:
                self._condition.wait_for(lambda: self._next() == own)
                if self._order:
                    del self._order[0]
                try:
                    return operation(*arguments, **options)
                finally:
                    self._condition.notify_all()

        return call

    def _next(self) -> int:
        while self._order and self._ended[self._order[0]]:
            del self._order[0]
        return self._order[0] if self._order else int(self._ended[0])
