"""``python -m search.preflight cluster.slurm`` without a cluster; tests/machines runs it on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.base.errors import MissingFile, UserError
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
