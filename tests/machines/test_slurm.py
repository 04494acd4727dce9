"""Searches as jobs of a Slurm cluster on this machine, with the commands of docs/cluster/slurm.md: ``make slurm-test``.

The login node and the nodes are made of namespaces (``hosts.py``), with Slurm's own programs (``slurm.py``).
The shipped cluster.slurm is submitted as it is; options of sbatch give each job few CPUs.
"""

from __future__ import annotations

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.hosts import Machine, wait_until
from helpers.slurm import NODES, TIMEOUT, SlurmCluster
from helpers.slurm_search import (
    FOLDS,
    OPENED_BY,
    TRIALS,
    WITHOUT_LOCKS,
    Opened,
    arguments,
    epochs,
    repeated,
    results,
    wait_for_epochs,
    with_site,
)
from helpers.steps import step

from leukemia.study.best import Best
from leukemia.study.folder import Study

pytestmark = pytest.mark.slow

PREFLIGHT = ".venv/bin/python -m search.preflight"

JOB = "--cpus-per-task=1 --gpus-per-node=1 --mem-per-cpu=3G"
"""Options of sbatch: two such jobs, and more, share a node."""


@pytest.fixture(scope="module")
def alone(slurm: SlurmCluster) -> dict[tuple[int, int, int], Any]:
    """Results of the same search on one machine."""
    with step("a search on one machine"):
        slurm.run(f".venv/bin/python -m search.run {arguments()} --address local --study alone")
    return results(slurm, "alone")


def wait_until_clean(slurm: SlurmCluster) -> None:
    """Wait until the nodes have no processes and no folders of a job left."""
    for name in NODES:
        wait_until(lambda name=name: slurm.processes(name) == [], 60, f"{name} to be clean")
        assert [path.name for path in (slurm.lab.machines[name].folder / "tmp").glob("ray-*")] == []


def log_of(slurm: SlurmCluster, study: str) -> str:
    return (slurm.project / "runs" / study / "search.log").read_text()


def restarts(slurm: SlurmCluster, job: int) -> int:
    return int(slurm.job(job)["Restarts"])


def test_preflight(slurm: SlurmCluster) -> None:
    with step("preflight of a search for the GPUs, which are none"):
        printed = slurm.run(f"{PREFLIGHT} cluster.slurm", status=2)
        assert f"n1: the job asks for GPUs, and torch {torch.__version__} is built " in printed
        assert "cluster.slurm is not ready, 1 problem to fix:" in printed
        assert "would start" not in printed

    with step("preflight, with the search timed on a node"):
        printed = slurm.run(f"{PREFLIGHT} cluster.slurm {arguments()}")
        assert re.search(
            r"^a job submitted now would start at \S+ using 8 processors on nodes n1", printed, re.MULTILINE
        ), printed
        assert f"n1: Python {platform.python_version()}, Ray {version('ray')}\n" in printed
        assert printed.endswith(f"\nready: sbatch cluster.slurm {arguments()}\n")
        note = (
            r"^estimate, by the starting recipe: \S+ device hours, on 1 GPU within the time limit of one job, 24:00:00$"
        )
        assert re.search(note, printed, re.MULTILINE), printed


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


@pytest.mark.long
def test_preflight_names_a_time_limit_in_which_no_epoch_ends(slurm: SlurmCluster) -> None:
    script = (slurm.project / "cluster.slurm").read_text()
    (slurm.project / "short.slurm").write_text(script.replace("--time=24:00:00", "--time=3"))
    with step("preflight of a time limit in which no epoch ends, and of wrong arguments"):
        printed = slurm.run(f"{PREFLIGHT} short.slurm {arguments()}", status=2)
        assert "--time=3: expected at least 4 minutes, for the start (60 s), the notice (120 s) and an epoch" in printed
        printed = slurm.run(f"{PREFLIGHT} cluster.slurm --device cpu --data ../nothing", status=2)
        assert re.search(r"the search would fail \(error: .*nothing.*\); correct its arguments", printed), printed


def tokens_of(machine: Machine) -> list[Path]:
    """The tokens of the jobs that run there."""
    return list((machine.folder / "tmp").glob("ray-*/token"))


def test_two_jobs_on_the_same_nodes_and_one_is_requeued(slurm: SlurmCluster, alone: dict[Any, Any]) -> None:
    opened = slurm.shared / "opened.log"
    # The first job has a cache of its own, and finds no decoded images there.
    own = with_site(slurm, "opened", OPENED_BY, OPENED=opened, LEUKEMIA_CACHE=slurm.shared / "cache")
    with step("two jobs start on the same nodes"):
        first, second = (slurm.submit(f"{given} {JOB} --nodes=2 cluster.slurm {arguments()}") for given in (own, ""))
        machines = slurm.lab.machines.values()
        wait_until(lambda: all(len(tokens_of(each)) == 2 for each in machines), TIMEOUT, "both jobs on both nodes")

    with step("the token is readable by its user only"):
        for machine in machines:
            tokens = tokens_of(machine)
            assert {path.stat().st_mode & 0o777 for path in tokens} == {0o600}
            assert {path.parent.stat().st_mode & 0o777 for path in tokens} == {0o700}
            assert len({path.read_text() for path in tokens}) == 2

    with step("the first one trains"):
        wait_for_epochs(slurm, first, 1)
        for job in (first, second):
            assert slurm.job(job)["NodeList"] == "n[1-2]"
            assert "n2: 1 CPU, 1 GPU, 3 GiB of memory" in slurm.output(job)

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
            assert repeated(slurm, f"slurm-{job}") == 0, log_of(slurm, f"slurm-{job}")
            assert results(slurm, f"slurm-{job}") == alone
            assert Best.load(slurm.project / "runs" / f"slurm-{job}" / "best.json").folds_done == FOLDS
        wait_until_clean(slurm)

    with step("images were read once, by one process on the first node"):
        read = Opened.read(opened)
        assert [machine for machine, _ in read.processes] == ["n1"]
        assert len(read.times) == len(list((slurm.shared / "cells").rglob("*.png")))
        # For its header, for its pixels, and for the end of a PNG: decoding it again would be two more.
        assert set(read.times.values()) == {3}


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
        assert repeated(slurm, f"slurm-{job}") == 0, "only the running epoch, which had not ended"

    with step("it is preempted: Slurm signals its steps, and it is requeued"):
        slurm.run(f"scancel --signal=TERM {job}")
        wait_until(lambda: restarts(slurm, job) == 2, TIMEOUT, "the job to be requeued")
        ended = epochs(slurm, f"slurm-{job}")
        wait_for_epochs(slurm, job, ended + 1)
        # Ray's processes get the signal as well, and end at once: trials resume from their last checkpoint.
        assert repeated(slurm, f"slurm-{job}") <= ended - before

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
        export = with_site(slurm, "lockless", WITHOUT_LOCKS, LOCKLESS=slurm.shared)
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
