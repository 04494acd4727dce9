"""Test a storage before a search relies on it, and report in one line what is wrong."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable

from leukemia.base.errors import UserError
from search.storage.address import CREDENTIALS, OPTIONS
from search.storage.filesystem import Storage, StorageFailed, open_storage

PROBE_SECONDS = 30.0
"""How long the start of a search waits for its storage."""


def probe(uri: str) -> Storage:
    """Open a storage and write, read and remove a small file there; nothing else remains, not even an empty folder.

    Raises:
        UserError: why that does not work and what to do; after ``PROBE_SECONDS`` at the latest.
    """
    name, found, problems = f".probe-{uuid.uuid4().hex[:8]}", list[Storage](), list[Exception]()

    def attempt() -> None:
        try:
            storage = open_storage(uri)
            with storage.left_as_found():
                storage.write(b"probe", name)
                try:
                    if storage.read(name) != b"probe":
                        raise StorageFailed("a file just written cannot be read back")
                except StorageFailed:
                    with contextlib.suppress(StorageFailed):
                        storage.remove(name)
                    raise
                storage.remove(name)
            found.append(storage)
        except Exception as problem:
            problems.append(problem)

    _within(PROBE_SECONDS, attempt)
    if found:
        return found[0]
    problem = problems[0] if problems else StorageFailed(f"no response within {PROBE_SECONDS:g} s")
    if not isinstance(problem, StorageFailed):
        raise problem
    raise UserError(f"--storage {uri.partition('?')[0][:200]}: {_advice(uri, problem)}")


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Do it in a thread and wait at most this long; compiled code ignores Ctrl-C."""
    thread = threading.Thread(target=action, name="storage", daemon=True)
    thread.start()
    thread.join(seconds)


_ADVICE = {
    "no such bucket; create it first, or correct the address": (
        "NO_SUCH_BUCKET",
        "RESOURCE_NOT_FOUND",
        "not found",
    ),
    "the bucket is in another region; add ?region=REGION to the address": (
        *("PermanentRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "301"),
    ),
    "no credentials found; set them in {credentials}": ("OAuth2 access token",),
    "the credentials found do not permit reading, writing and deleting; set others in {credentials}": (
        *("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "INVALID_CLIENT", "TOKEN", "UNRECOGNIZED_CLIENT", "403"),
        *("PERMISSION_DENIED", "UNAUTHENTICATED"),
    ),
    "unreachable; check the address and this machine's network": (
        *("NETWORK_CONNECTION", "REQUEST_TIMEOUT", "timed out", "no response", "UNAVAILABLE"),
    ),
}
"""What to do about an error whose message, from the underlying library, contains one of these strings."""


def _advice(uri: str, problem: StorageFailed) -> str:
    scheme, message = uri.partition("://")[0].lower(), str(problem)
    if scheme not in OPTIONS:
        reason = os.strerror(problem.number) if problem.number else message
        return f"not writable ({reason}); choose a folder that you can write to"
    for advice, marks in _ADVICE.items():
        if any(mark in message for mark in marks):
            return f"{advice.format(credentials=CREDENTIALS[scheme])} ({message})"
    return message
