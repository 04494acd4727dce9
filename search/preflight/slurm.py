"""Check a job script for Slurm, the folder that it lies in, and a node of its partition, before ``sbatch``."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError, first_line
from leukemia.base.files import read_file
from search.preflight.problems import collect

SUFFIX = ".slurm"

OPTION = re.compile(r"^#SBATCH\s+--([a-z-]+)(?:[= ]\s*([^\s#]+))?", re.MULTILINE)

PLACING = ("partition", "account", "qos", "constraint", "gpus-per-node", "gres", "reservation")
"""Options that decide where a job may run; a short job with them sees what the search will see."""

COMMANDS = ("sbatch", "srun", "sinfo", "squeue", "scontrol")

COMMAND_SECONDS = 60
"""How long one of Slurm's commands may take to answer."""

QUEUE_SECONDS = 30
"""How long to wait for a free node."""

PROBE = (
    "import os, sys, tempfile, ray; tempfile.TemporaryFile(dir='.').close(); "
    "print('node', os.uname().nodename, ray.__version__, sys.version.split()[0])"
)
"""Run on a node, in the folder of the script."""


def read_script(path: Path) -> dict[str, str]:
    """The options of sbatch in a job script, by name without hyphens; empty values for those without one.

    Raises:
        UserError: it is absent or unreadable, or has no such options.
    """
    try:
        text = read_file(path).decode()
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file; the project has cluster.slurm") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None
    options = dict(OPTION.findall(text))
    if not options:
        raise UserError(f"{path}: expected a job script with lines `#SBATCH --...`; compare it with cluster.slurm")
    return options


def check_script(path: Path, options: dict[str, str]) -> tuple[list[str], list[str]]:
    """Problems and notes about a job script and where it would run, a line each.

    Args:
        path: of the script; jobs run in its folder.
        options: of ``read_script``.
    """
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        return [f"{', '.join(missing)}: not found on this machine; run this on the cluster's login node"], []
    notes: list[str] = []
    problems = collect("the options", lambda: _option_problems(path, options, notes))
    folder_problems = collect("the folder", lambda: _folder_problems(path.absolute().parent))
    # What sbatch rejects, srun does as well; and without an environment there is nothing to look for on a node.
    if not problems and not folder_problems:
        problems = collect("a node", lambda: _node_problems(path.absolute().parent, options, notes))
    return [*problems, *folder_problems], notes


def _option_problems(path: Path, options: dict[str, str], notes: list[str]) -> Iterator[str]:
    partition = options.get("partition")
    if partition is not None:
        shown = _run("sinfo", "--noheader", "--format=%R %l").stdout.splitlines()
        limits = dict(line.split() for line in shown)
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
        notes.append(said)


def minutes(duration: str) -> float:
    """A duration as Slurm writes it, in minutes.

    >>> [minutes(text) for text in ("90", "90:30", "1:30:00", "2-12", "1-0:30", "infinite")]
    [90.0, 90.5, 90.0, 3600.0, 1470.0, inf]
    """
    if not duration[:1].isdigit():
        return math.inf
    days, _, rest = duration.rpartition("-")
    fields = [float(field) for field in rest.split(":")]
    # After days come hours; without them a lone number is minutes, and two are minutes and seconds.
    if days or len(fields) == 3:
        hours, minute, seconds = (*fields, 0.0, 0.0)[:3]
    else:
        hours, minute, seconds = (0.0, *fields, 0.0)[:3]
    return 1440 * float(days or 0) + 60 * hours + minute + seconds / 60


def _folder_problems(folder: Path) -> Iterator[str]:
    if not os.access(folder, os.W_OK):
        yield f"{folder}: cannot be written, and jobs write their studies there; copy the project to another folder"
    if not (folder / ".venv" / "bin" / "python").exists():
        yield f"{folder}/.venv: no environment, and jobs use it; `make setup` there"


def _node_problems(folder: Path, options: dict[str, str], notes: list[str]) -> Iterator[str]:
    """Look at the folder from a node, if one is free."""
    placing = [f"--{name}={options[name]}" for name in PLACING if options.get(name)]
    small = ["--nodes=1", "--ntasks=1", "--time=5", "--mem-per-cpu=1G", f"--immediate={QUEUE_SECONDS}", "--quiet"]
    probed = _run(
        "srun",
        *placing,
        *small,
        ".venv/bin/python",
        "-c",
        PROBE,
        cwd=folder,
        seconds=QUEUE_SECONDS + COMMAND_SECONDS * 5,
    )
    lines = probed.stderr.strip().splitlines() or ["no reason given"]
    if probed.returncode and "node" not in probed.stdout and re.search("immediate|allocate|resources", probed.stderr):
        notes.append(f"no node was free within {QUEUE_SECONDS} s, so the folder was not checked from a node")
        return
    if probed.returncode:
        yield (
            f"a node cannot use {folder}/.venv, or write to the folder ({lines[-1]}); both must be on a disk that all "
            "nodes see"
        )
        return
    _, node, ray, python = probed.stdout.split()
    notes.append(f"{node}: Python {python}, Ray {ray}")
    pinned = re.search(r"^ray==(\S+)", (folder / "constraints.txt").read_text(), re.MULTILINE)
    if pinned is not None and pinned[1] != ray:
        yield f"{node}: Ray {ray}, constraints.txt asks for {pinned[1]}; `make setup` in {folder}"


def _run(*words: str, cwd: Path | None = None, seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UserError(f"{words[0]} has not answered within {seconds:g} s; is Slurm's controller running?") from None
