"""The lines of a job script that count before it runs: options of sbatch, and variables that it exports."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError, first_line
from leukemia.base.files import read_file

SUFFIX = ".slurm"

SHORT = {
    "A": "account",
    "C": "constraint",
    "G": "gpus",
    "N": "nodes",
    "c": "cpus-per-task",
    "n": "ntasks",
    "p": "partition",
    "q": "qos",
    "t": "time",
}
"""Short options (sbatch's manual) of those that are looked at."""

VARIABLES = ("LEUKEMIA_CACHE", "RAY_TMPDIR")
"""That name folders to check."""

_EXPORT = re.compile(rf"^\s*export\s+({'|'.join(VARIABLES)})=(.*)$", re.MULTILINE)


def is_script(path: Path) -> bool:
    """Whether a file is a job script, by its name or by its first line, rather than a cluster file of Ray."""
    if path.suffix == SUFFIX:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False


def read_script(path: Path) -> str:
    """The text of a job script.

    Raises:
        UserError: it is absent or unreadable.
    """
    try:
        return read_file(path).decode()
    except FileNotFoundError:
        raise MissingFile(f"{path}: no such file; the project has cluster.slurm") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)})") from None


def options_of(path: Path, text: str) -> dict[str, str]:
    """The options of sbatch in a job script, by long name without hyphens; empty values for those without one.

    As sbatch does, this reads up to the first command.

    Raises:
        UserError: there are none, or a quotation mark is missing.
    """
    options: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#SBATCH"):
            try:
                options |= _options_in(shlex.split(line.removeprefix("#SBATCH"), comments=True))
            except ValueError as error:
                raise UserError(f"{path}, line {number}: expected options of sbatch, got {line!r} ({error})") from None
        elif line.strip() and not line.startswith("#"):
            break
    if not options:
        raise UserError(f"{path}: expected a job script with lines `#SBATCH --...`; compare it with cluster.slurm")
    return options


def _options_in(words: list[str]) -> dict[str, str]:
    """
    >>> _options_in(["--gres=gpu:1", "--time", "60", "-pgpu", "-N", "2", "--requeue"])
    {'gres': 'gpu:1', 'time': '60', 'partition': 'gpu', 'nodes': '2', 'requeue': ''}
    """
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
        elif word.startswith("-") and len(word) > 1:
            name, value = SHORT.get(word[1], word[1]), word[2:]
        else:
            value = word
        if name:
            found[name] = value
    return found


def variables_of(text: str) -> dict[str, str]:
    """The folders of ``VARIABLES`` that a script exports, with the variables of this shell filled in.

    >>> variables_of('export RAY_TMPDIR="/local scratch"  # ours')
    {'RAY_TMPDIR': '/local scratch'}
    """
    found = {}
    for name, value in _EXPORT.findall(text):
        # Of an unfinished quotation, bash itself complains.
        with contextlib.suppress(ValueError):
            found[name] = str(Path(os.path.expandvars("".join(shlex.split(value, comments=True)[:1]))).expanduser())
    return found


def nodes_of(options: dict[str, str]) -> tuple[int, int]:
    """How many nodes a job has at least, and at most.

    >>> nodes_of({"nodes": "2-4"}), nodes_of({"nodes": "2"}), nodes_of({"ntasks": "8", "ntasks-per-node": "4"})
    ((2, 4), (2, 2), (2, 2))
    """
    numbers = [int(number) for number in re.findall(r"\d+", options.get("nodes", ""))]
    if not numbers:
        tasks = _number(options.get("ntasks"))
        numbers = [-(-tasks // _number(options["ntasks-per-node"]))] if "ntasks-per-node" in options else [1, tasks]
    return numbers[0], numbers[-1]


def tasks_of_node(options: dict[str, str]) -> int:
    """How many tasks a node has at least.

    >>> tasks_of_node({"ntasks": "8", "nodes": "2"}), tasks_of_node({"ntasks-per-node": "4"}), tasks_of_node({})
    (4, 4, 1)
    """
    if "ntasks-per-node" in options:
        return _number(options["ntasks-per-node"])
    return max(1, _number(options.get("ntasks")) // nodes_of(options)[0])


def gpus_of_node(options: dict[str, str]) -> int:
    """How many GPUs a node has at least, in each form of asking for them.

    >>> gpus_of_node({"gres": "nvme:1,gpu:a100:2"}), gpus_of_node({"gpus-per-node": "a100:1,v100:1"})
    (2, 2)
    >>> gpus_of_node({"nodes": "2", "gpus": "8"}), gpus_of_node({"ntasks": "4", "gpus-per-task": "1"}), gpus_of_node({})
    (4, 4, 0)
    """
    if "gpus-per-node" in options:
        return _sum(options["gpus-per-node"])
    if resources := _gpus_in(options.get("gres", "")):
        return _sum(resources)
    if "gpus" in options:
        # A node has one at least (sbatch's manual).
        return max(1, _sum(options["gpus"]) // nodes_of(options)[0])
    return _sum(options.get("gpus-per-task", "0")) * tasks_of_node(options)


def num_gpus(options: dict[str, str]) -> int:
    """How many GPUs a job has at least.

    >>> num_gpus({"nodes": "2-4", "gres": "gpu:a100:4"}), num_gpus({"nodes": "3", "gpus": "8"}), num_gpus({})
    (8, 8, 0)
    """
    is_total = "gpus" in options and not options.keys() & {"gpus-per-node", "gres"}
    return _sum(options["gpus"]) if is_total else nodes_of(options)[0] * gpus_of_node(options)


def gpu_option(options: dict[str, str]) -> list[str]:
    """The option of srun for the GPUs of one node; none for a job without.

    >>> gpu_option({"nodes": "2", "gpus": "a100:8"}), gpu_option({"gres": "gpu:1,nvme:1"}), gpu_option({})
    (['--gres=gpu:a100:4'], ['--gres=gpu:1,nvme:1'], [])
    """
    for name in ("gpus-per-node", "gres"):
        if name in options:
            return [f"--{name}={options[name]}"]
    number = gpus_of_node(options)
    kind = (options.get("gpus") or options.get("gpus-per-task", "")).rpartition(":")[0]
    return [f"--gres=gpu:{kind}:{number}" if kind and "," not in kind else f"--gres=gpu:{number}"] if number else []


def _gpus_in(resources: str) -> str:
    """Those of a list of generic resources that are GPUs, without their name."""
    names = [each.partition(":") for each in resources.split(",")]
    return ",".join(rest or "1" for name, _, rest in names if name == "gpu")


def _sum(listed: str) -> int:
    """The number in ``a100:2,v100:1`` or ``4``; a kind alone counts once."""
    numbers = [each.rpartition(":")[2] for each in listed.split(",")]
    return sum(int(number) if number.isdecimal() else 1 for number in numbers)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 1
