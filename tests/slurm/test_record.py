"""What ``scontrol --details show job`` says of a job: its script, and its GPUs in each form of asking for them.

The texts are in Slurm's format (``slurm_sprint_job_info``); tests/machines reads those of a cluster.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from leukemia.base.errors import UserError
from search.slurm import record
from search.slurm.record import ATTEMPTS, Record


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the job was submitted; a command splits lists of nodes at commas."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text('#!/bin/sh\ntest "$1 $2" = "show hostnames" && echo "$3" | tr , "\\n"\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def shown(command: str = "(null)", asked: str = "", **resources: str) -> str:
    """What is shown of a job with these resources, by node."""
    nodes = "".join(f"     Nodes={node} CPU_IDs=0-7 Mem=24576 GRES={given}\n" for node, given in resources.items())
    return (
        "JobId=12 JobName=leukemia\n   NodeList=n[1-3] Restarts=0\n   JOB_GRES=gpu:9\n"
        f"{nodes}   MinCPUsNode=8 MinMemoryCPU=3G MinTmpDiskNode=0\n   Command={command}\n   WorkDir=/project\n"
        f"   {asked}\n"
    )


@pytest.mark.parametrize("arguments", ["", " --data ../cells --trials 5", " --study my_job.slurm"])
def test_a_script_that_was_renamed(place: Path, arguments: str) -> None:
    for name in ("my_job.slurm", "jobs/my job.sh"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).touch()
        assert Record.read(shown(f"{place}/{name}{arguments}")).script == name


def test_a_script_in_another_folder(place: Path) -> None:
    script = place.parent / "own.slurm"
    script.touch()
    assert Record.read(shown(f"{script} --trials 5")).script == str(script)


def test_a_script_that_is_gone(place: Path) -> None:
    assert Record.read(shown(f"{place}/gone.slurm --trials 5")).script == "gone.slurm"


@pytest.mark.parametrize("command", ["(null)", ""])
def test_a_script_without_a_name(command: str) -> None:
    assert Record.read(shown(command)).script == "cluster.slurm"


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        ({"n1": ""}, {}),
        ({"n1": "gpu:1(IDX:0)"}, {"n1": 1}),
        ({"n1": "gpu:a100:2(IDX:0,3)"}, {"n1": 2}),
        ({"n1": "gpu:(null):2(IDX:0-1)"}, {"n1": 2}),
        ({"n1": "gpu:a100:2(IDX:0,3),gpu:v100:1(IDX:1)"}, {"n1": 3}),
        ({"n1": "nvme:1(CNT:1),gpu:1g.5gb:4(IDX:0-3)"}, {"n1": 4}),
        ({"n1": "shard:2(IDX:0),tmpgpu:3(CNT:3)"}, {}),
        # Of `--gpus=4`, and of nodes with different numbers of tasks.
        ({"n1,n2": "gpu:1(IDX:0)", "n3": "gpu:2(IDX:0-1)"}, {"n1": 1, "n2": 1, "n3": 2}),
    ],
)
@pytest.mark.usefixtures("place")
def test_the_gpus_of_each_node(resources: dict[str, str], gpus: dict[str, int]) -> None:
    assert Record.read(shown(**resources)).gpus == gpus


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ("", ""),
        ("TresPerNode=gres:gpu:2", ""),
        ("TresPerNode=gres:gpu:a100:2", "a100"),
        ("TresPerNode=gres/gpu:a100:2", "a100"),
        ("TresPerJob=gres:gpu:h100:8", "h100"),
        ("TresPerTask=cpu=8,gres/gpu:a100=1", "a100"),
        ("TresPerNode=gres:nvme:1,gres:gpu:1g.5gb:2", "1g.5gb"),
        ("TresPerNode=gres:gpu:2,gres:nvme:1", ""),
    ],
)
def test_the_kind_of_gpu_that_was_asked_for(asked: str, kind: str) -> None:
    assert Record.read(shown(asked=asked)).gpu_kind == kind


def test_a_controller_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    pauses: list[float] = []
    monkeypatch.setattr(record, "time", SimpleNamespace(sleep=pauses.append))
    with pytest.raises(UserError, match=r"^`scontrol --details show job 12` fails \(slurm_load_jobs error: Unable to"):
        Record.of(12)
    assert len(pauses) == ATTEMPTS - 1


def test_a_controller_that_is_busy(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = place / "asked"
    (place / "shown").write_text(shown(f"{place}/my.slurm", n1="gpu:1(IDX:0)"))
    (place.parent / "bin" / "scontrol").write_text(
        f'#!/bin/sh\ntest "$1" = show && echo n1 && exit\ntest -e {once} && cat {place}/shown && exit\n'
        f"touch {once}; exit 1\n"
    )
    pauses: list[float] = []
    monkeypatch.setattr(record, "time", SimpleNamespace(sleep=pauses.append))
    assert Record.of(12) == Record(script="my.slurm", gpus={"n1": 1}, gpu_kind="")
    assert len(pauses) == 1
