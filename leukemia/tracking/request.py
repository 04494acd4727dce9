"""One request to W&B's server, with W&B's own network settings and a deadline, and without retries."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

from leukemia.base.files import parse_json
from leukemia.tracking import settings

TIMEOUT_SECONDS = 10.0
"""Time for a request and its complete answer."""

MAX_ANSWER_BYTES = 64_000_000
"""Size of the largest answer that is read; a list of 100 runs has some 100 kB."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a request."""

    status: int
    reason: str
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Whether the status is not an error."""
        return self.status < 400

    def json(self) -> Any:
        """The content.

        Raises:
            ValueError: the answer is not JSON.
        """
        return parse_json(self.body)


def post(content: dict[str, Any], key: str) -> Answer:
    """Send a GraphQL query with its variables.

    Raises:
        requests.RequestException: the server is unreachable, or has not answered completely in ``TIMEOUT_SECONDS``.
    """
    found: list[Answer] = []
    failures: list[Exception] = []

    def send() -> None:
        try:
            found.append(_post(content, key))
        except Exception as error:
            failures.append(error)

    # The timeout of ``requests`` is for each part of an answer.
    thread = threading.Thread(target=send, name="request", daemon=True)
    thread.start()
    thread.join(TIMEOUT_SECONDS)
    if failures:
        raise failures[0]
    if not found:
        raise requests.Timeout(f"no complete answer in {TIMEOUT_SECONDS:g} s")
    return found[0]


def _post(content: dict[str, Any], key: str) -> Answer:
    own, deadline = settings.resolved(), time.monotonic() + TIMEOUT_SECONDS
    proxies = {"http": own.http_proxy, "https": own.https_proxy}
    if own.insecure_disable_ssl:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    with requests.post(
        f"{settings.base_url()}/graphql",
        json=content,
        auth=("api", key),
        timeout=TIMEOUT_SECONDS,
        headers=own.x_extra_http_headers,
        proxies=(own.x_proxies or {}) | {scheme: proxy for scheme, proxy in proxies.items() if proxy},
        verify=not own.insecure_disable_ssl,
        stream=True,
    ) as answer:
        body = bytearray()
        for part in answer.iter_content(65_536):
            body += part
            if len(body) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                raise requests.Timeout(f"no complete answer in {TIMEOUT_SECONDS:g} s or {MAX_ANSWER_BYTES} bytes")
        return Answer(status=answer.status_code, reason=answer.reason, body=bytes(body))
