"""The small searches that are killed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.harness.processes import ProcessTree
from benchmarks.faults.harness.search import MODULE, Search, arguments_of
from leukemia.base.cpus import available_cpus
from leukemia.base.errors import UserError
from search.policy.rungs import rungs_of

EACH_EPOCH = "benchmarks.faults.harness.each_epoch"
"""The command that a search with ``Case.each_epoch`` runs as."""

# Training never uses up this patience, so that every trial ends.
PAUSING = ("--pausing", "--patience", "99")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A small search on this machine."""

    trials: int
    folds: int
    repeats: int
    epochs: int

    pausing: bool = False

    places: int = 1
    """Folds that are trained at a time. With several, the order of the trials depends on which is faster."""

    def __post_init__(self) -> None:
        if not 1 <= self.places <= available_cpus() or available_cpus() % self.places:
            raise UserError(f"--places: expected a divisor of the {available_cpus()} CPUs, got {self.places}")

    @property
    def each_epoch(self) -> bool:
        """Whether a checkpoint is written after each epoch, and not each minute, which is longer than a fold takes."""
        return self.places > 1

    @property
    def rungs(self) -> Collection[int]:
        """The epochs of fold 0 after which trials wait, besides its end."""
        return rungs_of(self.epochs).values() if self.pausing else ()

    def checkpoints(self, *, waits: bool) -> Collection[int]:
        """The epochs after which the checkpoint of a fold is certain to be written, besides its end.

        Args:
            waits: whether the fold is one in which trials wait.
        """
        if self.each_epoch:
            return range(1, self.epochs)
        return self.rungs if waits else ()

    def search(self, folder: Path, tree: ProcessTree, data: Path) -> Search:
        """The search, in a folder that does not exist yet."""
        numbers = arguments_of(trials=self.trials, folds=self.folds, repeats=self.repeats, epochs=self.epochs)
        cpus = available_cpus() // self.places
        return Search(
            folder,
            tree,
            data,
            [*numbers, *(PAUSING if self.pausing else ())],
            ["--address", "local", "--cpus-per-trial", str(cpus)],
            module=EACH_EPOCH if self.each_epoch else MODULE,
        )
