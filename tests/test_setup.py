"""``make setup``: torch from an index of CPU builds, everything else from PyPI."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

METADATA = "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\nRequires-Dist: filelock\n"


def index_with_torch_alone(folder: Path) -> str:
    """Address of a package index with a CPU build of torch, and none of its dependencies."""
    pages = folder / "torch"
    pages.mkdir(parents=True)
    wheel = "torch-2.13.0+cpu-py3-none-any.whl"
    info = "torch-2.13.0+cpu.dist-info"
    with zipfile.ZipFile(pages / wheel, "w") as archive:
        archive.writestr(f"{info}/METADATA", METADATA)
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    (pages / "index.html").write_text(f'<a href="{wheel.replace("+", "%2B")}">{wheel}</a>')
    return folder.as_uri()


# The quick tests run without `make`.
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_an_index_of_cpu_builds_needs_none_of_torchs_dependencies(tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--no-print-directory", "setup", f"VENV={tmp_path / 'venv'}"]
    index = index_with_torch_alone(tmp_path / "index")
    dry_run = subprocess.run([*command, f"TORCH_INDEX={index}"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [shlex.split(line) for line in dry_run.stdout.splitlines()]
    (install,) = (line for line in lines if line[-1] == "torch")
    target = ["--target", str(tmp_path / "installed"), "--no-cache-dir"]
    # This machine's own configuration may name other places to find packages.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    pip = subprocess.run(
        [sys.executable, *install[1:], *target],
        cwd=ROOT,
        env=environment | {"PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert pip.returncode == 0, pip.stderr
    assert (tmp_path / "installed" / "torch-2.13.0+cpu.dist-info").is_dir()
