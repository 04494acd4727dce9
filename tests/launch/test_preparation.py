"""Checks of a search before its first trial."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from leukemia.base.errors import UserError
from search.launch.arguments import parse
from search.launch.preparation import prepared

SMALL = ["--preset", "debug", "--folds", "2", "--set", "data.size_px=32", "--set", "model.depth=18"]


def test_a_job_with_gpus_is_not_spent_on_the_cpu(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of `sbatch --wrap`, without ``search.slurm``, which has a check of its own."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")
    given = ["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), "--address", "local", "--dry-run", *SMALL]
    with pytest.raises(UserError, match=r"^Slurm gave 1 GPU, and torch finds none"), prepared(parse(given), "search"):
        pass
    with prepared(parse([*given, "--device", "cpu"]), "search") as (plan, _):
        assert plan.info.hardware["device"].startswith("cpu")
