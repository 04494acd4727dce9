"""A fake Weights & Biases server on localhost for the real client."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, get_args
from urllib.parse import unquote, urlsplit

from helpers.wandb_records import Artifact, Run, Sweep
from helpers.wandb_store import Store

KEY = "0123456789abcdef0123456789abcdef01234567"
"""Default API key; the client itself rejects shorter keys."""

Fault = Literal["500", "400", "401", "403", "slow", "hang", "drop", "lost"]
"""Server error; query, key or file rejected; slow; no answer; connection closed; handled, but the answer lost."""

TELEMETRY = "/sdk/otel/"
"""Path of the client's telemetry."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request and its status, without the key."""

    method: str
    path: str
    operation: str
    """Name of the GraphQL operation; empty if none."""

    query: str
    variables: dict[str, Any]
    headers: dict[str, str]
    """By lower-case name."""

    status: int
    """0 if there was no answer."""


class WandbServer:
    """``with WandbServer() as server``: a server on a free port; clients connect to ``server.url``.

    Faults can be set at any time. Read its content after the client has ended, or in a condition of ``wait_for``.
    """

    def __init__(self, *, key: str = KEY) -> None:
        self.key = key
        """Requests with another key get 401."""

        self.delay = 0.5
        """Seconds of delay for the fault ``slow``."""

        self.fault_at = ""
        """Limits the fault to paths or operations containing this text, such as ``CommitArtifact``; set it first."""

        self.requests: list[Request] = []
        """All finished requests, answered or not, except telemetry."""

        self.num_requests = 0
        """Number of requests so far, including those in flight."""

        self.num_in_flight = 0
        """Number of requests without an answer yet."""

        self._fault: Fault | None = None
        self._store = Store()
        self._changed = threading.Condition(threading.RLock())
        self._http: _Http | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Value for ``WANDB_BASE_URL``."""
        return self._store.url

    @property
    def runs(self) -> dict[str, Run]:
        """Runs by id."""
        return self._store.runs

    @property
    def sweeps(self) -> dict[str, Sweep]:
        """Sweeps by id."""
        return self._store.sweeps

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Versions of artifacts by ``collection:vN``; uncommitted ones by identity."""
        return {
            identity if artifact.version is None else f"{artifact.collection}:v{artifact.version}": artifact
            for identity, artifact in self._store.artifacts.items()
        }

    @property
    def unknown(self) -> list[str]:
        """Requests that the fake server does not support; tests must end without any."""
        return self._store.unknown

    @property
    def operations(self) -> list[str]:
        """Names of all GraphQL operations so far."""
        with self._changed:
            return [request.operation for request in self.requests if request.operation]

    @property
    def fault(self) -> Fault | None:
        """The current fault; requests that hang are dropped when it changes."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        if fault not in (None, *get_args(Fault)):
            raise ValueError(f"fault: expected None or one of {', '.join(get_args(Fault))}, got {fault!r}")
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def start(self) -> None:
        """Start the server; after ``stop``, on the same port and with the same content."""
        if self._http is not None:
            return
        self._http = _Http(("127.0.0.1", self._port), self)
        self._port = self._http.server_port
        self._store.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Stop the server as a crash would: close the port and all connections."""
        if self._http is None:
            return
        http, self._http = self._http, None
        http.shutdown()
        http.server_close()
        http.close_connections()
        with self._changed:
            self._changed.notify_all()

    def stop_run(self, run_id: str) -> None:
        """Press Stop; the run receives it in the answer to its next upload."""
        with self._changed:
            self.runs[run_id].stopped = True

    def delete_run(self, run_id: str) -> None:
        """Delete a run on its page, or before it is uploaded."""
        with self._changed:
            self.runs.pop(run_id, None)
            self._store.deleted.add(run_id)

    def set_sweep_state(self, sweep: str, state: str) -> None:
        """Press Pause (``PAUSED``), Resume (``RUNNING``), Stop (``FINISHED``) or Cancel (``CANCELED``) on its page."""
        with self._changed:
            self.sweeps[sweep].state = state

    def wait_for(self, condition: Callable[[], Any], *, seconds: float = 600.0) -> None:
        """Wait until ``condition`` holds.

        Raises:
            TimeoutError: it does not hold within ``seconds``.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout=seconds):
                raise TimeoutError(f"condition not met after {seconds} s; last requests: {self.requests[-3:]}")

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes] | None:
        """Status and body of the answer; None to close the connection without an answer."""
        query, variables = "", dict[str, Any]()
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if path == "/graphql":
            content = json.loads(body)
            query, variables = content["query"], content.get("variables") or {}
        operation = _operation(query)
        authorized = headers.pop("authorization", "") == _authorization(self.key)
        answer = None
        # Faults apply to the client's telemetry too, but it is not recorded.
        is_recorded = not path.startswith(TELEMETRY)
        with self._changed:
            self.num_requests += is_recorded
            self.num_in_flight += is_recorded
            try:
                answer = self._answer(method, path, operation, variables, body, authorized=authorized)
            finally:
                self.num_in_flight -= is_recorded
                request = Request(
                    method=method,
                    path=path,
                    operation=operation,
                    query=query,
                    variables=variables,
                    headers=headers,
                    status=answer[0] if answer else 0,
                )
                self.requests += [request] * is_recorded
                self._changed.notify_all()
        return answer

    def _answer(
        self, method: str, path: str, operation: str, variables: dict[str, Any], body: bytes, *, authorized: bool
    ) -> tuple[int, bytes] | None:
        http = self._http
        fault = self._fault if self.fault_at in f"{path} {operation}" else None
        if fault == "slow":
            self._changed.wait_for(lambda: self._http is not http, timeout=self.delay)
        if fault == "hang":
            self._changed.wait_for(lambda: self._http is not http or self._fault != "hang")
        if fault in ("hang", "drop") or self._http is not http or http is None:
            return None
        if fault == "500":
            return 500, b"server error"
        if fault == "400":
            return 400, json.dumps({"errors": [{"message": "invalid query"}]}).encode()
        if fault == "403":
            return 403, b"blocked"
        # URLs of files need no key, nor does telemetry.
        if fault == "401" or not (authorized or path.startswith(("/storage/", TELEMETRY))):
            return 401, json.dumps({"errors": [{"message": "user is not logged in"}]}).encode()
        answer = self._serve(method, path, operation, variables, body)
        return None if fault == "lost" else answer

    def _serve(
        self, method: str, path: str, operation: str, variables: dict[str, Any], body: bytes
    ) -> tuple[int, bytes]:
        if path == "/graphql":
            return 200, json.dumps(self._store.graphql(operation, variables)).encode()
        if stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            return 200, json.dumps(self._store.file_stream(unquote(stream[1]), json.loads(body))).encode()
        if file := re.fullmatch(r"/storage/([^/]+)/([^/]+)/(.+)", path):
            kind, owner, name = map(unquote, file.groups())
            found = self._store.storage(method, kind, owner, name, body)
            return (404, b"") if found is None else (200, found if method == "GET" else b"")
        if path.startswith(TELEMETRY):
            return 200, b"{}"
        self.unknown.append(f"{method} {path}")
        return 404, b""


def _operation(query: str) -> str:
    """Name of an operation; for an unnamed operation, the name of its first field."""
    if name := re.search(r"^\s*(?:query|mutation)\s+(\w+)", query, re.MULTILINE):
        return name[1]
    field = re.search(r"\{\s*(\w+)", query)
    return field[1] if field else ""


def _authorization(key: str) -> str:
    return "Basic " + base64.b64encode(f"api:{key}".encode()).decode()


class _Http(ThreadingHTTPServer):
    """An HTTP server that can close its connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], owner: WandbServer) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore disconnecting clients; record any other error as an unsupported request."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.owner.unknown.append(repr(error))

    def close_connections(self) -> None:
        """Close all connections, including those waiting for an answer."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Passes HTTP requests to ``WandbServer.handle``."""

    server: _Http
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.owner.handle(self.command, urlsplit(self.path).path, headers, body)
        if answer is None:
            self.close_connection = True
            return
        status, content = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_HEAD = _handle  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""
