"""The commands that a search names, on one machine and as told by the job that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from leukemia.study.folder import Study
from search.trials.commands import FINAL, RESUME, final_command, is_job, resume_command

STUDY = Study(Path("my runs/first"))


def test_commands_on_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RESUME, raising=False)
    monkeypatch.delenv(FINAL, raising=False)
    assert not is_job()
    options = ["--device", "cpu"]
    expected = "python -m search.run --resume --study first --runs 'my runs' --device cpu"
    assert resume_command(STUDY, options) == expected
    assert final_command(STUDY) == "python -m leukemia.final --best first --runs 'my runs'"


def test_commands_in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RESUME, "sbatch cluster.slurm --resume --study first")
    monkeypatch.setenv(FINAL, "sbatch --wrap 'final'")
    assert is_job()
    assert resume_command(STUDY, ["--device", "cpu"]) == "sbatch cluster.slurm --resume --study first"
    assert final_command(STUDY) == "sbatch --wrap 'final'"


def test_the_final_command_names_the_copies_of_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FINAL, raising=False)
    copies = tmp_path / "runs" / "first" / "plugins"
    copies.mkdir(parents=True)
    for name in ("own.py", "lion.py"):
        (copies / name).touch()
    command = final_command(Study(tmp_path / "runs" / "first"))
    assert command.endswith(f" --runs {tmp_path}/runs --plugin {copies}/lion.py --plugin {copies}/own.py")
