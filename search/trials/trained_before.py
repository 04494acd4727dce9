"""Epochs of unfinished folds that an earlier session has trained: does a fold go on after them, or start again?"""

from __future__ import annotations

from collections import defaultdict

from leukemia.base.quantity import quantity
from leukemia.config.results import Epoch, fold_name
from leukemia.study.folder import Study
from leukemia.study.job import Job


class TrainedBefore:
    """Compares what workers report with what the study had when it was opened."""

    def __init__(self, study: Study) -> None:
        self._known: dict[tuple[Job, int], dict[int, set[float]]] = {}
        """Seconds of each epoch, in all times that it was trained, by job and unfinished fold."""

        for number in study.trials():
            if study.end(number) is None:
                self._add(study, number)

    def _add(self, study: Study, number: int) -> None:
        first = study.recipe(number).train.seed
        done = {seed: study.folds_done(number, seed) for seed in study.seeds(number)}
        for table in (study.epochs(number), study.repeated(number)):
            for row in table.to_dict("records"):
                seed, fold = int(row["seed"]), int(row["fold"])
                if fold not in done.get(seed, ()):
                    job = Job(number, seed, is_repeat=seed != first)
                    known = self._known.setdefault((job, fold), defaultdict(set))
                    known[int(row["epoch"])].add(float(row["seconds"]))

    @property
    def num_epochs(self) -> dict[Job, int]:
        """How many epochs of their unfinished folds jobs had."""
        found: dict[Job, int] = defaultdict(int)
        for (job, _), epochs in self._known.items():
            found[job] += len(epochs)
        return dict(found)

    def note(self, job: Job, epoch: Epoch) -> str | None:
        """How a fold goes on, as a message, with the first epoch that is trained in this session; else None.

        An epoch that a checkpoint restores has the seconds of one of its trainings.
        """
        known = self._known.get((job, epoch.fold))
        if known is None or epoch.seconds in known.get(epoch.epoch, ()):
            return None
        del self._known[job, epoch.fold]
        where, before = f"trial {job.label} {fold_name(epoch.fold)}", quantity(len(known), "epoch")
        if epoch.epoch == 1:
            return f"{where} starts again (no checkpoint; {before} had been trained before)"
        again = f"; {before} had been trained before" if len(known) >= epoch.epoch else ""
        return f"{where} goes on after epoch {epoch.epoch - 1}{again}"
