"""A stand-in for Weights & Biases' server, on this machine, that the real client can be pointed to."""

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
"""The key that a server takes unless it is told another; the client refuses shorter ones itself."""

Fault = Literal["500", "401", "slow", "hang", "drop", "lost"]
"""Out of order; every key refused; late; no answer at all; connections closed; done, but its answer lost."""


TELEMETRY = "/sdk/otel/"
"""Where the client reports on itself."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request and what it got; its key is not kept."""

    method: str
    path: str
    operation: str
    """Name of the GraphQL operation, or empty."""

    query: str
    variables: dict[str, Any]
    headers: dict[str, str]
    """Their names in small letters."""

    status: int
    """0 where nothing was answered."""


class WandbServer:
    """``with WandbServer() as server``: a server on a free port, which the client finds at ``server.url``.

    Faults may be set at any time. What it holds is read when the client has ended, or in a condition of ``wait_for``.
    """

    def __init__(self, *, key: str = KEY) -> None:
        self.key = key
        """All others get 401."""

        self.delay = 0.5
        """Seconds by which it is late while ``slow``."""

        self.fault_at = ""
        """Whom a fault strikes: whose path or operation holds this text, such as ``CommitArtifact``; set before it."""

        self.requests: list[Request] = []
        """All that are over, whether they were answered or not, but the client's telemetry."""

        self.num_requests = 0
        """All so far, those included that wait for their answer."""

        self.num_in_flight = 0
        """Those that wait."""

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
        """What ``WANDB_BASE_URL`` shall be."""
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
        """Versions of artifacts as ``collection:vN``; those that wait for their commit by another name."""
        return {
            identity if artifact.version is None else f"{artifact.collection}:v{artifact.version}": artifact
            for identity, artifact in self._store.artifacts.items()
        }

    @property
    def unknown(self) -> list[str]:
        """What was asked that it cannot answer: a gap in this server, so tests end with none."""
        return self._store.unknown

    @property
    def operations(self) -> list[str]:
        """Names of the GraphQL operations so far."""
        with self._changed:
            return [request.operation for request in self.requests if request.operation]

    @property
    def fault(self) -> Fault | None:
        """What it suffers from; whatever it holds while it hangs is dropped when this is set anew."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        if fault not in (None, *get_args(Fault)):
            raise ValueError(f"fault: expected None or one of {', '.join(get_args(Fault))}, got {fault!r}")
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def start(self) -> None:
        """Answer; after a stop, on the same port and with all that it held."""
        if self._http is not None:
            return
        self._http = _Http(("127.0.0.1", self._port), self)
        self._port = self._http.server_port
        self._store.url = f"http://127.0.0.1:{self._port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Die: the port is closed, and every connection cut."""
        if self._http is None:
            return
        http, self._http = self._http, None
        http.shutdown()
        http.server_close()
        http.cut()
        with self._changed:
            self._changed.notify_all()

    def stop_run(self, run_id: str) -> None:
        """Press Stop; the run hears it in the answer to what it delivers next."""
        with self._changed:
            self.runs[run_id].stopped = True

    def wait_for(self, condition: Callable[[], Any], *, seconds: float = 600.0) -> None:
        """Wait until it holds.

        Raises:
            TimeoutError: It does not within ``seconds``.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout=seconds):
                raise TimeoutError(
                    f"the server waited {seconds} s for what has not come; the last: {self.requests[-3:]}"
                )

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes] | None:
        """Status and body of an answer, or None where the connection shall be closed without any."""
        query, variables = "", dict[str, Any]()
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if path == "/graphql":
            content = json.loads(body)
            query, variables = content["query"], content.get("variables") or {}
        operation = _operation(query)
        known = headers.pop("authorization", "") == _authorization(self.key)
        answer = None
        # The client's telemetry suffers from the faults, too, but is no part of what it has to say.
        is_said = not path.startswith(TELEMETRY)
        with self._changed:
            self.num_requests += is_said
            self.num_in_flight += is_said
            try:
                answer = self._answer(method, path, operation, variables, body, known=known)
            finally:
                self.num_in_flight -= is_said
                request = Request(
                    method=method,
                    path=path,
                    operation=operation,
                    query=query,
                    variables=variables,
                    headers=headers,
                    status=answer[0] if answer else 0,
                )
                self.requests += [request] * is_said
                self._changed.notify_all()
        return answer

    def _answer(
        self, method: str, path: str, operation: str, variables: dict[str, Any], body: bytes, *, known: bool
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
            return 500, b"out of order"
        # Addresses of files carry their permission in themselves; the client's words about itself need none.
        if fault == "401" or not (known or path.startswith(("/storage/", TELEMETRY))):
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
    """Name of an operation, or for one without name that of its first field."""
    if name := re.search(r"^\s*(?:query|mutation)\s+(\w+)", query, re.MULTILINE):
        return name[1]
    field = re.search(r"\{\s*(\w+)", query)
    return field[1] if field else ""


def _authorization(key: str) -> str:
    return "Basic " + base64.b64encode(f"api:{key}".encode()).decode()


class _Http(ThreadingHTTPServer):
    """Connections that can be cut."""

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
        """Clients may go away; whatever else goes wrong is a gap in this server."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.owner.unknown.append(repr(error))

    def cut(self) -> None:
        """Close every connection, also those on which an answer is due."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """From bytes to ``WandbServer.handle`` and back."""

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
        """Nothing is printed."""
