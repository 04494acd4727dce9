"""The CPUs that this process may use, which on a shared machine are fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc/self")


def available_cpus(proc: Path = PROC) -> int:
    """The number of CPUs that this process may use, at least 1.

    Limited by its CPU affinity (``taskset``, cpusets, Slurm) and by the CPU quotas of its cgroups and of all cgroups
    above them (containers, systemd); fractions of a CPU are dropped. macOS has neither.

    Args:
        proc: the process's folder in ``/proc``.
    """
    # As ``os.process_cpu_count`` of Python 3.13.
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([found, *map(int, _quotas(proc))]))


def _quotas(proc: Path) -> Iterator[float]:
    """CPU quotas that limit the process, each in CPUs; none without cgroups."""
    try:
        # The path may contain colons.
        groups = [line.split(":", 2)[1:] for line in _lines(proc / "cgroup")]
        mounts = [line.split(" ") for line in _lines(proc / "mountinfo")]
    except OSError:
        return
    for controllers, group in groups:
        for fields in mounts:
            # man 5 proc: ID, parent, device, root, mount point, options, ..., "-", type, source, super options.
            root, mount, kind, options = fields[3], fields[4], fields[fields.index("-") + 1], fields[-1]
            if kind == "cgroup2" and not controllers:
                quota_of = _v2_quota
            elif kind == "cgroup" and "cpu" in controllers.split(",") and "cpu" in options.split(","):
                quota_of = _v1_quota
            else:
                continue
            for folder in _hierarchy(Path(mount), root, group):
                quota = quota_of(folder)
                if quota is not None:
                    yield quota


def _lines(path: Path) -> list[str]:
    """The lines of a file that names paths, which may have any bytes, and any spaces but " " and "\\n"."""
    return [line for line in os.fsdecode(path.read_bytes()).split("\n") if line]


def _hierarchy(mount: Path, root: str, group: str) -> Iterator[Path]:
    """The folders of a cgroup and of its mounted ancestors.

    Args:
        root: the cgroup that is mounted at ``mount``: in a container its own, or ``/`` in a cgroup namespace.
        group: the process's cgroup.
    """
    below = Path(group)
    if below.is_relative_to(root) and ".." not in below.parts:
        folder = mount / below.relative_to(root)
        while folder != mount:
            yield folder
            folder = folder.parent
    yield mount


def _v2_quota(folder: Path) -> float | None:
    """Microseconds of quota per period, or ``max``: ``150000 100000`` is 1.5 CPUs."""
    quota, period = [*_fields(folder / "cpu.max"), "max", "100000"][:2]
    return None if quota == "max" else int(quota) / int(period)


def _v1_quota(folder: Path) -> float | None:
    """Microseconds of quota and period, in a file each; -1 means no quota."""
    quota, period = (_fields(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return int(quota[0]) / int(period[0]) if quota and period and int(quota[0]) > 0 else None


def _fields(path: Path) -> list[str]:
    """The words of a file; none if it cannot be read, as in the root cgroup."""
    try:
        return path.read_text().split()
    except OSError:
        return []
