"""A Slurm cluster of the machines in ``hosts.py``: a login node with Slurm's controller, and nodes for jobs."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from helpers.hosts import PATH, ROOT, Lab, Machine, lab_of, wait_until
from helpers.needs import lacking, skip_for

TOOLS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo", "munged", "mungekey")

NODES = ("n1", "n2")

TIMEOUT = 600
"""Seconds allowed for what normally takes a minute at most: a machine may be ten times slower."""

CPUS, GPUS = 8, 2
"""Of each node, as Slurm sees it."""

CONFIG = """
ClusterName=test
SlurmctldHost=laptop({login})
SlurmUser=root
AuthType=auth/munge
# Also how long a requeued job waits, since its old credential must have expired.
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2
SlurmdTimeout=10
KillWait=20
ReturnToService=2
MpiDefault=none
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} RealMemory=64000 Gres=gpu:{gpus} State=UNKNOWN
{nodes}
PartitionName=gpu Nodes={names} Default=NO MaxTime=2-00:00:00 State=UP
"""


class SlurmCluster:
    """A login node, the laptop of the lab, and nodes; all see one folder at the same path."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.login = lab, lab.laptop
        self.shared = lab.folder / "shared"
        self.project = self.shared / "leukemia-search"
        self._own = lab.folder / "slurm"
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._configure()
        self._furnish()
        for machine in (self.login, *lab.machines.values()):
            self._start_munge(machine)
        self._start(self.login, "slurmctld", "-D")
        for machine in lab.machines.values():
            self._start(machine, "slurmd", "-D", "-N", machine.name)
        try:
            wait_until(lambda: self._num_idle() == len(lab.machines), TIMEOUT, "Slurm's nodes to be idle")
        except TimeoutError as error:
            pytest.fail(f"{error}:\n{(self._own / 'slurmctld.log').read_text()[-4000:]}", pytrace=False)

    def _configure(self) -> None:
        machines = self.lab.machines
        (self._own / "state").mkdir(parents=True)
        for index in range(GPUS):
            # As /dev/null: Slurm looks only at the kind of file.
            os.mknod(self._own / f"gpu{index}", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        subprocess.run(["mungekey", "--create", f"--keyfile={self._own}/munge.key"], env={"PATH": PATH}, check=True)
        names = ",".join(machines)
        nodes = "\n".join(f"NodeName={name} NodeAddr={each.address}" for name, each in machines.items())
        text = CONFIG.format(login=self.login.address, folder=self._own, names=names, nodes=nodes, cpus=CPUS, gpus=GPUS)
        (self._own / "slurm.conf").write_text(text)
        (self._own / "gres.conf").write_text(f"NodeName={names} Name=gpu File={self._own}/gpu[0-{GPUS - 1}]\n")

    def _furnish(self) -> None:
        """The project with its environment, as a user has it on a shared file system."""
        (self.shared / "home").mkdir(parents=True)
        self.project.mkdir()
        for name in ("leukemia", "search", "constraints.txt", "pyproject.toml"):
            (self.project / name).symlink_to(ROOT / name)
        (self.project / ".venv").symlink_to(sys.prefix)
        text = (ROOT / "cluster.slurm").read_text()
        # A cluster without accounting takes any account.
        assert text.count("# yours\n") == 3
        (self.project / "cluster.slurm").write_text(text)

    def _start_munge(self, machine: Machine) -> None:
        logs = machine.folder / "munge"
        logs.mkdir()
        subprocess.run(machine.command("mkdir", "-p", "/run/munge"), check=True)
        options = [f"--key-file={self._own}/munge.key", f"--log-file={logs}/log", f"--seed-file={logs}/seed"]
        self._start(machine, "munged", "--foreground", "--force", "--pid-file=/run/munge/pid", *options)
        ready = machine.command("test", "-S", "/run/munge/munge.socket.2")
        wait_until(lambda: subprocess.run(ready).returncode == 0, TIMEOUT, f"munge on {machine.name}")

    def _start(self, machine: Machine, *words: str) -> None:
        command = machine.command(*words, SLURM_CONF=str(self._own / "slurm.conf"))
        log = (machine.folder / f"{words[0]}.out").open("wb")
        self._daemons.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        )

    def _num_idle(self) -> int:
        shown = subprocess.run(self._command("sinfo -h -N -o %T"), capture_output=True, text=True)
        return shown.stdout.split().count("idle")

    def _command(self, command: str) -> list[str]:
        environment = {
            "HOME": str(self.shared / "home"),
            "SLURM_CONF": str(self._own / "slurm.conf"),
            "PYTHONPATH": str(ROOT),
            "WANDB_MODE": "offline",
            "OMP_NUM_THREADS": "1",
        }
        return self.login.command("bash", "-c", command, folder=self.project, **environment)

    def run(self, command: str, *, status: int = 0, seconds: float = TIMEOUT) -> str:
        """Run a command on the login node, in the project; returns its output."""
        ended = subprocess.run(
            self._command(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=seconds,
        )  # fmt: skip
        if ended.returncode != status:
            pytest.fail(f"`{command}` ended with {ended.returncode}, not {status}:\n{ended.stdout}", pytrace=False)
        return ended.stdout

    def submit(self, arguments: str) -> int:
        """Submit a job with these arguments of sbatch; returns its number."""
        return int(self.run(f"sbatch --parsable {arguments}").strip())

    def job(self, number: int | str) -> dict[str, str]:
        """What Slurm knows of a job."""
        fields = self.run(f"scontrol --oneliner show job {number}").split()
        return dict(field.partition("=")[::2] for field in fields)

    def state(self, number: int | str) -> str:
        return self.job(number)["JobState"]

    def output(self, number: int | str) -> str:
        path = self.project / f"slurm-{number}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, number: int | str, *states: str, seconds: float = TIMEOUT) -> str:
        """Wait until a job is in one of these states; shows its output otherwise."""
        deadline = time.monotonic() + seconds
        ends = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL"}
        while (state := self.state(number)) not in states:
            if state in ends or time.monotonic() > deadline:
                pytest.fail(f"job {number} is {state}, expected {states}; it printed:\n{self.output(number)}", False)
            time.sleep(0.3)
        return state

    def processes(self, name: str) -> list[str]:
        """What runs on a node, besides Slurm and munge."""
        own = ("slurmd", "munged", "/usr/sbin/slurmd", "nsenter", "env ")
        return [line for line in self.lab.machines[name].processes() if not line.startswith(own)]

    def close(self) -> None:
        for daemon in self._daemons:
            with contextlib.suppress(ProcessLookupError):
                daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def slurm_of(*names: str) -> Iterator[SlurmCluster]:
    """A cluster with nodes of these names; skips the test where none can be made."""
    skip_for(lacking(*TOOLS, root=True))
    with lab_of(*names) as lab:
        cluster = SlurmCluster(lab)
        try:
            yield cluster
        finally:
            cluster.close()
