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
from search.preflight.job_options import options_of, read_script

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


def node(*, torch: str = "2.9.0", cuda: str = "13.0", has_gpu: bool = True, free_mb: int | None = 9999) -> str:
    """What the probe prints on a node."""
    return f"node n1 {version('ray')} 3.11.9 {torch} {cuda} {has_gpu} {free_mb}"


ESTIMATE = """all trials: 2.0 device hours
an epoch of a fold: 30 device seconds
disk: 5.70 GB in /shared/cache, of 250.00 GB free: 1.70 for decoded images, 0.50 for a checkpoint of each of 8 trials
disk: 0.29 GB in /shared/project/runs, of 99.00 GB free: the study and the model of its winner
"""


def estimated(project: Path, monkeypatch: pytest.MonkeyPatch, estimate: str = ESTIMATE) -> Path:
    """A node on which the dry run prints this; returns the file to which the commands of srun are written."""
    commands = project.parent / "commands"
    (project.parent / "estimate").write_text(estimate)
    (project.parent / "bin" / "srun").write_text(
        f'#!/bin/sh\necho "$LEUKEMIA_CACHE $*" >> {commands}\n'
        f'case "$*" in *--dry-run) cat {project.parent}/estimate;; *) echo "$NODE";; esac\n'
    )
    monkeypatch.setenv("NODE", node())
    return commands


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
    estimated(project, monkeypatch)
    assert main(["cluster.slurm", "--data", "my cells", "--trials", "50"]) == 0
    assert capsys.readouterr().out.endswith("\nready: sbatch cluster.slurm --data 'my cells' --trials 50\n")


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ("#SBATCH --gpus-per-node=a100:2", "--gpus-per-node=a100:2"),
        ("#SBATCH --gres=gpu:2", "--gres=gpu:2"),
        ("#SBATCH -G a100:4 --nodes=2", "--gres=gpu:a100:2"),
        ("#SBATCH --ntasks-per-node=2 --gpus-per-task=1", "--gres=gpu:2"),
    ],
)
def test_a_node_is_asked_for_with_the_gpus_of_the_job(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: str, asked: str
) -> None:
    commands = estimated(project, monkeypatch)
    text = (project / "cluster.slurm").read_text().replace("#SBATCH --nodes=1\n", "")
    # Also in a copy with a name of its own, which Slurm does not mind.
    (project / "my_job").write_text(text.replace("#SBATCH --gpus-per-node=1 ", f"{lines} "))
    assert main(["my_job", "--data", "cells"]) == 0
    probe, dry_run = commands.read_text().splitlines()
    for command in (probe, dry_run):
        assert [word for word in command.split() if "gpu" in word] == ["--partition=gpu", asked]
    cpus = 16 if "ntasks" in lines else 8
    assert f" --cpus-per-task={cpus} " in dry_run
    gpus = 4 if "nodes=2" in lines else 2
    assert f"2.0 device hours, on {gpus} GPUs within the time limit" in capsys.readouterr().out
    monkeypatch.setenv("NODE", node(torch="2.9.0+cpu", cuda="None", has_gpu=False))
    assert main(["my_job", "--data", "cells"]) == 2


def test_gpus_per_socket_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    estimated(project, monkeypatch)
    script = (project / "cluster.slurm").read_text()
    (project / "cluster.slurm").write_text(script.replace("--gpus-per-node=1 ", "--gpus-per-socket=1 "))
    assert main(["cluster.slurm"]) == 2
    assert "--gpus-per-socket=1: expected --gpus-per-node, --gpus, --gpus-per-task or --gres" in capsys.readouterr().err


def test_the_disk_space_of_all_nodes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = estimated(project, monkeypatch)
    script = (project / "cluster.slurm").read_text().replace("--nodes=1\n", "--nodes=2-4\n")
    script = script.replace("set -euo", 'export LEUKEMIA_CACHE="$HOME/cache of all"\nset -euo')
    (project / "cluster.slurm").write_text(script)
    monkeypatch.setenv("HOME", "/shared/me")
    assert main(["cluster.slurm", "--data", "cells"]) == 0
    assert all(line.startswith("/shared/me/cache of all --partition") for line in commands.read_text().splitlines())
    assert (
        "disk space needed: 17.7 GB in /shared/cache, 250.0 GB free; 0.3 GB in /shared/project/runs, 99.0 GB free (your"
    ) in capsys.readouterr().out

    waiting = "8 trials, besides at most 3.40 for those of trials that wait (--paused-gb)"
    estimated(project, monkeypatch, ESTIMATE.replace("250.00", "18.00").replace("8 trials", waiting))
    (project / "cluster.slurm").write_text(script.replace("$HOME", "$SLURM_JOB_ID"))
    assert main(["cluster.slurm", "--data", "cells"]) == 2
    printed = capsys.readouterr()
    assert (
        "  disk space needed: 17.7 GB in /shared/cache, and at most 3.4 GB for trials that wait (--paused-gb), 18.0 GB "
        "free, for decoded images, and checkpoints of 32 trials at once; free some, or set LEUKEMIA_CACHE or --runs to "
    ) in printed.err
    assert "LEUKEMIA_CACHE=$SLURM_JOB_ID/cache of all: known in the job only, so the default was checked" in printed.out


@pytest.mark.parametrize(
    ("free_mb", "found"), [(None, "found no folder that can be written"), (12, "found 12 MB free; add `export RAY_TMP")]
)
def test_a_node_whose_own_disk_is_full(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free_mb: int | None,
    found: str,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    monkeypatch.setenv("NODE", node(free_mb=free_mb))
    assert main(["cluster.slurm"]) == 2
    printed = capsys.readouterr().err
    assert "  n1: /scratch: expected a folder on the node's own disk with 500 MB for Ray's files, " + found in printed


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
    options = options_of(Path("cluster.slurm"), read_script(ROOT / "cluster.slurm"))
    assert options["partition"] == "gpu"
    assert options["gpus-per-node"] == "1"
    assert options["signal"] == "B:TERM@120"
    assert options["requeue"] == ""
    assert not {"yours", "#"} & set(options)


def test_options_in_every_form_of_sbatch() -> None:
    text = """#!/bin/bash
#SBATCH -p gpu,long -A hematology   # don't forget
#SBATCH --gres gpu:a100:2 -N2-4 --comment="two words"
##SBATCH --time=1

#SBATCH -t 60
cd project
#SBATCH --time=99
"""
    assert options_of(Path("a.slurm"), text) == {
        "partition": "gpu,long",
        "account": "hematology",
        "gres": "gpu:a100:2",
        "nodes": "2-4",
        "comment": "two words",
        "time": "60",
    }
    with pytest.raises(UserError, match=r"^a.slurm, line 2: expected options of sbatch, got '#SBATCH --comment=\"two'"):
        options_of(Path("a.slurm"), '#!/bin/sh\n#SBATCH --comment="two\n')


def test_a_missing_script(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"a.slurm: no such file; the project has cluster.slurm"):
        read_script(tmp_path / "a.slurm")


@pytest.mark.parametrize("content", [b"", b"#!/bin/bash\necho\n", b"##SBATCH --time=1\n"])
def test_a_script_without_options(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.slurm").write_bytes(content)
    with pytest.raises(UserError, match=r"a.slurm: expected a job script with lines `#SBATCH --...`; compare it with"):
        options_of(tmp_path / "a.slurm", read_script(tmp_path / "a.slurm"))


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
