"""The job script and the Dockerfile pass their linters, which `make setup` installs on Linux."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.needs import skip_for

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("linter", "file"), [("hadolint", "Dockerfile"), ("shellcheck", "cluster.slurm")])
def test_a_script_passes_its_linter(linter: str, file: str) -> None:
    command = Path(sys.prefix) / "bin" / linter
    if not command.exists():
        skip_for(f"needs {linter}: `make setup` installs it on Linux")
    checked = subprocess.run([command, file], cwd=ROOT, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_dockerfile_is_short_and_its_user_is_not_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert len(lines) <= 20
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 1000"]
    assert lines.index("USER 1000") < next(index for index, line in enumerate(lines) if "make setup" in line)


def test_three_lines_of_the_job_script_are_the_users() -> None:
    marked = [line.split()[1] for line in (ROOT / "cluster.slurm").read_text().splitlines() if line.endswith("# yours")]
    assert [option.partition("=")[0] for option in marked] == ["--partition", "--account", "--gpus-per-node"]
