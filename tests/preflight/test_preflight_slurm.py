"""``python -m search.preflight cluster.slurm`` without a cluster; tests/machines runs it on one."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from leukemia.base.errors import MissingFile, UserError
from search.preflight import slurm
from search.preflight.__main__ import main
from search.preflight.slurm import read_script

ROOT = Path(__file__).parents[2]

COMMANDS = {
    "sinfo": "echo 'gpu*|2-00:00:00|1:00:00'",
    "sbatch": "echo 'sbatch: Job 8 to start at 2030-01-01T00:00:00 using 8 processors on nodes n1' >&2",
    "srun": 'test "$NODE" && echo "$NODE"',
    "squeue": "true",
    "scontrol": "true",
}
"""Scripts that replace Slurm's commands; srun prints what a node would."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, in which the commands of a login node are called."""
    for name, script in COMMANDS.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    folder = tmp_path / "project"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").touch()
    shutil.copy(ROOT / "cluster.slurm", folder)
    shutil.copy(ROOT / "constraints.txt", folder)
    monkeypatch.chdir(folder)
    return folder


def node(*, torch: str, cuda: str, has_gpu: bool) -> str:
    """What the probe prints on a node."""
    return f"node n1 {version('ray')} 3.11.9 {torch} {cuda} {has_gpu}"


@pytest.mark.parametrize(
    ("torch", "cuda", "problem"),
    [
        ("2.9.0+cpu", "None", "torch 2.9.0+cpu is built without CUDA; `make clean setup` without TORCH_INDEX, or ask"),
        ("2.9.0", "13.0", "torch 2.9.0 is built for CUDA 13.0, and finds no GPU there; compare the driver in"),
    ],
)
def test_a_job_for_gpus_that_torch_cannot_use(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torch: str,
    cuda: str,
    problem: str,
) -> None:
    monkeypatch.setenv("NODE", node(torch=torch, cuda=cuda, has_gpu=False))
    assert main(["cluster.slurm"]) == 2
    printed = capsys.readouterr()
    assert f"  n1: the job asks for GPUs, and {problem}" in printed.err
    assert "would start" not in printed.out


def test_a_job_for_gpus_that_torch_finds(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NODE", node(torch="2.9.0", cuda="13.0", has_gpu=True))
    assert main(["cluster.slurm"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first == "a job submitted now would start at 2030-01-01T00:00:00 using 8 processors on nodes n1"
    assert last == "ready: sbatch cluster.slurm"


def test_ready_repeats_the_arguments_of_the_search(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    estimate = "all trials: 2.0 device hours\nan epoch of a fold: 30 device seconds"
    (project.parent / "bin" / "srun").write_text(
        f'#!/bin/sh\ncase "$*" in *--dry-run) echo "{estimate}";; *) echo "$NODE";; esac\n'
    )
    monkeypatch.setenv("NODE", node(torch="2.9.0", cuda="13.0", has_gpu=True))
    assert main(["cluster.slurm", "--data", "my cells", "--trials", "50"]) == 0
    assert capsys.readouterr().out.endswith("\nready: sbatch cluster.slurm --data 'my cells' --trials 50\n")


@pytest.mark.parametrize("options", [["--nodes=4"], ["--nodes", "4"], ["-N4"]])
def test_options_of_sbatch_on_the_command_line(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    with pytest.raises(SystemExit):
        main([*options, "cluster.slurm", "--data", "cells"])
    assert capsys.readouterr().err.startswith(
        f"error: {' '.join(options)}: expected no options of sbatch, whose `#SBATCH` lines are checked; edit the file"
    )


def test_a_job_without_gpus_needs_no_cuda(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (project / "cluster.slurm").read_text()
    (project / "cluster.slurm").write_text(script.replace("--gpus-per-node=1 ", "--nice "))
    monkeypatch.setenv("NODE", node(torch="2.9.0+cpu", cuda="None", has_gpu=False))
    assert main(["cluster.slurm"]) == 0


def test_the_folder_is_that_where_the_job_is_submitted(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["project/cluster.slurm"]) == 2
    assert f"  {tmp_path}/.venv: no environment, and jobs use that of the folder where they are submitted; `cd " in (
        capsys.readouterr().err
    )
    monkeypatch.chdir(project)
    shutil.rmtree(project / ".venv")
    assert main(["cluster.slurm"]) == 2
    assert f"  {project}/.venv: no environment, and jobs use it; `make setup` there" in capsys.readouterr().err


def test_a_job_that_was_submitted_elsewhere_says_so(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["/bin/bash", ROOT / "cluster.slurm"],
        env={"PATH": os.environ["PATH"], "SLURM_SUBMIT_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        f"error: {tmp_path}/.venv: no environment; submit the job in the project's folder, after 'make setup' there\n"
    )


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
