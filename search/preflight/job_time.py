"""A job's time limit against what its search would take, which `search.run --dry-run` measures on a node."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from search.preflight.job_options import nodes_of, num_gpus

START_SECONDS = 60
"""For Ray and the search to start, from a network file system."""

DEFAULT_NOTICE_SECONDS = 60
"""Of ``--signal`` without a time (sbatch's manual)."""

_COST = re.compile(r"all trials: ([\d.]+) device (hour|minute)s?")
_BUDGET = re.compile(r"([\d.]+) device (hour|minute)s? \(--budget-hours\)")
_EPOCH = re.compile(r"an epoch of a fold: (\d+) device second")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a search would take on one device, by its starting recipe with each depth."""

    hours: float
    """Of the device, for all trials or for the budget, whichever is less."""

    epoch_seconds: float
    """Of one epoch of one fold, of the slowest depth."""

    @classmethod
    def read(cls, printed: str) -> Estimate | None:
        """The estimate in the output of ``search.run --dry-run``; None if there is none."""
        cost, epoch = _COST.search(printed), _EPOCH.search(printed)
        if cost is None or epoch is None:
            return None
        limits = [match for match in (cost, _BUDGET.search(printed)) if match is not None]
        hours = min(float(match[1]) / (1 if match[2] == "hour" else 60) for match in limits)
        return cls(hours=hours, epoch_seconds=float(epoch[1]))


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


def notice_seconds(options: dict[str, str]) -> int:
    """How long before its time limit a job gets its notice; 0 without one.

    >>> [notice_seconds({"signal": text}) for text in ("B:TERM@120", "TERM")]
    [120, 60]
    """
    if "signal" not in options:
        return 0
    seconds = options["signal"].partition("@")[2]
    return int(seconds) if seconds.isdigit() else DEFAULT_NOTICE_SECONDS


def devices_of(options: dict[str, str]) -> tuple[int, str]:
    """How many devices a job has at least, and what they are: its GPUs, or without any its nodes.

    >>> devices_of({"nodes": "2-4", "gres": "gpu:a100:4"}), devices_of({"gpus": "1"}), devices_of({})
    ((8, 'GPUs'), (1, 'GPU'), (1, 'node'))
    """
    gpus = num_gpus(options)
    number, kind = (gpus, "GPU") if gpus else (nodes_of(options)[0], "node")
    return number, kind if number == 1 else f"{kind}s"


def compare(options: dict[str, str], limit: str, estimate: Estimate, notes: list[str]) -> Iterator[str]:
    """Yield a problem if the job could not get any further, or add a note on how many jobs the search will be.

    A limit below the estimate is none: the job is requeued, and resumes the search. But an epoch that does not end
    before the notice is trained again in the next job, and in that one as well.

    Args:
        options: of the job script.
        limit: the time limit as Slurm writes it, that of the partition if the script has none.
    """
    number, kind = devices_of(options)
    usable = 60 * minutes(limit) - notice_seconds(options) - START_SECONDS
    if usable < estimate.epoch_seconds:
        needed = math.ceil((60 * minutes(limit) - usable + estimate.epoch_seconds) / 60)
        yield (
            f"--time={limit}: expected at least {needed} minutes, for the start ({START_SECONDS} s), the notice "
            f"({notice_seconds(options)} s) and an epoch ({estimate.epoch_seconds:.0f} s): "
            "each job would train the same epoch again; raise it"
        )
        return
    seconds = 3600 * estimate.hours / number
    jobs = max(1, math.ceil(seconds / usable))
    took = f"estimate, by the starting recipe: {estimate.hours:.1f} device hours, on {number} {kind}"
    if jobs == 1:
        notes.append(f"{took} within the time limit of one job, {limit}")
    elif notice_seconds(options):
        notes.append(
            f"{took} about {jobs} jobs of {limit}: the job is requeued after each, and resumes; each waits in the queue"
        )
    else:
        yield (
            f"--time={limit}: {took} more than the limit, and without `#SBATCH --signal=B:TERM@120` the job is killed "
            "then, and not requeued; add that line"
        )


def failed(printed: str) -> str:
    """The problem if `search.run --dry-run` fails, with its message."""
    lines = [line.strip() for line in printed.splitlines() if line.strip() and not line.startswith("srun: ")]
    start = next((index for index, line in enumerate(lines) if line.startswith("error: ")), len(lines) - 1)
    return f"the search would fail ({' '.join(lines[max(0, start) :]) or 'no reason given'}); correct its arguments"
