"""What the user asks of the whole search through its listeners: Pause, Resume, Stop and Cancel."""

from __future__ import annotations

from leukemia.study.listener import Listener, Request

NOTES = {
    Request.RUN: "resumed in W&B; new trials will start again",
    Request.PAUSE: "paused in W&B; no new trials will start until it is resumed there",
    Request.STOP: "stopped in W&B; no new trials will start",
}


class Canceled(Exception):
    """The user has canceled the search; it can be resumed."""


class Requests:
    """Asks a listener, and notes what has changed."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.current = Request.RUN

    def update(self) -> None:
        """Ask again.

        Raises:
            Canceled: the search is to end now.
        """
        request = self._listener.request
        if request is Request.CANCEL:
            raise Canceled("canceled in W&B")
        if request is not self.current:
            self.current = request
            self._listener.note(NOTES[request])
