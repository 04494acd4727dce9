"""The state of a sweep in W&B: set as the search runs, and followed when a user changes it on the sweep's page."""

from __future__ import annotations

import logging
import threading
from typing import Any, Literal
from urllib.parse import unquote

from leukemia.base.errors import first_line
from leukemia.study.listener import Request
from leukemia.tracking import server
from leukemia.tracking.request import TIMEOUT_SECONDS
from leukemia.tracking.sweep import SweepRecord

log = logging.getLogger(__name__)

State = Literal["RUNNING", "PAUSED", "FINISHED", "CANCELED"]
"""W&B's states of a sweep that was started. A new one is ``PENDING``."""

REQUESTS = {"PAUSED": Request.PAUSE, "FINISHED": Request.STOP, "CANCELED": Request.CANCEL}
"""What the buttons Pause, Stop and Cancel, which set these states, ask of the search."""

POLL_SECONDS = 15.0
"""How often the state is read; W&B's client asks as often whether a run is to stop."""

_READ = """
query SweepState($entity: String, $project: String!, $sweep: String!) {
    project(name: $project, entityName: $entity) { sweep(sweepName: $sweep) { id state } }
}
"""
_WRITE = """
mutation UpsertSweep($id: ID, $state: String, $entity: String, $project: String) {
    upsertSweep(input: { id: $id, state: $state, entityName: $entity, projectName: $project }) { sweep { name } }
}
"""


class Deleted(server.Unsupported):
    """The server has no such sweep."""


def set_state(sweep: SweepRecord, state: State) -> None:
    """Set the state of a sweep.

    Raises:
        Unsupported: the server does not support it, or the sweep does not get this state.
        requests.RequestException: as ``server.ask``.
    """
    before = _read(sweep)
    if before["state"] == state:
        return
    # W&B pauses, finishes or cancels only a sweep that has not ended, and pauses only one that has started.
    steps = [state] if state == "RUNNING" or before["state"] in ("RUNNING", "PAUSED") else ["RUNNING", state]
    for step in steps:
        server.ask(_WRITE, id=before["id"], state=step, entity=_entity(sweep), project=sweep.project)
    if (after := _read(sweep)["state"]) != state:
        raise server.Unsupported(f"the sweep is {after} after it was set to {state}")


def _read(sweep: SweepRecord) -> dict[str, Any]:
    """``id``, not the sweep's short one, and ``state`` in upper case."""
    data = server.ask(_READ, entity=_entity(sweep), project=sweep.project, sweep=sweep.id)
    with server.reading():
        found = (data.get("project") or {}).get("sweep")
        if not found:
            raise Deleted(f"the server has no sweep {sweep.id}")
        return {"id": found["id"], "state": str(found["state"]).upper()}


def _entity(sweep: SweepRecord) -> str:
    """Owner of the sweep's project, as in its URL."""
    return unquote(sweep.url.split("/")[-4])


class SweepState:
    """The state of the sweep of a search that runs, followed by a thread of its own: the search never waits for it."""

    def __init__(self, sweep: SweepRecord) -> None:
        self._sweep = sweep
        self._request = Request.RUN
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="sweep state", daemon=True)
        self._thread.start()

    @property
    def request(self) -> Request:
        """What a user asked of the search on the sweep's page."""
        return self._request

    def _follow(self) -> None:
        is_running = False
        while not self._ended.is_set():
            try:
                if is_running:
                    self._request = REQUESTS.get(_read(self._sweep)["state"], Request.RUN)
                else:
                    # Until then the state may be that of the last end, and is no request.
                    set_state(self._sweep, "RUNNING")
                    is_running = True
            except Exception as error:
                if isinstance(error, Deleted) or (isinstance(error, server.Unsupported) and not is_running):
                    log.warning("W&B: buttons on the sweep page do not reach this search (%s)", first_line(error))
                    if self._request is Request.PAUSE:
                        # Nobody could resume it.
                        self._request = Request.RUN
                    return
                # Temporary; if it lasts, uploads fail, too, and report it.
                log.debug("the state of the sweep is unknown: %s", first_line(error))
            self._ended.wait(POLL_SECONDS)

    def end(self, *, finished: bool) -> None:
        """Set the final state and stop following it. A state that a user set to end the search stays.

        An interrupted search is PAUSED, not CANCELED, because it can be resumed.
        """
        self.abandon()
        self._thread.join(TIMEOUT_SECONDS)
        if self._request in (Request.STOP, Request.CANCEL):
            return
        try:
            set_state(self._sweep, "FINISHED" if finished else "PAUSED")
        except Exception as error:
            log.warning("W&B: the state of the sweep could not be set (%s)", first_line(error))

    def abandon(self) -> None:
        """Stop following the state, and leave it as it is."""
        self._ended.set()
