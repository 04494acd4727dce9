"""The lease of a mirrored study: of two heads that claim it at the same moment, in any order, one gets it."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.s3_server import S3Server
from helpers.turns import Turns

from leukemia.base.errors import UserError
from search.storage import lease as lease_module
from search.storage.filesystem import Storage, open_storage
from search.storage.lease import LEASE, Lease, TakenOver

NUM_OPERATIONS = 5
"""Of a claim that meets no other."""

EXPIRED = b'{"host": "gone", "pid": 7, "token": "x"}'


def orders() -> Iterator[tuple[int, ...]]:
    """All orders of two claims; the first operation is of the first."""
    for others in itertools.combinations(range(1, 2 * NUM_OPERATIONS), NUM_OPERATIONS):
        yield tuple(int(place in others) for place in range(2 * NUM_OPERATIONS))


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the machines of new leases, by turns."""
    names = itertools.cycle(("head-a", "head-b"))
    monkeypatch.setattr(socket, "gethostname", lambda: next(names))
    monkeypatch.setattr(lease_module, "LONGEST_PAUSE_SECONDS", 0.0)
    return ["head-a", "head-b"]


def claim_twice(storage: Storage, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, heads: list[str]) -> None:
    """Claim with two heads in this order: one has the lease, the other is refused, and nothing else is left."""
    errors = Turns(order).run(monkeypatch, Lease(storage).claim, Lease(storage).claim)
    assert errors.count(None) == 1, (order, errors)
    winner = errors.index(None)
    assert json.loads(storage.read(LEASE) or b"")["host"] == heads[winner], order
    assert isinstance(errors[1 - winner], UserError)
    assert f"is being run by process {os.getpid()} on {heads[winner]}; stop it there" in str(errors[1 - winner])
    assert storage.names() == [LEASE], order


@pytest.mark.parametrize("expired", [False, True], ids=["free", "expired"])
def test_two_heads_in_any_order_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: list[str], expired: bool
) -> None:
    for number, order in enumerate(orders()):
        storage = open_storage(str(tmp_path / str(number)))
        if expired:
            storage.write(EXPIRED, LEASE)
            os.utime(tmp_path / str(number) / LEASE, (time.time() - 1000,) * 2)
        claim_twice(storage, order, monkeypatch, heads)


@pytest.mark.parametrize("order", [(0, 1) * 5, (0, 0, 0, 1, 1, 1), (0, 0, 1, 1, 1, 0, 0), (0, 0, 0, 0, 1, 1, 0)])
def test_two_heads_in_a_bucket(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: list[str], order: tuple[int, ...]
) -> None:
    claim_twice(open_storage(s3.uri(tmp_path.name)), order, monkeypatch, heads)


def test_the_bid_of_a_head_that_crashed_is_ignored_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: list[str]
) -> None:
    storage = open_storage(str(tmp_path))
    storage.write(EXPIRED, ".driver-x")
    with pytest.raises(UserError, match=r"is being run by process 7 on gone; .* try again in 120 s"):
        Lease(storage).claim()
    assert storage.names() == [".driver-x"]
    os.utime(tmp_path / ".driver-x", (time.time() - 1000,) * 2)
    Lease(storage).claim()
    assert storage.names() == [LEASE]


def test_a_process_of_another_container_with_the_same_hostname_is_not_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(str(tmp_path))
    here = {"host": socket.gethostname(), "machine": lease_module._machine(), "token": "x"}
    for pid in (os.getpid(), 2**22 + 1):
        storage.write(json.dumps({**here, "machine": "another", "pid": pid}).encode(), LEASE)
        with pytest.raises(UserError, match=rf"is being run by process {pid} on {here['host']}"):
            Lease(storage).claim()
        storage.write(json.dumps({**here, "pid": pid}).encode(), LEASE)
        Lease(storage).claim()


def test_a_check_takes_nothing(tmp_path: Path, heads: list[str]) -> None:
    storage = open_storage(str(tmp_path / "storage"))
    Lease(storage).check()
    assert list(tmp_path.iterdir()) == []
    first = Lease(storage)
    first.claim()
    with pytest.raises(UserError, match=r"is being run by process .* on head-"):
        Lease(storage).check()
    assert storage.names() == [LEASE]
    first.refresh()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no clock here counts the time of a suspension")
def test_after_a_suspension_the_lease_is_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: list[str]
) -> None:
    first, second = Lease(open_storage(str(tmp_path))), Lease(open_storage(str(tmp_path)))
    first.claim()
    os.utime(tmp_path / LEASE, (time.time() - 600,) * 2)
    second.claim()
    clock, elapsed = time.clock_gettime, {time.CLOCK_BOOTTIME: 600.0}
    # CLOCK_MONOTONIC stood still meanwhile.
    monkeypatch.setattr(time, "clock_gettime", lambda which: clock(which) + elapsed.get(which, 0.0))
    with pytest.raises(TakenOver, match=f"is now run by process {os.getpid()} on {heads[1]}"):
        first.refresh()
