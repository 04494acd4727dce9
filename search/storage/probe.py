"""A storage tried out before a search relies on it: what is wrong with it, in one line and soon."""

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
    """Open a storage and write, read and remove a small file there.

    Raises:
        UserError: why that does not work, and what to do, within ``PROBE_SECONDS``.
    """
    name, found, problems = f".probe-{uuid.uuid4().hex[:8]}", list[Storage](), list[Exception]()

    def attempt() -> None:
        try:
            storage = open_storage(uri)
            storage.write(b"probe", name)
            try:
                if storage.read(name) != b"probe":
                    raise StorageFailed("what was written cannot be read")
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
    problem = problems[0] if problems else StorageFailed(f"no answer in {PROBE_SECONDS:g} s")
    if not isinstance(problem, StorageFailed):
        raise problem
    raise UserError(f"--storage {uri.partition('?')[0][:200]}: {_advice(uri, problem)}")


def _within(seconds: float, action: Callable[[], None]) -> None:
    """Do it in a thread and wait for so long; compiled code heeds no Ctrl-C."""
    thread = threading.Thread(target=action, name="storage", daemon=True)
    thread.start()
    thread.join(seconds)


_ADVICE = {
    "there is no such bucket; make it first, or correct the address": (
        "NO_SUCH_BUCKET",
        "RESOURCE_NOT_FOUND",
        "not found",
    ),
    "the bucket is in another region; add ?region=REGION to the address": (
        *("PermanentRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "301"),
    ),
    "there are no credentials, or none that can be looked up from here; expected some in {credentials}": (
        "OAuth2 access token",
    ),
    "its owner does not let the credentials found here read, write and delete; expected some in {credentials}": (
        *("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "INVALID_CLIENT", "TOKEN", "UNRECOGNIZED_CLIENT", "403"),
        *("PERMISSION_DENIED", "UNAUTHENTICATED"),
    ),
    "it cannot be reached; look at the address and at this machine's network": (
        *("NETWORK_CONNECTION", "REQUEST_TIMEOUT", "timed out", "no answer", "UNAVAILABLE"),
    ),
}
"""What to do about errors that hold one of these marks, as the libraries below write them."""


def _advice(uri: str, problem: StorageFailed) -> str:
    scheme, words = uri.partition("://")[0].lower(), str(problem)
    if scheme not in OPTIONS:
        reason = os.strerror(problem.number) if problem.number else words
        return f"cannot be written ({reason}); name a folder that you can write"
    for advice, marks in _ADVICE.items():
        if any(mark in words for mark in marks):
            return f"{advice.format(credentials=CREDENTIALS[scheme])} ({words})"
    return words
