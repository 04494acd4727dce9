"""Provenance: command lines without secrets, versions, commit, time, device, data location."""

from __future__ import annotations

import datetime
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from leukemia import __version__
from leukemia.base import provenance
from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Train
from leukemia.data import location
from leukemia.training import device


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "python -m search.run"),
        (["--data", "my cells", "--trials", "3"], "python -m search.run --data 'my cells' --trials 3"),
        (["--api-key", "s3cr3t", "--trials", "3"], "python -m search.run --api-key '***' --trials 3"),
        (["--wandb-token=s3cr3t"], "python -m search.run '--wandb-token=***'"),
        (["--storage", "s3://key:s3cr3t@host/bucket"], "python -m search.run --storage 's3://***@host/bucket'"),
        (["--storage", "s3://key:p@s3cr3t@host/bucket"], "python -m search.run --storage 's3://***@host/bucket'"),
        (["--data", "/home/monkey/cells"], "python -m search.run --data /home/monkey/cells"),
        (["--set", "train.epochs=3"], "python -m search.run --set train.epochs=3"),
        (["https://host/x?token=s3cr3t&y=1"], "python -m search.run 'https://host/x?token=***'"),
    ],
)
def test_secrets_are_masked_in_the_command_line(argv: list[str], expected: str) -> None:
    assert provenance.command_line("search.run", argv) == expected
    assert "s3cr3t" not in provenance.command_line("search.run", argv)


def test_the_command_line_defaults_to_sys_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ignored", "--best"])
    assert provenance.command_line("leukemia.final", None) == "python -m leukemia.final --best"


def test_versions_are_those_of_the_installed_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    assert provenance.versions() == {
        "leukemia-search": __version__,
        "python": sys.version.split()[0],
        "torch": importlib.metadata.version("torch"),
    }


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@test"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_commit_marks_changed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "leukemia" / "base" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("one")
    monkeypatch.setattr(provenance, "__file__", str(source))
    assert provenance.commit() == "unknown"
    git(tmp_path, "init", "-q")
    assert provenance.commit() == "unknown"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("")
    assert provenance.commit() == head
    source.write_text("two, of another length")
    assert provenance.commit() == f"{head}+changes"


def test_time_is_utc() -> None:
    moment = datetime.datetime.strptime(provenance.now(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    assert abs((datetime.datetime.now(datetime.UTC) - moment).total_seconds()) < 60


def test_hardware_has_device_and_processor_count() -> None:
    found = provenance.hardware("cpu (test)")
    assert found["device"] == "cpu (test)"
    assert found["processors"] >= 1


def test_a_data_uri_is_an_absolute_path_or_the_sample_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert location.uri_of("cells") == str(tmp_path / "cells")
    assert location.locate(location.uri_of("cells")) == tmp_path / "cells"
    # A folder named "sample" is not mistaken for the sample set.
    assert location.locate(location.uri_of("sample")) == tmp_path / "sample"
    monkeypatch.setattr(location, "sample_set", lambda: tmp_path / "generated")
    assert location.locate(location.uri_of(None)) == tmp_path / "generated"


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps_then_cpu(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device.choose_device("auto") == torch.device(expected)
    assert device.choose_device("cpu") == torch.device("cpu")
    if not cuda:
        with pytest.raises(
            UserError, match=r"^--device cuda: not available on this machine; use one of (mps, )?cpu, or"
        ):
            device.choose_device("cuda")


def test_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    recipes = {name: Recipe(train=Train(precision=name)) for name in ("auto", "float32", "bfloat16")}  # type: ignore[arg-type]
    monkeypatch.setattr(device, "_has_bfloat16", lambda device: True)
    found = [device.compute_dtype(recipe, cpu) for recipe in recipes.values()]
    assert found == [torch.bfloat16, torch.float32, torch.bfloat16]
    monkeypatch.setattr(device, "_has_bfloat16", lambda device: False)
    assert device.compute_dtype(recipes["auto"], cpu) == torch.float32
    with pytest.raises(UserError, match=r"^train.precision: no native bfloat16 on cpu \(.*\); use auto, which selects"):
        device.compute_dtype(recipes["bfloat16"], cpu)
