"""What Slurm's controller knows of a job: the script that was submitted, and the job's GPUs on each node."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError, first_line

SHIPPED = "cluster.slurm"
"""Named as the script where Slurm knows none: it was read from standard input, or is the command of ``--wrap``."""

ATTEMPTS, PAUSE_SECONDS = 5, 10
"""How often, and after what time, a controller is asked that does not answer: if it is busy, it takes no requests."""

_COMMAND = re.compile(r"^\s*Command=(.*)$", re.MULTILINE)
_NODES = re.compile(r"^\s*Nodes=(\S+) CPU_IDs=\S* Mem=\S* GRES=(\S*)", re.MULTILINE)
_GPUS = re.compile(r"(?:^|,)gpu:(?:(?:\(null\)|[^:,()]+):)?(\d+)")
"""Such as ``gpu:2(IDX:0-1)`` and ``gpu:a100:2(IDX:0,3),gpu:(null):1(IDX:1)``."""

_KIND = re.compile(r"^\s*TresPer\w+=(?:.*,)?gres[:/]gpu:([^:=,\s]+)[:=]\d", re.MULTILINE)
"""Such as ``TresPerNode=gres:gpu:a100:2``, and ``gres/gpu:a100:2`` of later versions."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A job, as ``scontrol --details show job`` describes it."""

    script: str
    """Of ``sbatch``, to be named again: below the present folder relative to it, else absolute. The running script
    cannot tell, since Slurm runs a copy of it."""

    gpus: Mapping[str, int]
    """Number of the job's GPUs on each node that has any, however they were asked for."""

    gpu_kind: str
    """Kind of GPU that was asked for, such as ``a100``; empty if any would do."""

    @classmethod
    def of(cls, job_id: int) -> Record:
        """
        Raises:
            UserError: Slurm does not say, also when it is asked again.
        """
        command = ("--details", "show", "job", str(job_id))
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(UserError):
                return cls.read(scontrol(*command))
            time.sleep(PAUSE_SECONDS)
        return cls.read(scontrol(*command))

    @classmethod
    def read(cls, shown: str) -> Record:
        """The record of a job, as ``scontrol`` shows it."""
        command = _COMMAND.search(shown)
        gpus = {
            node: sum(map(int, _GPUS.findall(resources)))
            for nodes, resources in _NODES.findall(shown)
            if _GPUS.search(resources)
            for node in names_in(nodes)
        }
        kind = _KIND.search(shown)
        return cls(
            script=_script_in("" if command is None else command[1].strip()),
            gpus=gpus,
            gpu_kind="" if kind is None else kind[1],
        )


def _script_in(command: str) -> str:
    """The path of the script in the command of a job, whose arguments follow it after a space, unquoted."""
    if not command.startswith("/"):
        return SHIPPED
    ends = [match.start() for match in re.finditer(" ", command)]
    found = next((command[:end] for end in ends if Path(command[:end]).is_file()), None)
    path = Path(found or (command if Path(command).is_file() else command.partition(" ")[0]))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def names_in(nodes: str) -> tuple[str, ...]:
    """The names in a list such as ``n[1-3],gpu7``, which only Slurm itself can read in all its forms.

    Raises:
        UserError: Slurm's commands are absent.
    """
    return tuple(scontrol("show", "hostnames", nodes).split())


def scontrol(*words: str) -> str:
    """The output of this command of Slurm.

    Raises:
        UserError: it fails.
    """
    try:
        return subprocess.run(["scontrol", *words], capture_output=True, text=True, check=True).stdout
    except OSError as error:
        problem, advice = first_line(error), "make Slurm's commands available on the nodes"
    except subprocess.CalledProcessError as error:
        problem, advice = error.stderr.strip() or f"status {error.returncode}", "ask your site if this stays so"
    raise UserError(f"`scontrol {' '.join(words)}` fails ({problem}); {advice}")
