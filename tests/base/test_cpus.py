"""CPUs are counted by affinity and cgroup quota, never all of the machine's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from leukemia.base.cpus import available_cpus

ROOT = Path(__file__).parents[2]
MANY = 64


@pytest.fixture
def on_a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """All CPUs of a machine with many are allowed."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(MANY)), raising=False)


def in_cgroup(proc: Path, group: str, mount: str, quotas: Mapping[str, str]) -> Path:
    """A process's folder in ``/proc``: its cgroup, the mount of its hierarchy, and the files below the mount."""
    proc.mkdir()
    (proc / "cgroup").write_text(f"12:pids:/elsewhere\n{group}\n")
    mounts = ["21 1 0:20 / /proc rw,relatime shared:5 - proc proc rw", mount.format(mount=proc / "mount")]
    (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
    for name, text in quotas.items():
        path = proc / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc


V2 = "30 1 0:26 / {mount} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 1 0:27 / {mount} rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct"


@pytest.mark.parametrize(
    ("group", "mount", "quotas", "expected"),
    [
        ("0::/", V2, {}, MANY),
        ("0::/", V2, {"cpu.max": "300000 100000\n"}, 3),
        ("0::/job/step", V2, {"job/step/cpu.max": "250000 100000\n"}, 2),
        ("0::/job/step", V2, {"job/cpu.max": "400000 100000\n", "job/step/cpu.max": "max 100000\n"}, 4),
        ("0::/job/step", V2, {"job/cpu.max": "400000 100000\n", "job/step/cpu.max": "800000 100000\n"}, 4),
        ("0::/job", V2, {"job/cpu.max": "50000 100000\n"}, 1),
        # In a container without its own namespace the process's cgroup is the root of the mount.
        ("0::/docker/1:a", V2.replace(" / ", " /docker/1:a ", 1), {"cpu.max": "200000 100000\n"}, 2),
        # A process that was moved out of its namespace.
        ("0::/../other", V2, {"cpu.max": "500000 100000\n"}, 5),
        ("4:cpu,cpuacct:/job", V1, {"job/cpu.cfs_quota_us": "600000\n", "job/cpu.cfs_period_us": "100000\n"}, 6),
        ("4:cpu,cpuacct:/job", V1, {"job/cpu.cfs_quota_us": "-1\n", "job/cpu.cfs_period_us": "100000\n"}, MANY),
        ("4:cpu,cpuacct:/job/a", V1, {"job/cpu.cfs_quota_us": "75000\n", "job/cpu.cfs_period_us": "25000\n"}, 3),
        ("4:memory:/job", V1, {"job/cpu.cfs_quota_us": "100000\n", "job/cpu.cfs_period_us": "100000\n"}, MANY),
    ],
)
def test_cgroup_quotas_limit_the_number(
    on_a_large_machine: None, tmp_path: Path, group: str, mount: str, quotas: dict[str, str], expected: int
) -> None:
    assert available_cpus(in_cgroup(tmp_path / "proc", group, mount, quotas)) == expected


@pytest.mark.parametrize("name", [b"caf\xe9", "a\u00a0b\u2028c".encode(), b"\x85"])
def test_other_mounts_may_have_any_name(on_a_large_machine: None, tmp_path: Path, name: bytes) -> None:
    """The kernel writes it as it is, but for spaces, tabs and line feeds."""
    proc = in_cgroup(tmp_path / "proc", "0::/job", V2, {"job/cpu.max": "300000 100000\n"})
    other = b"40 1 0:40 / /media/" + name + b" rw shared:1 - vfat /dev/sdb1 rw\n"
    (proc / "mountinfo").write_bytes(other + (proc / "mountinfo").read_bytes())
    assert available_cpus(proc) == 3


def test_the_affinity_limits_the_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: MANY)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 7}, raising=False)
    assert available_cpus(tmp_path) == 2


def test_without_affinity_and_cgroups_all_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: MANY)
    assert available_cpus(tmp_path) == MANY


def test_nothing_else_counts_cpus() -> None:
    """Each of these counts all of the machine, or knows only some of the limits."""
    counts = re.compile(r"\b(?:cpu_count|get_num_cpus|process_cpu_count|nproc)\b|len\(os.sched_get|PoolExecutor\(\)")
    files = [path for name in ("leukemia", "search", "benchmarks", "tests") for path in (ROOT / name).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files if counts.search(path.read_text(encoding="utf-8"))}
    assert found == {"leukemia/base/cpus.py", "tests/base/test_cpus.py"}
