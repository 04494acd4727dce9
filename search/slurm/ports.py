"""The ports of a job's Ray on one node."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

FIRST, LAST = 20_000, 32_767
"""Above what services of a machine use, below what Linux gives to outgoing connections (``ip_local_port_range``)."""

OPTIONS = (
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
)
"""Of ``ray start``, for the services of every node."""

CLIENT = "ray-client-server-port"
"""Of a service that the head starts only where gRPC for Python is installed."""

HEAD_OPTIONS = ("port", CLIENT, "dashboard-port")
"""For those of the head, in addition."""

WIDTH = 10
"""Ports of a job on a node; enough for all options."""

NUM_BLOCKS = (LAST + 1 - FIRST) // WIDTH


def ports_of(job_id: int, is_free: Callable[[int], bool]) -> dict[str, int]:
    """The ports for all options: a block by the job's number, or the next one that is free.

    Jobs that share a node have different numbers, hence different blocks, unless these differ by a multiple of
    ``NUM_BLOCKS``. Worker processes get their ports from the system instead: their number has no bound.

    Raises:
        OSError: no block is free.
    """
    for offset in range(NUM_BLOCKS):
        first = FIRST + (job_id + offset) % NUM_BLOCKS * WIDTH
        block = range(first, first + WIDTH)
        if all(is_free(port) for port in block):
            return dict(zip((*HEAD_OPTIONS, *OPTIONS), block, strict=False))
    raise OSError(f"all ports from {FIRST} to {LAST} of this node are in use")


def is_free(port: int) -> bool:
    """Whether a service can listen on this port of this machine, on all of its addresses."""
    with contextlib.closing(socket.socket()) as listener:
        # As services do, so that closed connections of a job's earlier run do not count.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError:
            return False
    return True
