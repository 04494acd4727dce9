"""What the user asks of the whole search through its listeners: Pause, Resume, Stop and Cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leukemia.study.listener import Listener, Request

NOTES = {
    Request.RUN: "resumed in W&B; new trials will start again",
    Request.PAUSE: "paused in W&B; no new trials will start until it is resumed there",
    Request.STOP: "stopped in W&B; no new trials will start",
}


class Canceled(Exception):
    """The user has canceled the search; it can be resumed."""


class Requests:
    """Asks the listeners, and notes what has changed."""

    def __init__(self, listeners: Sequence[Listener], note: Callable[[str], None]) -> None:
        self._listeners, self._note = listeners, note
        self.current = Request.RUN

    def update(self) -> None:
        """Ask again.

        Raises:
            Canceled: the search is to end now.
        """
        request = max((listener.request for listener in self._listeners), default=Request.RUN)
        if request is Request.CANCEL:
            raise Canceled("canceled in W&B")
        if request is not self.current:
            self.current = request
            self._note(NOTES[request])
