"""Ports by the number of a job."""

from __future__ import annotations

import contextlib
import socket

import pytest

from search.slurm.ports import FIRST, HEAD_OPTIONS, LAST, NUM_BLOCKS, OPTIONS, WIDTH, is_free, ports_of


def test_jobs_have_different_ports() -> None:
    used = [set(ports_of(job, lambda port: True).values()) for job in range(NUM_BLOCKS)]
    assert len(set().union(*used)) == sum(map(len, used)) == NUM_BLOCKS * len((*HEAD_OPTIONS, *OPTIONS))
    assert min(map(min, used)) >= FIRST
    assert max(map(max, used)) <= LAST


def test_the_number_of_a_job_may_be_larger_than_any_port() -> None:
    # The largest that Slurm gives (``MAX_JOB_ID``), and neighbors.
    used = [ports_of(job, lambda port: True) for job in (65_536, 65_537, 0x03FF_FFFF)]
    assert all(FIRST <= port <= LAST for ports in used for port in ports.values())
    assert not set(used[0].values()) & set(used[1].values())


def test_the_next_block_is_used_if_a_port_is_taken() -> None:
    taken = set(ports_of(7, lambda port: True).values())
    assert ports_of(7, lambda port: port not in taken) == ports_of(8, lambda port: True)
    last = NUM_BLOCKS - 1
    taken = set(ports_of(last, lambda port: True).values())
    assert ports_of(last, lambda port: port not in taken) == ports_of(0, lambda port: True)


def test_no_port_is_free() -> None:
    with pytest.raises(OSError, match=f"all ports from {FIRST} to {LAST} of this node are in use"):
        ports_of(7, lambda port: False)


def test_a_block_has_room_for_every_option() -> None:
    assert len((*HEAD_OPTIONS, *OPTIONS)) <= WIDTH


def test_a_port_where_a_service_listens_is_not_free() -> None:
    with contextlib.closing(socket.socket()) as service:
        service.bind(("127.0.0.1", 0))
        service.listen()
        port = service.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
