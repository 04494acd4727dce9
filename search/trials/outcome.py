"""The outcome of a search: ``best.json``, hindsight, ledger, and the final output."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd
from rich.console import Console

from leukemia.base import provenance
from leukemia.base.errors import NO_WINNER, SUCCESS
from leukemia.base.quantity import quantity
from leukemia.config.results import score_name
from leukemia.data.catalog import Catalog
from leukemia.data.folds import Splits
from leukemia.reporting.study_report import write_study_report
from leukemia.scoring.metrics import describe_difference, majority_rate, scores
from leukemia.scoring.selection import corrected
from leukemia.study import layout
from leukemia.study.best import Best, Noise
from leukemia.study.best_score import BestScore, IntervalRecord
from leukemia.study.comparison import compared
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares, names_of, with_name
from leukemia.study.headline import winner_verdict
from leukemia.study.importances import HindsightRecord
from leukemia.study.ladder import waiting_trials
from leukemia.study.ledger import Ledger, ledger_of
from leukemia.study.table import trial_table
from search.policy.early_stopping import Contender, best_of
from search.policy.hindsight import Measured, Waiting, look_back
from search.policy.race import Race
from search.policy.space import Space
from search.sampling.journal import Journal
from search.trials.commands import final_command, resume_command
from search.trials.display import print_comparison, print_line, print_trials
from search.trials.evidence import validation_of
from search.trials.progress import Progress
from search.trials.stage import latest_stage

LEAK_SUSPECTED = 0.93
"""Accuracy on unseen patients above which a leak is more likely than a breakthrough: the best published weighted F1 on
C-NMC 2019 is 0.925 in the preliminary and 0.910 in the final phase of the challenge."""


def write_best(study: Study, catalog: Catalog, splits: Splits, progress: Progress) -> None:
    """Write ``best.json`` for the winner.

    The raw score is the mean over folds and seeds that the search maximized; the headline is the lower one of two
    corrections for selection bias (``leukemia.scoring.selection``).
    """
    race = progress.race
    winner = race.winner()
    assert winner is not None
    info, jobs = study.info, race.complete_jobs(winner.number)
    numbers = [contender.number for contender in race.contenders()]
    index, candidates = numbers.index(winner.number), race.candidates()
    groups = pd.concat(validation_of(splits, catalog))["group"].to_numpy()
    found = scores(candidates.labels, candidates.probabilities[index][0], groups)
    correction = corrected(candidates, race.rules.metric, winner=index, scored_folds=info.scored_folds)
    best = Best(
        study=study.name,
        study_uid=info.study_uid,
        trial=f"{winner.number:04d}",
        recipe=progress.recipe(jobs[0]),
        objective=info.objective,
        score=BestScore.of(winner.score, correction, info.scored_folds),
        scores={name: IntervalRecord.of(interval) for name, interval in found.items()},
        noise=_noise(race, winner),
        majority_rate=majority_rate(candidates.labels),
        folds=info.folds,
        folds_done=info.folds,
        seeds=[job.seed for job in jobs],
        n=len(candidates.labels),
        num_complete=len(numbers),
        protocol=info.protocol,
        data=info.data,
        splits_sha256=splits.sha256(),
        versions=provenance.versions(),
        commit=provenance.commit(),
        hardware=provenance.hardware(", ".join(progress.devices(jobs[0]))),
        command=info.command,
    )
    best.save(study.folder / layout.BEST)


def _noise(race: Race, winner: Contender) -> Noise:
    """The winner compared with the starting recipe and the runner-up, and the fold noise."""
    others = [contender for contender in race.contenders() if contender.number != winner.number]
    second = best_of(others)
    compared = {"winner_vs_start": race.rules.start, "winner_vs_second": None if second is None else second.number}
    complete = {contender.number for contender in others}
    differences = {
        name: describe_difference(race.interval(winner.number, number))
        for name, number in compared.items()
        if number in complete
    }
    seeds = {number: [job.seed for job in race.complete_jobs(number)] for number in sorted({*complete, winner.number})}
    return Noise(
        **differences,
        fold_noise=race.noise(),
        seeds={f"{number:04d}": each for number, each in seeds.items() if len(each) > 1},
    )


def write_hindsight(study: Study, space: Space, journal: Journal, winner: Contender | None, progress: Progress) -> None:
    """Write ``hindsight.json`` and ``ledger.json``, and the last ranks of the trials that wait into the journal."""
    ended = []
    for number in study.trials():
        end = study.end(number)
        if end is not None:
            ended.append((space.parameters(study.recipe(number)), end.score, end.state))
    for number, place in waiting_trials(study).items():
        journal.note_place(number, place.describe())
    won = None if winner is None else (winner.number, space.parameters(study.recipe(winner.number)))
    ledger = ledger_of(study)
    stage = latest_stage(study, progress.ladder.shown(), study.info.rungs)
    explained = journal.importances(stage.scores)
    measured = Measured(stage=stage.name, num_trials=len(stage.scores), explained=explained)
    hindsight = look_back(
        space, ended, measured, winner=won, waiting=_waiting(ledger), compares=progress.race.rules.compares
    )
    study.write(study.folder / layout.HINDSIGHT, hindsight.to_dict())
    study.write(study.folder / layout.LEDGER, ledger.to_dict())


def _waiting(ledger: Ledger) -> Waiting | None:
    number = ledger.num_waiting
    seconds, postponed = ledger.seconds["waiting"], ledger.seconds_postponed
    return Waiting(number=number, seconds=seconds, seconds_postponed=postponed) if number else None


def print_outcome(console: Console, study: Study, *, has_winner: bool) -> int:
    """Print the trials, the winner with its interval, and the paths of the results; returns the exit status.

    Args:
        has_winner: whether this search has a winner; the folder may contain a ``best.json`` from elsewhere.
    """
    path = study.folder / layout.BEST
    best = Best.of(study) if has_winner else None
    write_study_report(study, best)
    trials = trial_table(study)
    print_trials(console, trials, study.info.objective)
    print_comparison(console, compared(study), study.info.objective)
    if best is None:
        print_line(
            console, f"no winner: none of {quantity(len(trials), 'trial')} finished all folds with a usable score"
        )
        if path.is_file():
            print_line(console, f"warning: {path} does not belong to this search, which has no winner; remove it")
        print_line(console, f"report: {study.folder / layout.REPORT}")
        for line in _describe_waiting(study):
            print_line(console, line)
        what = "compare other recipes" if compares(study.info) else "resume the study with more --trials, or start one"
        print_line(console, f"next: {what} with another --preset or --set")
        return NO_WINNER
    for line in _describe(study, best):
        print_line(console, line)
    for line in study.read(HindsightRecord, study.folder / layout.HINDSIGHT).lines:
        print_line(console, line)
    print_line(console, ledger_of(study).describe())
    print_line(console, f"best: {path}")
    print_line(console, f"report: {study.folder / layout.REPORT}")
    for line in _describe_waiting(study):
        print_line(console, line)
    print_line(console, f"next: {final_command(study)}")
    return SUCCESS


def _describe_waiting(study: Study) -> Iterator[str]:
    """How to go on with trials that wait."""
    if number := len(waiting_trials(study)):
        limits = f"{'--budget-hours or ' if math.isfinite(study.info.budget_hours) else ''}--patience"
        trials = f"{quantity(number, 'trial')} {'waits' if number == 1 else 'wait'}"
        yield (
            f"{trials} and may be better; resume to go on, with a larger {limits} if that has ended the search: "
            f"{resume_command(study)}"
        )


def _describe(study: Study, best: Best) -> Iterator[str]:
    if verdict := winner_verdict(study, best):
        yield f"warning: {verdict}"
    headline, objective = best.score.headline, score_name(best.objective)
    chosen = "for selection among the" if best.by_cost else "for being the best of"
    chosen = f"corrected {chosen} {quantity(best.num_complete, 'complete trial')}"
    if best.num_complete == 1:
        chosen = f"of the only complete trial{': nothing was chosen' if best.scored_on is None else ''}"
    name = names_of(study.info).get(int(best.trial))
    yield f"winner: trial {best.trial}, {with_name(name, best.recipe.describe())}"
    if best.by_cost:
        yield "chosen by cost: the cheapest complete trial whose score is within one standard error of the best"
    scored_on = "" if best.scored_on is None else f" (scored on {best.scored_on})"
    yield (
        f"{objective} {_interval(headline)}, {chosen}{scored_on}; {best.describe_raw()}; {best.n} images, "
        f"majority rate {best.majority_rate:.4f}, {best.protocol}"
    )
    second = "the best of the others by score" if best.by_cost else "the runner-up"
    start = "the first recipe" if compares(study.info) else "the starting recipe"
    for key, other in (("winner_vs_start", start), ("winner_vs_second", second)):
        if (difference := getattr(best.noise, key)) is not None:
            yield f"compared with {other}: {difference}"
    if best.protocol == "grouped" and (best.scores["accuracy"].value or 0) > LEAK_SUSPECTED:
        yield (
            f"warning: accuracy above {LEAK_SUSPECTED} on unseen patients exceeds all published results on C-NMC; "
            "check for a leak before you trust it (python -m leukemia.leakcheck)"
        )


def _interval(record: IntervalRecord) -> str:
    if record.value is None:
        return "(not defined: a class is absent)"
    if record.low is None:
        return f"{record.value:.4f} (no interval: one group only)"
    return f"{record.value:.4f}, 95 % interval {record.low:.4f} to {record.high:.4f}"
