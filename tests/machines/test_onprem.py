"""A cluster of three machines on this one, with the commands of docs/cluster/onprem.md: ``make cluster-test``.

The machines are made of namespaces (``hosts.py``). The shipped cluster.onprem.yaml is used with their addresses; a
Python environment is prepared on them, as a lab may do. Each machine offers Ray one CPU.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.hosts import PATH, ROOT, USER, Lab, Machine, lab_of, wait_until

from leukemia.study.best import Best
from leukemia.study.folder import Study

pytestmark = pytest.mark.slow

CLUSTER = "cluster.onprem.yaml"
HEAD, WORKERS = "head", ("worker1", "worker2")
TRIALS, FOLDS, EPOCHS = 4, 2, 4
RECIPE = {
    "model.depth": 18,
    "model.shortcut": "add",
    "optimizer.name": "adamw",
    "data.size_px": 32,
    "train.epochs": EPOCHS,
    "evaluate.tta": "none",
}
SEARCH = " ".join(
    [
        f"python -m search.run --trials {TRIALS} --folds {FOLDS} --repeats 0 --no-racing --preset debug --quiet",
        *(f"--set {field}={value}" for field, value in RECIPE.items()),
        "--device cpu --cpus-per-trial 1",
    ]
)
"""Its trials depend only on their numbers, so that two searches can be compared."""

TIMEOUT = 600
"""Seconds allowed for what normally takes a minute at most: a machine may be ten times slower."""

LINGERING = ("log_monitor.py", "ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Processes that keep running for minutes, or forever, after a worker's raylet has ended."""


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Print a line for a step, with its seconds."""
    start = time.monotonic()
    print(f"  {title} ...", end="", flush=True)
    yield
    print(f" {time.monotonic() - start:.0f} s", flush=True)


class Laptop:
    """The user's machine, where commands are typed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def run(self, command: str, seconds: float, *, home: str | None = None, status: int = 0) -> str:
        """Run a command in the project folder with the environment active; returns its output."""
        settings = {"PATH": f"{sys.prefix}/bin:{PATH}"} | ({} if home is None else {"HOME": home})
        arguments = self.machine.command("bash", "-c", command, folder=ROOT, **settings)
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            pytest.fail(f"`{command}` took more than {seconds} s:\n{tail(output)}", pytrace=False)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode != status:
            pytest.fail(f"`{command}` ended with {process.returncode}, not {status}:\n{tail(output)}", pytrace=False)
        return output

    def on_head(self, command: str, seconds: float) -> str:
        return self.run(f"ray exec ~/{CLUSTER} '{command}'", seconds)


def tail(output: str, lines: int = 40) -> str:
    return "\n".join(output.splitlines()[-lines:])


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Three machines of a lab, and a laptop with its own copy of the cluster file."""

    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        with lab_of(HEAD, *WORKERS) as lab:
            home = lab.laptop.home
            (home / ".ssh").mkdir(mode=0o700)
            shutil.copy(lab.key, home / ".ssh" / "id_ed25519")
            (home / CLUSTER).write_text(addressed((ROOT / CLUSTER).read_text(), lab))
            for machine in lab.machines.values():
                prepare(machine)
            yield lab
    finally:
        signal.signal(signal.SIGTERM, before)


def addressed(text: str, lab: Lab) -> str:
    """The shipped cluster file with the addresses of these machines."""
    head, *workers = (machine.address for machine in lab.machines.values())
    for old, new in (
        ("head_ip: 192.0.2.10 ", f"head_ip: {head} "),
        ("worker_ips: [192.0.2.11, 192.0.2.12] ", f"worker_ips: [{', '.join(workers)}] "),
    ):
        assert text.count(old) == 1, f"{CLUSTER} has no line {old!r}"
        text = text.replace(old, new)
    return text


def prepare(machine: Machine) -> None:
    """Prepare an environment, as the cluster file allows, and limit Ray to one CPU."""
    environment = machine.home / "leukemia-search" / ".venv"
    environment.mkdir(parents=True)
    for name in ("bin", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(Path(sys.prefix) / name)
    shutil.copy(ROOT / "constraints.txt", environment)
    (machine.home / ".bashrc").write_text("export RAY_OVERRIDE_RESOURCES='{\"CPU\": 1}'\n")


def results(folder: Path) -> dict[tuple[int, int, int], Any]:
    """Recipe, scores and predictions by trial, seed and fold."""
    study, found = Study(folder), {}
    for number in study.trials():
        for seed in study.seeds(number):
            for fold in study.folds_done(number, seed):
                scores = study.fold(number, seed, fold).scores
                table = study.out_of_fold(number, seed)
                found[number, seed, fold] = (study.recipe(number), scores, table.to_dict("records"))
    return found


def checkpoints(machine: Machine) -> list[Path]:
    """Checkpoints of trials that have trained the last epoch of a fold on this machine, and have not reported it."""
    return [path for path in (machine.home / ".cache/leukemia/checkpoints").rglob("*") if path.is_file()]


def test_the_commands_of_the_documentation_on_three_machines(lab: Lab, tiny_folder: Path) -> None:
    laptop, head = Laptop(lab.laptop), lab.machines[HEAD]
    shutil.copytree(tiny_folder, lab.laptop.home / "cells")
    project = head.home / "leukemia-search"
    print()

    with step("ray get-auth-token --generate, ray up"):
        laptop.run("(umask 077; ray get-auth-token --generate > /dev/null)", TIMEOUT)
        laptop.run(f"ray up -y ~/{CLUSTER}", 5 * TIMEOUT)
        for machine in lab.machines.values():
            token = machine.home / ".ray" / "auth_token"
            wait_until(token.exists, 2 * TIMEOUT, f"the token on {machine.name}")
            assert token.stat().st_mode & 0o777 == 0o600

    with step("all machines have joined"):
        wait_until(lambda: "/3.0 CPU" in laptop.on_head("ray status", TIMEOUT), 5 * TIMEOUT, "both workers to join")

    with step("a client without the token is rejected"):
        address = f"{head.address}:6379"
        assert "AuthenticationError" in laptop.run(f"ray status --address {address}", TIMEOUT, home="/tmp", status=1)
        rejected = laptop.run(
            f"python -m search.run --data ~lab/cells --address {address}", 4 * TIMEOUT, home="/tmp", status=2
        )
        assert f"error: --address {address}: this cluster requires its token" in rejected.splitlines()[-1]
        assert "Active:" in laptop.run(f"RAY_AUTH_MODE=token ray status --address {address}", TIMEOUT)

    with step("the search has trained a fold on worker1"):
        command = f"cd leukemia-search && {SEARCH} --study onprem > search.out 2>&1; echo $? > search.status"
        laptop.run(f"ray exec --tmux ~/{CLUSTER} '{command}'", TIMEOUT)
        status, output, victim = project / "search.status", project / "search.out", lab.machines["worker1"]
        with showing(output):
            wait_until(lambda: checkpoints(victim) or status.exists(), 5 * TIMEOUT, "a fold on worker1")
            assert not status.exists(), "the search ended too early"

    with step("worker1 is killed, the search finishes"):
        lab.cut_off(victim.name)
        victim.kill()
        with showing(output):
            wait_until(status.exists, 10 * TIMEOUT, "the search to finish")
            assert status.read_text() == "0\n"

    with step("leukemia.final --best"):
        laptop.on_head("cd leukemia-search && python -m leukemia.final --best onprem", 5 * TIMEOUT)
        laptop.run(f"ray rsync-down ~/{CLUSTER} leukemia-search/runs/ ~/runs/", TIMEOUT)

    with step("the same search on one machine has the same results"):
        laptop.on_head(f"cd leukemia-search && {SEARCH} --study alone --address local", 10 * TIMEOUT)
        downloaded = lab.laptop.home / "runs" / "onprem"
        assert results(downloaded) == results(project / "runs" / "alone")
        assert Best.load(downloaded / "best.json").folds_done == FOLDS
        assert (downloaded / "final" / "model.safetensors").is_file()

    with step("ray down"):
        laptop.run(f"ray down -y ~/{CLUSTER}", 2 * TIMEOUT)
        rest = [head, lab.machines["worker2"]]
        wait_until(
            lambda: not [process for process in left_on(*rest) if not any(each in process for each in LINGERING)],
            3 * TIMEOUT,
            "Ray to end",
        )

    with step("ray stop on the workers"):
        for machine in rest[1:]:
            laptop.run(f"ssh -o StrictHostKeyChecking=no {USER}@{machine.address} 'bash -ic \"ray stop\"'", 2 * TIMEOUT)
        assert left_on(*rest) == []


def left_on(*machines: Machine) -> list[str]:
    return [f"{machine.name}: {process}" for machine in machines for process in machine.processes()]


@contextlib.contextmanager
def showing(output: Path) -> Iterator[None]:
    """If the search fails, show the end of its output."""
    try:
        yield
    except (AssertionError, TimeoutError) as error:
        printed = tail(output.read_text(errors="replace")) if output.exists() else "nothing"
        pytest.fail(f"{error}; the search printed:\n{printed}", pytrace=False)
