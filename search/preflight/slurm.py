"""Check a job script for Slurm, the folder that it lies in, and a node of its partition, before ``sbatch``."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from search.preflight.job_disk import compare_disk
from search.preflight.job_options import gpu_option, nodes_of, num_gpus, tasks_of_node
from search.preflight.job_time import Estimate, compare, failed, minutes
from search.preflight.problems import collect

PLACING = ("partition", "account", "qos", "constraint", "reservation")
"""Options that decide, with those on GPUs, where a job may run; a short job with them sees what the search will see."""

SIZES = ("cpus-per-gpu", "mem", "mem-per-cpu", "mem-per-gpu")
"""Options for what a job gets of a node, besides CPUs; a search is timed with as much."""

COMMANDS = ("sbatch", "srun", "sinfo", "squeue", "scontrol")

COMMAND_SECONDS = 60
"""How long one of Slurm's commands may take to answer."""

QUEUE_SECONDS = 30
"""How long to wait for a free node."""

ESTIMATE_MINUTES = 60
"""How long the estimate may take, in which a data set may be read for the first time."""

RAY_MB = 500
"""Free space for Ray's files and temporary ones on a node's own disk, as ``search/slurm/node.py`` asks for."""

PROBE = (
    "import os, shutil, sys, tempfile, ray, torch; tempfile.TemporaryFile(dir='.').close(); "
    "own = os.environ.get('RAY_TMPDIR') or '/tmp'; "
    "print('node', os.uname().nodename, ray.__version__, sys.version.split()[0], torch.__version__, "
    "torch.version.cuda or torch.version.hip, torch.cuda.is_available(), "
    "shutil.disk_usage(own).free // 10**6 if os.access(own, os.W_OK | os.X_OK) else None)"
)
"""Run on a node, in the folder of the script."""


def check_script(
    path: Path, options: dict[str, str], arguments: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Problems and notes about a job script and where it would run, a line each.

    Args:
        path: of the script; jobs run in the folder where sbatch is run, as this is.
        options: of ``options_of``.
        arguments: of the search, to compare time limit and disk space with its estimate; none: they are not compared.
        variables: that the script exports.
    """
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        return [f"{', '.join(missing)}: not found on this machine; run this on the cluster's login node"], []
    start: list[str] = []
    known = {name: value for name, value in (variables or {}).items() if "$" not in value}
    notes = [
        f"{name}={value}: known in the job only, so the default was checked instead"
        for name, value in (variables or {}).items()
        if name not in known
    ]
    problems = collect("the options", lambda: _option_problems(path, options, start))
    folder = Path.cwd()
    node = Node(folder=folder, options=options, variables=known)
    folder_problems = collect("the folder", lambda: _folder_problems(folder, path))
    # What sbatch rejects, srun does as well; and without an environment there is nothing to look for on a node.
    if not problems and not folder_problems:
        problems = collect("a node", lambda: _node_problems(node, arguments, notes))
    problems += folder_problems
    # When it would start is of no use for a job that is not ready, and reads as if it had been submitted.
    return problems, notes if problems else [*start, *notes]


def _option_problems(path: Path, options: dict[str, str], start: list[str]) -> Iterator[str]:
    if "gpus-per-socket" in options:
        yield (
            f"--gpus-per-socket={options['gpus-per-socket']}: expected --gpus-per-node, --gpus, --gpus-per-task or "
            "--gres=gpu:N, from which a node's GPUs can be counted; use one of these"
        )
        return
    partition = options.get("partition")
    if partition is not None:
        limits = {name: longest for name, (longest, _) in _limits().items() if name}
        unknown = sorted(set(partition.split(",")) - set(limits))
        if unknown:
            yield (
                f"--partition={partition}: expected a partition of this cluster, such as "
                f"{', '.join(list(limits)[:10])}; correct it"
            )
            return
        longest = max((limits[name] for name in partition.split(",")), key=minutes)
        # Unless it is told otherwise, Slurm would accept the job and never start it.
        if minutes(options.get("time", "0")) > minutes(longest):
            yield f"--time={options['time']}: expected at most {longest}, the limit of partition {partition}; lower it"
            return
    tested = _run("sbatch", "--test-only", str(path))
    # Also of success, it tells on stderr.
    said = " ".join(line.removeprefix("sbatch: ") for line in tested.stderr.splitlines() if line.strip())
    if tested.returncode:
        yield f'sbatch rejects the job ({said}); correct the lines that end in "yours", or the limits below them'
    else:
        start.append(re.sub(r"^Job \d+ to start", "a job submitted now would start", said))


def _limits() -> dict[str, tuple[str, str]]:
    """Longest and default time of each partition, as Slurm writes them; the default partition also as ``""``."""
    found: dict[str, tuple[str, str]] = {}
    for line in _run("sinfo", "--noheader", "--format=%P|%l|%L").stdout.splitlines():
        name, longest, default = line.strip().split("|")
        for each in (name.rstrip("*"), *([""] if name.endswith("*") else [])):
            found[each] = longest, default if default[:1].isdigit() else longest
    return found


def _limit_of(options: dict[str, str]) -> str:
    """The time limit of the job: that of the script, or the shortest that its partitions give to one without."""
    if options.get("time"):
        return options["time"]
    limits = _limits()
    return min((limits[name][1] for name in options.get("partition", "").split(",") if name in limits), key=minutes)


def _folder_problems(folder: Path, path: Path) -> Iterator[str]:
    project = path.absolute().parent
    if not _has_environment(folder) and _has_environment(project):
        yield (
            f"{folder}/.venv: no environment, and jobs use that of the folder where they are submitted; `cd {project}` "
            "first, here and before sbatch"
        )
        return
    if not os.access(folder, os.W_OK):
        yield f"{folder}: cannot be written, and jobs write their studies there; copy the project to another folder"
    if not _has_environment(folder):
        yield f"{folder}/.venv: no environment, and jobs use it; `make setup` there"


def _has_environment(folder: Path) -> bool:
    return (folder / ".venv" / "bin" / "python").exists()


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node like those of the job, on which commands are run."""

    folder: Path
    options: dict[str, str]
    variables: Mapping[str, str]
    """That the script exports."""

    def run(self, given: Sequence[str], python: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        """Run Python in the folder, if a node is free.

        Args:
            given: further options of srun.
            seconds: that it may take, besides waiting for a node.
        """
        placing = [f"--{name}={self.options[name]}" for name in PLACING if self.options.get(name)]
        small = ["--nodes=1", "--ntasks=1", f"--immediate={QUEUE_SECONDS}", "--quiet"]
        command = ["srun", *placing, *gpu_option(self.options), *small, *given, ".venv/bin/python", *python]
        return _run(*command, cwd=self.folder, seconds=QUEUE_SECONDS + seconds, env=os.environ | self.variables)


def _node_problems(node: Node, arguments: Sequence[str], notes: list[str]) -> Iterator[str]:
    """Look at the folder from a node, if one is free, and time the search there."""
    folder = node.folder
    probed = node.run(("--time=5", "--mem-per-cpu=2G"), ["-c", PROBE], COMMAND_SECONDS * 5)
    lines = probed.stderr.strip().splitlines() or ["no reason given"]
    if _is_busy(probed, "node"):
        notes.append(f"no node was free within {QUEUE_SECONDS} s, so neither the folder nor the search was checked")
        return
    if probed.returncode:
        yield (
            f"a node cannot use {folder}/.venv, or write to the folder ({lines[-1]}); both must be on a disk that all "
            "nodes see"
        )
        return
    _, name, ray, python, torch, cuda, has_gpu, free_mb = probed.stdout.split()
    notes.append(f"{name}: Python {python}, Ray {ray}")
    own = node.variables.get("RAY_TMPDIR") or os.environ.get("RAY_TMPDIR") or "/tmp"
    if free_mb == "None" or int(free_mb) < RAY_MB:
        found = "no folder that can be written" if free_mb == "None" else f"{free_mb} MB free"
        yield (
            f"{name}: {own}: expected a folder on the node's own disk with {RAY_MB} MB for Ray's files, found {found}; "
            "add `export RAY_TMPDIR=...` to the script, before its last line"
        )
    pinned = re.search(r"^ray==(\S+)", (folder / "constraints.txt").read_text(), re.MULTILINE)
    if pinned is not None and pinned[1] != ray:
        yield f"{name}: Ray {ray}, constraints.txt asks for {pinned[1]}; `make setup` in {folder}"
    elif num_gpus(node.options) and device_of(arguments) != "cpu" and has_gpu != "True":
        # The dry run would take the CPU, and its estimate say nothing about the job.
        yield _gpu_problem(name, torch, cuda)
    elif arguments:
        yield from _search_problems(node, arguments, notes)
    else:
        notes.append(
            "time limit and disk space were not compared: for that, give the search's arguments as well, after the file"
        )


def device_of(arguments: Sequence[str]) -> str | None:
    """The device that a search is told to use; None without ``--device``.

    >>> device_of(["--data", "cells", "--device=cpu"]), device_of(["--data", "cells"])
    ('cpu', None)
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # A missing value is a problem that the dry run names.
    parser.add_argument("--device", nargs="?")
    device: str | None = parser.parse_known_args(arguments)[0].device
    return device


def _gpu_problem(node: str, torch: str, cuda: str) -> str:
    """The problem of a job for a GPU that torch does not find.

    Args:
        cuda: version that torch is built for, ``None`` for a build without.
    """
    built, fix = "is built without CUDA", "`make clean setup` without TORCH_INDEX"
    if cuda != "None":
        built = f"is built for CUDA {cuda}, and finds no GPU there"
        fix = "compare the driver in `nvidia-smi`, and choose a build for it with `make clean setup TORCH_INDEX=...`"
    return (
        f"{node}: the job asks for GPUs, and torch {torch} {built}; {fix}, or ask for no GPU and give --device cpu to "
        "the search"
    )


def _search_problems(node: Node, arguments: Sequence[str], notes: list[str]) -> Iterator[str]:
    """Time the search on a node, as part of a job would, and compare what it takes with what the job has."""
    options = node.options
    sizes = [f"--{name}={options[name]}" for name in SIZES if options.get(name)]
    if options.get("cpus-per-task", "").isdecimal():
        sizes.append(f"--cpus-per-task={int(options['cpus-per-task']) * tasks_of_node(options)}")
    # A job's tasks in an array have the same cost.
    search = [argument.replace("%a", "0") for argument in arguments]
    limit = _limit_of(options)
    timed = node.run(
        (f"--time={max(1, int(min(ESTIMATE_MINUTES, minutes(limit))))}", *sizes),
        ["-m", "search.run", *search, "--dry-run"],
        60 * ESTIMATE_MINUTES,
    )
    if _is_busy(timed, "cost:"):
        notes.append(
            f"no node with what a job needs was free within {QUEUE_SECONDS} s: time limit and disk space were not "
            "checked"
        )
        return
    estimate = Estimate.read(timed.stdout)
    if timed.returncode or estimate is None:
        yield failed(timed.stdout + timed.stderr)
        return
    yield from compare(options, limit, estimate, notes)
    yield from compare_disk(timed.stdout, nodes_of(options)[1], notes)


def _is_busy(ended: subprocess.CompletedProcess[str], expected: str) -> bool:
    """Whether srun got no node in time: what was to be printed there is absent, and it says so."""
    has_failed = ended.returncode != 0 and expected not in ended.stdout
    return has_failed and re.search("^srun: .*(immediate|allocate|resources)", ended.stderr, re.M) is not None


def _run(
    *words: str, cwd: Path | None = None, seconds: float = COMMAND_SECONDS, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, timeout=seconds, env=env
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{words[0]} has not answered within {seconds:g} s; is Slurm's controller running?") from None
