"""A Slurm cluster on this machine, for the tests of one file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hosts import left_of, wait_until
from helpers.slurm import NODES, SlurmCluster, slurm_of
from helpers.steps import print_table, step


@pytest.fixture(scope="module")
def slurm(tiny_folder: Path) -> Iterator[SlurmCluster]:
    print()
    with contextlib.ExitStack() as stack:
        with step("a login node and two nodes"):
            cluster = stack.enter_context(slurm_of(*NODES))
        shutil.copytree(tiny_folder, cluster.shared / "cells")
        yield cluster
    print_table()
    wait_until(lambda: left_of(cluster.lab.folder) == [], 30, f"nothing to be left of {cluster.lab.folder}")
