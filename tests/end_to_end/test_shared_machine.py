"""A search started with ``uv run`` on a machine of which it may use one CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.searches import ROOT, SETTINGS
from uv import find_uv_bin

from leukemia.config.results import Epoch
from leukemia.data.images import open_images
from leukemia.study.folder import Study
from leukemia.training.crossval import cross_validate
from search.launch.arguments import parse, request_of
from search.launch.study_folder import created
from search.planning.plan import Plan, plan_new

pytestmark = pytest.mark.slow

THREADS = 2


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Compute here as on a machine with two CPUs."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plan(tiny_folder: Path, tmp_path: Path) -> Plan:
    """A study of one trial and two threads, interrupted before its first trial."""
    arguments = ["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), "--study", "one", *SETTINGS]
    request = request_of(parse([*arguments, "--trials=1", "--folds=2", "--repeats=0"]))
    plan = plan_new(request, "python -m search.run").with_cpu_threads(THREADS)
    with created(plan):
        return plan


def losses_here(plan: Plan) -> list[float]:
    images, labels = open_images(plan.catalog, plan.view), plan.catalog.table["label"].to_numpy(dtype="int64")
    folds = list(plan.splits.rows(plan.catalog))
    reports = cross_validate(plan.space.start, images, labels, folds, device=torch.device("cpu"))
    return [report.train_loss for report in reports if isinstance(report, Epoch)]


def test_trials_start_under_uv_and_one_cpu_gives_the_numbers_of_two(
    plan: Plan, tmp_path: Path, two_threads: None
) -> None:
    """Ray gives workers of ``uv run`` an empty environment, and counts all CPUs of the machine."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "UV_CACHE_DIR": str(tmp_path / "uv"), "COLUMNS": "500"}
    # Set by importing ``search`` in this process, which the command has to do itself.
    del environment["RAY_ENABLE_UV_RUN_RUNTIME_ENV"]
    uv = [find_uv_bin(), "run", "--no-project", "--no-config", "--offline", "--python", sys.executable]
    options = ["--resume", "--study=one", f"--runs={plan.folder.parent}", "--address=local", "--device=cpu", "--quiet"]
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
    try:
        process = subprocess.Popen(
            [*uv, "python", "-m", "search.run", *options],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, allowed)
    output, _ = process.communicate(timeout=1800)
    assert process.returncode == 0, output
    if hasattr(os, "sched_setaffinity"):
        assert "up to 1 trials at once on a local Ray, each with 1 CPU, with the study's 2 threads on 1 CPU" in output
    study = Study(plan.folder)
    assert study.info.cpu_threads == THREADS
    assert study.epochs(0)["train_loss"].tolist() == losses_here(plan)
