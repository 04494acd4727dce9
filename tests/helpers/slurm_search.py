"""The searches that tests submit to a Slurm cluster, and what is read from their studies and data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.hosts import ROOT, wait_until
from helpers.slurm import TIMEOUT, SlurmCluster

from leukemia.study.folder import Study

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

OPENED_BY = """
import os, socket, sys
def note(event, arguments):
    if event == "open" and "/cells/" in str(arguments[0]) and str(arguments[0]).endswith(".png"):
        line = f"{socket.gethostname()} {os.getpid()} {arguments[0]}\\n"
        log = os.open(os.environ["OPENED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(log, line.encode())
        os.close(log)
sys.addaudithook(note)
"""
"""Run by every Python process that finds it as sitecustomize.py: it logs each image that is opened."""


def with_site(slurm: SlurmCluster, name: str, code: str, **variables: object) -> str:
    """The option of sbatch by which all Python processes of a job first run this code, with these variables."""
    place = slurm.lab.folder / name
    place.mkdir()
    (place / "sitecustomize.py").write_text(code)
    given = "".join(f",{variable}={value}" for variable, value in variables.items())
    return f"--export=ALL,PYTHONPATH={place}:{ROOT}{given}"


@dataclass(frozen=True)
class Opened:
    """Which processes have opened the images, and how often each image was opened."""

    processes: set[tuple[str, str]]
    """Name of the machine, number of the process."""

    times: Counter[str]

    @classmethod
    def read(cls, log: Path) -> Opened:
        lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
        return cls({(machine, process) for machine, process, _ in lines}, Counter(path for *_, path in lines))


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
