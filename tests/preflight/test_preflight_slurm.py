"""``python -m search.preflight cluster.slurm`` without a cluster; tests/machines runs it on one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from leukemia.base.errors import MissingFile, UserError
from search.preflight import slurm
from search.preflight.__main__ import main
from search.preflight.slurm import read_script

ROOT = Path(__file__).parents[2]


def test_the_options_of_the_shipped_script() -> None:
    options = read_script(ROOT / "cluster.slurm")
    assert options["partition"] == "gpu"
    assert options["gpus-per-node"] == "1"
    assert options["signal"] == "B:TERM@120"
    assert options["requeue"] == ""


def test_a_missing_script(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"a.slurm: no such file; the project has cluster.slurm"):
        read_script(tmp_path / "a.slurm")


@pytest.mark.parametrize("content", [b"", b"#!/bin/bash\necho\n", b"##SBATCH --time=1\n"])
def test_a_script_without_options(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.slurm").write_bytes(content)
    with pytest.raises(UserError, match=r"a.slurm: expected a job script with lines `#SBATCH --...`; compare it with"):
        read_script(tmp_path / "a.slurm")


def test_a_script_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.slurm").write_bytes(b"\xff#SBATCH --time=1\n")
    with pytest.raises(UserError, match=r"a.slurm: cannot be read \('utf-8' codec"):
        read_script(tmp_path / "a.slurm")


def test_a_machine_without_slurm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([str(ROOT / "cluster.slurm")]) == 2
    assert "sbatch, srun, sinfo, squeue, scontrol: not found on this machine; run this on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"partition": "cpu", "time": "30"}, "30"),
        ({"partition": "gpu"}, "1:00:00"),
        ({"partition": "cpu"}, "infinite"),
        ({"partition": "cpu,long"}, "5-00:00:00"),
        ({}, "1:00:00"),
    ],
)
def test_the_time_limit_of_a_script_without_one_is_that_of_its_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], expected: str
) -> None:
    sinfo = tmp_path / "sinfo"
    sinfo.write_text(
        "#!/bin/sh\ntest \"$*\" = '--noheader --format=%P|%l|%L' || exit 1\n"
        "echo 'gpu*|2-00:00:00|1:00:00'; echo 'cpu|infinite|n/a'; echo 'long|5-00:00:00|n/a'\n"
    )
    sinfo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert slurm._limit_of(options) == expected


@pytest.mark.parametrize(
    ("printed", "error", "expected"),
    [
        ("", "srun: error: Unable to allocate resources: Requested nodes are busy", True),
        ("cost: 1", "srun: error: Unable to allocate resources: Requested nodes are busy", False),
        ("", "error: --data: cannot allocate 3 GB", False),
    ],
)
def test_whether_no_node_was_free(printed: str, error: str, expected: bool) -> None:
    ended = subprocess.CompletedProcess([], 1, stdout=printed, stderr=error)
    assert slurm._is_busy(ended, "cost:") is expected
