"""Does a search that is killed end with the very numbers of one that is left alone?

    python benchmarks/kills.py [--times 20] [--kind driver|trial|ray ...] [--runs DIR] [--seed 0]

One small search on 48 generated images runs undisturbed. Then, for each kind and so many times, the same search is hit
by ``kill -9`` at a random moment: ``driver``, the process that was started; ``trial``, the worker that trains;
``ray``, Ray's raylet, its head process or both. Where that ended the search, it goes on with ``--resume``. All numbers
must then be those of the undisturbed search, and journal, study folder and W&B must agree (``agreement.py``). One trial
runs at a time: only then does the order of trials not depend on who was quicker.

A line for each kill, a summary, and status 1 if any differs; the study folders of those that differ are kept. Linux
only. On two idle cores a kill takes about a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agreement import differences
from ray._private.utils import get_num_cpus

from leukemia.base.errors import FAILURE, SUCCESS, UserError, run_command
from leukemia.data.sample import TRAINING, generate
from leukemia.study.best import Best
from leukemia.study.folder import Study

ROOT = Path(__file__).resolve().parent.parent
TRIALS, FOLDS, EPOCHS = 3, 2, 3
SETTINGS = {
    "data.size_px": 32,
    "train.epochs": EPOCHS,
    "model.depth": 18,
    "model.shortcut": "add",
    "evaluate.tta": "none",
}
SEARCH = [
    *("--preset", "debug", "--trials", str(TRIALS), "--folds", str(FOLDS), "--repeats", "1"),
    *(word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")),
]
ONE_AT_A_TIME = ["--address", "local", "--cpus-per-trial", str(get_num_cpus())]

# Threads that wait without spinning: beside other programs a search is many times quicker, with the same numbers.
ENVIRONMENT = {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)}

WORKER = ("ray::ImplicitFunc",)
RAYLET, HEAD = "/raylet/raylet ", "/gcs/gcs_server "
VICTIMS = {"trial": (WORKER,), "ray": ((RAYLET,), (HEAD,), (RAYLET, HEAD))}
"""What the command lines of those contain that are killed; of ``ray`` one entry is drawn."""

HANG_SECONDS = 600
"""A search that has logged nothing for so long hangs, and has failed."""

EXPECTED = {"driver": (-signal.SIGKILL,), "trial": (0,), "ray": (0, 1)}
"""Status of a search that was hit; 0 where Ray died when the last trial had ended. Resumed, all end with 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """A process that is the same only while its start time is: numbers are used again."""

    pid: int
    started: str
    title: str


def processes() -> Iterator[tuple[Process, int]]:
    """All that run, each with the number of its parent."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if fields[0] != "Z":
            yield Process(pid=int(folder.name), started=fields[19], title=title), int(fields[1])


class Family:
    """All processes that come from the searches started here, orphans too."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], Process] = {}

    def look(self, root: int) -> list[Process]:
        """Those that run now, below the process ``root`` or left behind by earlier ones."""
        running = list(processes())
        ours = {root} | {each.pid for each, _ in running if (each.pid, each.started) in self._known}
        size = 0
        while len(ours) > size:
            size = len(ours)
            ours |= {each.pid for each, parent in running if parent in ours}
        found = [each for each, _ in running if each.pid in ours and each.pid != root]
        self._known |= {(each.pid, each.started): each for each in found}
        return found

    def end(self) -> None:
        """Leave nothing behind."""
        for each, _ in list(processes()):
            if (each.pid, each.started) in self._known:
                kill(each.pid)


def kill(pid: int) -> None:
    """``kill -9``, unless it has just ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Search:
    """A search as a user starts it, its output in a file beside the study."""

    def __init__(self, folder: Path, family: Family, data: Path) -> None:
        self.folder, self.family, self.data = folder, family, data
        self.output = folder.with_name(f"{folder.name}.out")

    def start(self, *words: str) -> None:
        dropped = ("RAY_ADDRESS", "WANDB_API_KEY")
        environment = {name: value for name, value in os.environ.items() if name not in dropped}
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "search.run", *words, *ONE_AT_A_TIME],
                env=environment | ENVIRONMENT,
                stdout=output,
                stderr=output,
            )

    def begin(self) -> None:
        place = ("--study", self.folder.name, "--runs", str(self.folder.parent))
        self.start("--data", str(self.data), *place, *SEARCH)

    def resume(self) -> None:
        self.start("--resume", "--study", self.folder.name, "--runs", str(self.folder.parent))

    def wait_until(self, happened: Callable[[], Any]) -> bool:
        """Whether it happened before the search ended; a search that hangs is killed."""
        seen, since = self.num_bytes(), time.monotonic()
        while not happened():
            if self.process.poll() is not None:
                return False
            if self.num_bytes() != seen:
                seen, since = self.num_bytes(), time.monotonic()
            if time.monotonic() > since + HANG_SECONDS:
                kill(self.process.pid)
            self.family.look(self.process.pid)
            time.sleep(0.2)
        return True

    def num_bytes(self) -> int:
        """Of its log so far."""
        log = self.folder / "search.log"
        return log.stat().st_size if log.exists() else 0

    def wait(self) -> int:
        """The status at its end."""
        self.wait_until(lambda: False)
        return self.process.wait()

    def victims(self, parts: tuple[str, ...]) -> list[int]:
        """Its processes whose command line contains one of ``parts``."""
        mine = {self.process.pid}
        for each, parent in sorted(processes(), key=lambda pair: int(pair[0].started)):
            mine |= {each.pid} if parent in mine else set()
        return [each.pid for each, _ in processes() if each.pid in mine and any(part in each.title for part in parts)]

    def num_epochs(self) -> int:
        """Epochs that are written."""
        return sum(len(path.read_text().splitlines()) - 1 for path in self.folder.glob("trials/*/epochs.csv"))

    def num_folds(self) -> int:
        """Folds that are committed."""
        return len(list(self.folder.glob("trials/*/seed_*/fold_*.json")))


def numbers(folder: Path) -> dict[str, Any]:
    """All that a kill must not change, by file."""
    study, best = Study.open(folder), Best.load(folder / "best.json")
    found: dict[str, Any] = {"best.json": (best.trial, best.score, best.scores)}
    for number in study.trials():
        end = study.end(number) or {}
        found[f"trial {number}"] = (study.recipe(number), end.get("state"), end.get("score"))
        for seed in study.seeds(number):
            for fold in study.folds_done(number, seed):
                name = study.trial_folder(number).relative_to(folder) / f"seed_{seed}" / f"fold_{fold}"
                found[f"{name}.json"] = study.fold(number, seed, fold)["scores"]
                found[f"{name}.csv"] = (folder / f"{name}.csv").read_bytes()
    return found


def strike(search: Search, kind: str, choose: random.Random, calm: Study) -> str | None:
    """Kill at a random moment; says when, or None where the search ended before."""
    table = [row for number in calm.trials() for row in calm.epochs(number).to_dict("records")]
    epoch, part = choose.randrange(len(table)), choose.random()
    parts = choose.choice(VICTIMS[kind]) if kind in VICTIMS else ()
    start = time.monotonic()
    search.begin()
    first = search.folder / "trials" / "0000" / "recipe.json"
    # The driver is also killed while it starts; there is no Ray to be killed before.
    if not search.wait_until(
        lambda: search.num_epochs() >= epoch and (not parts or (first.exists() and search.victims(parts)))
    ):
        return None
    # Within the epoch, or a little after it: where folds are scored and committed.
    moment = time.monotonic() + part * 1.2 * sum(row["seconds"] for row in table) / len(table)
    if not search.wait_until(lambda: time.monotonic() >= moment):
        return None
    pids = search.victims(parts) if parts else [search.process.pid]
    folds = search.num_folds()
    for pid in pids:
        kill(pid)
    who = "+".join(part.rpartition("/")[2].strip() for part in parts) if kind == "ray" else kind
    return f"{who} killed {time.monotonic() - start:.0f} s after the start, after {epoch} epochs and {folds} folds"


def run(search: Search, kind: str, choose: random.Random, calm: Study) -> tuple[str, list[str]]:
    """One search, killed and brought to its end: what happened, and what is wrong."""
    moment = strike(search, kind, choose, calm)
    while moment is None:
        # The search was quicker than the moment: nothing was killed, nothing is learned.
        search.wait()
        shutil.rmtree(search.folder)
        moment = strike(search, kind, choose, calm)
    start = time.monotonic()
    statuses = [search.wait()]
    words = f"{moment}; status {statuses[0]} {time.monotonic() - start:.0f} s later"
    if statuses[0] != 0:
        if (search.folder / "study.json").exists():
            search.resume()
        else:
            search.begin()
        statuses.append(search.wait())
    if statuses[0] not in EXPECTED[kind] or statuses[-1] != 0:
        return words, [f"status {' and '.join(map(str, statuses))}; see {search.output}"]
    study = Study.open(search.folder)
    repeated = sum(len(study.repeated(number)) for number in study.trials())
    words += f", {'resumed, ' if len(statuses) > 1 else ''}{repeated} epochs repeated"
    return words, [*compared(calm.folder, search.folder), *differences(search.folder)]


def compared(calm: Path, killed: Path) -> Iterator[str]:
    """What differs from the undisturbed search."""
    wanted, found = numbers(calm), numbers(killed)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            yield f"{name} differs" if name in wanted and name in found else f"{name} is in one of the two only"


def main(argv: list[str] | None = None) -> int:
    """The evidence run."""
    parser = argparse.ArgumentParser(description="Kill searches and compare what they end with.")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="kills of each kind (default: 20)")
    parser.add_argument("--kind", nargs="+", choices=["driver", *VICTIMS], default=["driver", *VICTIMS])
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: 0)")
    arguments = parser.parse_args(argv)
    if arguments.times < 1:
        raise UserError(f"--times: expected at least 1, got {arguments.times}")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    prefix = f"kills-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    family, failed = Family(), 0
    cells = arguments.runs / f"{prefix}-cells"
    generate(cells, num_subjects=12, images_per_subject=4, num_test_images=2)
    data = cells / TRAINING
    try:
        undisturbed = Search(arguments.runs / f"{prefix}-calm", family, data)
        undisturbed.begin()
        if undisturbed.wait() != 0:
            print(f"the undisturbed search failed; see {undisturbed.output}", file=sys.stderr)
            return FAILURE
        calm, problems = Study.open(undisturbed.folder), list(differences(undisturbed.folder))
        print(f"undisturbed: {undisturbed.num_epochs()} epochs, {undisturbed.num_folds()} folds", *problems, flush=True)
        for kind in arguments.kind:
            passed = 0
            for time_number in range(1, arguments.times + 1):
                search = Search(arguments.runs / f"{prefix}-{kind}-{time_number:02d}", family, data)
                choose = random.Random(f"{arguments.seed} {kind} {time_number}")
                words, problems = run(search, kind, choose, calm)
                print(f"{kind} {time_number}: {words}: {'; '.join(problems) or 'equal'}", flush=True)
                passed += not problems
                if not problems:
                    shutil.rmtree(search.folder)
                    search.output.unlink()
            failed += arguments.times - passed
            print(f"{kind}: {passed} of {arguments.times} ended with the undisturbed search's numbers", flush=True)
    finally:
        family.end()
    return FAILURE if failed else SUCCESS


if __name__ == "__main__":
    run_command(main)
