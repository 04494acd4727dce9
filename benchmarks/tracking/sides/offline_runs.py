"""Check that W&B's offline runs are complete on disk."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from wandb.util import get_core_path

from leukemia.study.folder import Study


def trial_runs(study: Study) -> list[Path]:
    """Folders of the offline runs of trials; the winner has two, since its run is written again at the end."""
    return list((study.folder / "wandb").glob(f"*run-*-{study.info.study_uid}-[0-9]*"))


def num_complete(runs: Iterable[Path], num_rows: int) -> int:
    """Number of distinct runs that contain at least ``num_rows`` rows and their end, among folders of offline runs."""
    return len({run.name.rpartition("-")[2] for run in runs if _is_complete(run, num_rows)})


def _is_complete(run: Path, num_rows: int) -> bool:
    """Whether W&B's own reader finds the rows and the end of an offline run."""
    logs = list(run.glob("*.wandb"))
    if not logs:
        return False
    # This is what `wandb leet inspect` calls, without the second that importing W&B takes.
    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "--run-file", str(logs[0])]
    read = subprocess.run([*command, str(run.parent)], capture_output=True, text=True, check=True)
    kinds = [json.loads(line)["type"] for line in read.stdout.splitlines()]
    return kinds.count("history") >= num_rows and kinds.count("exit") == 1
