"""Checks of a search before its first trial."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from leukemia.base.errors import UserError
from search.cluster.nodes import Node, Nodes
from search.launch.arguments import parse, request_of
from search.launch.disk import CacheNeed, describe_disk
from search.launch.preparation import prepared, resources_of
from search.planning.plan import plan_new
from search.preflight.job_disk import spaces

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


@pytest.mark.parametrize("pausing", ["--pausing", "--no-pausing"])
def test_the_disk_space_of_a_search(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pausing: str
) -> None:
    """The lines of a dry run, and as the preflight of a job reads them."""
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path / "cache"))
    given = ["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), "--device", "cpu", pausing, *SMALL]
    plan = plan_new(request_of(parse(given)), "search")
    nodes = Nodes(now=(Node(cpus=4, gpus=0, here=True), Node(cpus=4, gpus=0)))
    resources = resources_of(plan, parse(given), nodes)
    need = CacheNeed.of(plan, resources, nodes)
    # Two trials run on a node without GPUs. The catalog was read with the images, which are stored.
    assert need == CacheNeed(images=0, checkpoint=plan.checkpoint_bytes(), trials=2)
    shutil.rmtree(tmp_path / "cache" / "views")
    need = CacheNeed.of(plan, resources, nodes)
    assert need.images == plan.image_bytes()

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=100 * 10**9))
    lines = "\n".join(describe_disk(plan, need, None))
    cache, runs = spaces(lines, nodes=3)
    assert cache.waiting == (20.0 if pausing == "--pausing" else 0.0)
    assert (cache.folder, cache.free) == (str(tmp_path / "cache"), 100.0)
    assert cache.needed == pytest.approx(6 * plan.checkpoint_bytes() / 1e9, abs=0.04)
    assert (runs.folder, runs.free) == (str(tmp_path / "runs"), 100.0)
    assert runs.needed == pytest.approx(0.05 + plan.model_bytes() / 1e9, abs=0.01)
    if cache.waiting:
        assert "besides at most 7.00 for those of trials that wait" in "\n".join(describe_disk(plan, need, 7.0))

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * plan.checkpoint_bytes()))
    with pytest.raises(UserError, match=r"^not enough disk space for the decoded images and the trials' checkpoints: "):
        resources_of(plan, parse(given), nodes)
