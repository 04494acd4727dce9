"""Searches as a user runs them: small settings, their processes and their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leukemia.base.cpus import available_cpus
from leukemia.study.folder import Study

ROOT = Path(__file__).parents[2]
EPOCHS = 2


RECIPE = {
    "model.depth": 18,
    "optimizer.name": "adamw",
    "data.size_px": 32,
    "train.epochs": EPOCHS,
    "train.batch_size": 8,
    "evaluate.tta": "flips",
}


SETTINGS = [argument for key, value in RECIPE.items() for argument in ("--set", f"{key}={value}")]


ONE_AT_A_TIME = ["--cpus-per-trial", str(available_cpus())]


def descendants(pid: int) -> dict[int, str]:
    """Command lines of the descendants of a process, by process ID."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, new = {}, [pid]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        found |= {child: command_line_of(child) for child in new}
    return found


def command_line_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def numbers(folder: Path) -> dict[tuple[int, int], Any]:
    """All results that crashes must not change, by trial and seed: ends, recipes, epochs, predictions; no times."""
    study, found = Study(folder), {}
    for number in study.trials():
        epochs = study.epochs(number).drop(columns=["seconds", "images_per_second"])
        for seed in study.seeds(number):
            found[number, seed] = (
                study.end(number),
                study.recipe(number),
                epochs[epochs["seed"] == seed].to_dict("records"),
                study.out_of_fold(number, seed).to_dict("records"),
            )
    return found
