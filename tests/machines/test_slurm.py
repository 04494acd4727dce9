"""Searches as jobs of a Slurm cluster on this machine, with the commands of docs/cluster/slurm.md: ``make slurm-test``.

The login node and the nodes are made of namespaces (``hosts.py``), with Slurm's own programs (``slurm.py``).
The shipped cluster.slurm is submitted as it is; options of sbatch give each job few CPUs.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.hosts import ROOT, wait_until
from helpers.slurm import TIMEOUT, SlurmCluster, slurm_of

from leukemia.study.best import Best
from leukemia.study.folder import Study

pytestmark = pytest.mark.slow

NODES = ("n1", "n2")
TRIALS, FOLDS, EPOCHS = 2, 2, 4
RECIPE = {
    "model.depth": 18,
    "model.shortcut": "add",
    "optimizer.name": "adamw",
    "data.size_px": 32,
    "train.epochs": EPOCHS,
    "evaluate.tta": "none",
}


def arguments(**recipe: Any) -> str:
    """Arguments of a search whose trials depend only on their numbers, so that two searches can be compared."""
    settings = " ".join(f"--set {field}={value}" for field, value in (RECIPE | recipe).items())
    return (
        f"--data ../cells --trials {TRIALS} --folds {FOLDS} --repeats 0 --no-racing --preset debug --quiet "
        f"--device cpu --cpus-per-trial 1 {settings}"
    )


WITHOUT_LOCKS = """
import errno, fcntl, os
flock = fcntl.flock
def refuse(stream, operation):
    descriptor = stream if isinstance(stream, int) else stream.fileno()
    if os.readlink(f"/proc/self/fd/{descriptor}").startswith(os.environ["LOCKLESS"]):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    flock(stream, operation)
fcntl.flock = refuse
"""
"""Run by every Python process that finds it as sitecustomize.py: a folder has no locks, as on Lustre without them."""

PREFLIGHT = ".venv/bin/python -m search.preflight"

JOB = "--cpus-per-task=1 --gpus-per-node=1 --mem-per-cpu=3G"
"""Options of sbatch: two such jobs, and more, share a node."""


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print a line for a step, with its seconds."""
    start = time.monotonic()
    print(f"  {title} ...", end="", flush=True)
    yield
    print(f" {time.monotonic() - start:.0f} s", flush=True)


@pytest.fixture(scope="module")
def slurm(tiny_folder: Path) -> Iterator[SlurmCluster]:
    print()
    with contextlib.ExitStack() as stack:
        with step("a login node and two nodes"):
            cluster = stack.enter_context(slurm_of(*NODES))
        shutil.copytree(tiny_folder, cluster.shared / "cells")
        yield cluster


@pytest.fixture(scope="module")
def alone(slurm: SlurmCluster) -> dict[tuple[int, int, int], Any]:
    """Results of the same search on one machine."""
    with step("a search on one machine"):
        slurm.run(f".venv/bin/python -m search.run {arguments()} --address local --study alone")
    return results(slurm, "alone")


def results(slurm: SlurmCluster, study: str) -> dict[tuple[int, int, int], Any]:
    """Recipe, scores and predictions by trial, seed and fold."""
    opened, found = Study(slurm.project / "runs" / study), {}
    for number in opened.trials():
        for seed in opened.seeds(number):
            for fold in opened.folds_done(number, seed):
                table = opened.out_of_fold(number, seed)
                found[number, seed, fold] = (
                    opened.recipe(number),
                    opened.fold(number, seed, fold).scores,
                    table.to_dict("records"),
                )
    return found


def repeated(slurm: SlurmCluster, study: str) -> int:
    """How many epochs a study has trained twice."""
    files = (slurm.project / "runs" / study / "trials").glob("*/repeated.csv")
    return sum(len(pd.read_csv(file)) for file in files)


def epochs(slurm: SlurmCluster, study: str) -> int:
    """How many epochs a study has finished so far."""
    files = (slurm.project / "runs" / study / "trials").glob("*/epochs.csv")
    return sum(len(file.read_text().splitlines()) - 1 for file in files)


def wait_for_epochs(slurm: SlurmCluster, job: int, number: int) -> None:
    """Wait until a job's study, which has the job's name, has finished so many epochs."""

    def happened() -> bool:
        assert slurm.state(job) in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"), slurm.output(job)
        return epochs(slurm, f"slurm-{job}") >= number

    try:
        wait_until(happened, TIMEOUT, f"{number} epochs of job {job}")
    except TimeoutError as error:
        pytest.fail(f"{error}; it printed:\n{slurm.output(job)}", pytrace=False)


def wait_until_clean(slurm: SlurmCluster) -> None:
    """Wait until the nodes have no processes and no folders of a job left."""
    for name in NODES:
        wait_until(lambda name=name: slurm.processes(name) == [], 60, f"{name} to be clean")
        assert [path.name for path in (slurm.lab.machines[name].folder / "tmp").glob("ray-*")] == []


def restarts(slurm: SlurmCluster, job: int) -> int:
    return int(slurm.job(job)["Restarts"])


def test_preflight(slurm: SlurmCluster) -> None:
    with step("preflight"):
        printed = slurm.run(f"{PREFLIGHT} cluster.slurm")
        assert re.search(r"^Job \d+ to start at \S+ using 8 processors on nodes n1", printed, re.MULTILINE), printed
        assert f"n1: Python {platform.python_version()}, Ray {version('ray')}\nready: sbatch cluster.slurm" in printed


def test_preflight_names_what_is_wrong(slurm: SlurmCluster) -> None:
    script = (slurm.project / "cluster.slurm").read_text()
    for option, wrong, problem in (
        ("--partition=gpu ", "--partition=cpu ", "--partition=cpu: expected a partition of this cluster, such as gpu"),
        (
            "--time=24:00:00",
            "--time=5-0",
            "--time=5-0: expected at most 2-00:00:00, the limit of partition gpu",
        ),
        ("--gpus-per-node=1 ", "--gpus-per-node=9 ", "sbatch rejects the job (.*configuration is not available"),
    ):
        assert option in script
        (slurm.project / "wrong.slurm").write_text(script.replace(option, wrong))
        printed = slurm.run(f"{PREFLIGHT} wrong.slurm", status=2)
        assert re.search(problem.replace("(", r"\("), printed), printed
        assert "wrong.slurm is not ready, 1 problem to fix:" in printed


def test_two_jobs_on_the_same_nodes_and_one_is_requeued(slurm: SlurmCluster, alone: dict[Any, Any]) -> None:
    with step("two jobs train on the same nodes"):
        first, second = (slurm.submit(f"{JOB} --nodes=2 cluster.slurm {arguments()}") for _ in range(2))
        for job in (first, second):
            wait_for_epochs(slurm, job, 1)
            assert slurm.job(job)["NodeList"] == "n[1-2]"
            assert "n2: 1 CPU, 1 GPU, 3 GiB of memory" in slurm.output(job)

    with step("the token is readable by its user only"):
        for machine in slurm.lab.machines.values():
            tokens = list((machine.folder / "tmp").glob("ray-*/token"))
            assert len(tokens) == 2
            assert {path.stat().st_mode & 0o777 for path in tokens} == {0o600}
            assert {path.parent.stat().st_mode & 0o777 for path in tokens} == {0o700}
            assert len({path.read_text() for path in tokens}) == 2

    with step("the first job gets the notice of its time limit: it ends in order and is requeued"):
        # What `--signal=B:TERM@120` does; Slurm itself looks at time limits twice a minute.
        slurm.run(f"scancel --batch --signal=TERM {first}")
        wait_until(lambda: restarts(slurm, first) == 1, TIMEOUT, "the job to be requeued")

    with step("both jobs finish"):
        slurm.wait_for(second, "COMPLETED")
        slurm.wait_for(first, "COMPLETED")
        assert f"job {first} is requeued, and will resume its study" in slurm.output(first)
        assert f"study slurm-{first} in" in slurm.output(first)

    with step("results are those of one machine"):
        for job in (first, second):
            assert results(slurm, f"slurm-{job}") == alone
            assert Best.load(slurm.project / "runs" / f"slurm-{job}" / "best.json").folds_done == FOLDS
        wait_until_clean(slurm)


@pytest.mark.long
def test_a_job_is_requeued_until_it_is_cancelled(slurm: SlurmCluster) -> None:
    with step("a job trains on one node, for longer than its time limit"):
        limit = "--time=4 --signal=B:TERM@60"
        job = slurm.submit(f"{JOB} {limit} cluster.slurm {arguments(**{'train.epochs': 20_000})}")
        wait_for_epochs(slurm, job, 1)

    with step("Slurm gives notice, and the job is requeued"):
        wait_until(lambda: restarts(slurm, job) == 1, TIMEOUT, "the job to be requeued")
        before = epochs(slurm, f"slurm-{job}")

    with step("it resumes the study"):
        wait_for_epochs(slurm, job, before + 1)
        # Those after the last checkpoint, which is a minute old at most.
        assert repeated(slurm, f"slurm-{job}") < before

    with step("it is preempted: Slurm signals its steps, and it is requeued"):
        slurm.run(f"scancel --signal=TERM {job}")
        wait_until(lambda: restarts(slurm, job) == 2, TIMEOUT, "the job to be requeued")
        before = epochs(slurm, f"slurm-{job}")
        wait_for_epochs(slurm, job, before + 1)

    with step("it is cancelled, and does not come back"):
        slurm.run(f"scancel {job}")
        slurm.wait_for(job, "CANCELLED")
        wait_until_clean(slurm)
        assert (slurm.state(job), restarts(slurm, job)) == ("CANCELLED", 2)
        assert slurm.output(job).count("is requeued, and will resume its study") == 2


@pytest.mark.long
def test_the_tasks_of_an_array_are_independent(slurm: SlurmCluster) -> None:
    with step("an array of two searches with their own seeds"):
        given = arguments().replace(f"--trials {TRIALS}", "--trials 1")
        array = slurm.submit(f"{JOB} --array=1-2 cluster.slurm {given} --seed %a")
        for task in ("1", "2"):
            slurm.wait_for(f"{array}_{task}", "COMPLETED")
            study = Study(slurm.project / "runs" / f"slurm-{array}_{task}")
            assert study.info.seed == int(task)
            assert Best.load(study.folder / "best.json").folds_done == FOLDS


@pytest.mark.long
def test_shared_folders_without_file_locks(slurm: SlurmCluster, alone: dict[Any, Any]) -> None:
    with step("a job mirrors its study to a folder without locks"):
        place = slurm.lab.folder / "lockless"
        place.mkdir()
        (place / "sitecustomize.py").write_text(WITHOUT_LOCKS)
        export = f"--export=ALL,PYTHONPATH={place}:{ROOT},LOCKLESS={slurm.shared}"
        job = slurm.submit(f"{export} {JOB} cluster.slurm {arguments()}")
        mirror = slurm.project / "runs" / f"slurm-{job}"
        wait_until(lambda: list(mirror.glob("trials/*/seed_*/fold_*.json")), TIMEOUT, "a mirrored fold")
        assert f"runs has no file locks: the study is written in /tmp/ray-{job}-" in slurm.output(job)

    with step("it is requeued, and resumes from the mirror"):
        slurm.run(f"scancel --batch --signal=TERM {job}")
        wait_until(lambda: restarts(slurm, job) == 1, TIMEOUT, "the job to be requeued")
        slurm.wait_for(job, "COMPLETED")
        assert results(slurm, f"slurm-{job}") == alone
        wait_until_clean(slurm)


@pytest.mark.long
def test_the_winner_is_retrained_in_a_job(slurm: SlurmCluster, alone: dict[Any, Any]) -> None:
    with step("leukemia.final --best"):
        command = ".venv/bin/python -m leukemia.final --best alone --device cpu"
        job = slurm.submit(f"--partition=gpu {JOB} --time=60 --wrap '{command}'")
        slurm.wait_for(job, "COMPLETED")
        assert (slurm.project / "runs" / "alone" / "final" / "model.safetensors").is_file()


@pytest.mark.long
def test_a_node_is_drained_and_one_is_lost(slurm: SlurmCluster, alone: dict[Any, Any]) -> None:
    with step("a job trains on both nodes"):
        job = slurm.submit(f"{JOB} --nodes=1-2 cluster.slurm {arguments()}")
        wait_for_epochs(slurm, job, 1)
        assert (slurm.job(job)["BatchHost"], slurm.job(job)["NodeList"]) == ("n1", "n[1-2]")

    with step("n2 is drained, and its job trains on"):
        slurm.run("scontrol update NodeName=n2 State=DRAIN Reason=test")
        wait_for_epochs(slurm, job, epochs(slurm, f"slurm-{job}") + 1)
        slurm.run("scontrol update NodeName=n2 State=RESUME")

    with step("n1 is lost, where the search runs: the job is requeued, and finishes on n2"):
        slurm.lab.cut_off("n1")
        slurm.lab.machines["n1"].kill()
        slurm.wait_for(job, "COMPLETED")
        assert (restarts(slurm, job), slurm.job(job)["NodeList"]) == (1, "n2")
        assert results(slurm, f"slurm-{job}") == alone
