"""What a search keeps although it was killed, also where its results depend on which trial was faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from unittest.mock import patch

from benchmarks.faults.harness.case import Case
from leukemia.data.catalog import Catalog
from leukemia.study.folder import Study
from search.launch.local_checkpoints import checkpoints_of
from search.planning.request import Request
from search.planning.resumption import plan_resumed
from search.policy.early_stopping import Verdict
from search.policy.race import Race
from search.policy.rules import Rules
from search.trials.history import replay

JUDGE = Race.judge


def broken(study: Study, case: Case) -> Iterator[str]:
    """One line for each promise that a finished study does not keep."""
    plan = plan_resumed(Request(runs=study.folder.parent, study=study.name))
    yield from lost(study, case)
    yield from trained_again(study, case)
    yield from left_over(study)
    if case.pausing:
        yield from decided_otherwise(study, plan.catalog, plan.rules)


def lost(study: Study, case: Case) -> Iterator[str]:
    """One line for each trial that does not exist or has not ended."""
    numbers = study.trials()
    if numbers != list(range(case.trials)):
        yield f"trials {numbers} instead of {case.trials}"
    yield from (f"trial {number} has not ended" for number in numbers if study.end(number) is None)


def trained_again(study: Study, case: Case) -> Iterator[str]:
    """One line for each fold of which more was trained again than the epochs after its last checkpoint.

    At most as many folds were being trained at the moment of the kill as there are places.
    """
    num_folds = 0
    for number in study.trials():
        own = study.recipe(number).train.seed
        for (seed, fold), rows in study.repeated(number).groupby(["seed", "fold"]):
            num_folds += 1
            epochs = sorted(map(int, rows["epoch"]))
            saved = case.checkpoints(waits=fold == 0 and number > 0 and seed == own)
            if len(epochs) > len(set(epochs)) or any(epochs[0] <= epoch < epochs[-1] for epoch in saved):
                again = ", ".join(map(str, epochs))
                yield f"epochs {again} of fold {fold} of trial {number}, seed {seed}, were trained again"
    if num_folds > case.places:
        yield f"{num_folds} folds were trained in part again, with {case.places} at a time"


def left_over(study: Study) -> Iterator[str]:
    """A line if checkpoints of the study are left on this machine."""
    folder = checkpoints_of(study.info)
    if folder.exists():
        yield f"checkpoints are left in {folder}"


def decided_otherwise(study: Study, catalog: Catalog, rules: Rules) -> Iterator[str]:
    """One line for each trial that stopped or ran to its end, where replaying the folder decides otherwise."""
    verdicts: dict[int, list[Verdict]] = defaultdict(list)

    def judge(race: Race, number: int) -> Verdict:
        verdicts[number].append(JUDGE(race, number))
        return verdicts[number][-1]

    with patch.object(Race, "judge", judge):
        race = replay(study, catalog, rules).race
        ends = {number: study.end(number) for number in study.trials()}
        for number, end in ends.items():
            if end is None or end.state == "failed":
                continue
            race.judge(number)
            stop = next((verdict.reason for verdict in verdicts[number] if not verdict.continues), None)
            if (stop is None) != (end.state == "complete") or not end.reason.startswith(stop or ""):
                yield f"trial {number} is {end.state} ({end.reason}); replayed: {stop or 'goes on'}"
