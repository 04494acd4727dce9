"""The page that compares studies: what to quote, which is better, what differs, what it cost."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from leukemia.base.quantity import quantity
from leukemia.config.fields import FIELDS
from leukemia.config.results import score_name
from leukemia.reporting.compared_study import ComparedStudy
from leukemia.reporting.page import Part, Section, write_page
from leukemia.reporting.studies_figure import scores_by_study
from leukemia.reporting.study_report import warnings_of
from leukemia.reporting.winner_differences import Row
from leukemia.reporting.words import describe_interval, metric_name, objective_name, value_text
from leukemia.scoring.metrics import METRICS
from leukemia.study.best import Best
from leukemia.study.duration import duration
from leukemia.study.headline import winner_verdict
from leukemia.study.ledger import KIND_NAMES, KINDS

_SHOWN = 16
"""Characters of a hash that are shown."""

HEADER = ("study", "score to quote (95 % interval)", "winner", "complete trials", "device time")

_WHICH = (
    "The winners of two studies on the same data and the same folds are compared image by image, on out-of-fold "
    "images and with all seeds of both; the interval is Student's t over groups of images, and allows for the noise of "
    "training. Both winners were the luckiest of their trials on these images, the more so the more trials there were: "
    "these differences are not corrected for that, the scores to quote are. Without the same folds it is the "
    "difference of the scores to quote, with an interval as if they were of independent patients."
)


def write_studies_report(studies: Sequence[ComparedStudy], differences: Sequence[Row], path: Path) -> None:
    """Write the page that compares studies; only their folders are read.

    Args:
        differences: as ``winner_differences``.
    """
    names = [each.name for each in studies]
    title = f"Studies {', '.join(names[:-1])} and {names[-1]}"
    parts = [
        Part("What to quote", [_quote_section(studies)]),
        Part("Which is better?", [Section("", _WHICH, table=[("compared", "difference", "from"), *differences])]),
        Part("What differs", list(_recipe_sections(studies))),
        Part("What was searched", [_search_section(studies)]),
        Part("What it cost", [_cost_section(studies)]),
        Part("How to reproduce it", [_command_section(studies)]),
    ]
    write_page(path, title, f"{len(studies)} studies in {studies[0].study.folder.parent}.", parts)


def summary(studies: Sequence[ComparedStudy]) -> list[tuple[str, ...]]:
    """A row for each study, with the columns of ``HEADER``."""
    return [
        (
            each.name,
            _quoted(each),
            "none" if each.best is None else f"{each.best.trial}, {each.best.recipe.describe()}",
            f"{(each.trials['state'] == 'complete').sum()} of {len(each.trials)}",
            duration(each.ledger.total),
        )
        for each in studies
    ]


def _quoted(study: ComparedStudy) -> str:
    if study.best is None:
        return "no winner"
    name = objective_name(score_name(study.best.objective))
    return f"{name} {describe_interval(study.best.score.headline.interval)}"


def _quote_section(studies: Sequence[ComparedStudy]) -> Section:
    text = (
        "Each score is corrected for the choice of the winner among its complete trials, and was measured in "
        "cross-validation on images that its models were not trained on."
    )
    scores: dict[str, list[Any]] = {}
    for each in studies:
        if each.best is not None and each.headline is not None:
            scores.setdefault(score_name(each.best.objective), []).append((each.name, each.headline))
    figures = [scores_by_study(found, objective=objective) for objective, found in scores.items() if len(found) > 1]
    notes = [f"{each.name}: {note}" for each in studies for note in _notes(each)]
    return Section(title="", text=text, points=notes, table=[HEADER, *summary(studies)], figures=figures)


def _notes(study: ComparedStudy) -> Iterator[str]:
    if warning := warnings_of(study.study).strip():
        yield warning
    if study.best is not None:
        yield from filter(None, (study.best.outdated(study.study), winner_verdict(study.study, study.best)))


def _recipe_sections(studies: Sequence[ComparedStudy]) -> Iterator[Section]:
    winners = [(each.name, each.best) for each in studies if each.best is not None]
    if len(winners) < 2:
        yield Section("", "Fewer than two of these studies have a winner.")
        return
    flats = [best.recipe.flat() for _, best in winners]
    keys = list(dict.fromkeys((*FIELDS, *(key for flat in flats for key in flat))))
    differing = [key for key in keys if any(flat.get(key) != flats[0].get(key) for flat in flats)]
    rows = [(key, *_texts([flat.get(key) for flat in flats])) for key in differing]
    text = f"The winners have {quantity(len(keys) - len(differing), 'field')} of their recipes in common; these differ:"
    header = ("field", *(name for name, _ in winners))
    same = "The winners have the same recipe."
    yield Section("Recipes of the winners", text if rows else same, table=[header, *rows] if rows else None)
    scores = [
        (metric_name(metric), *(describe_interval(best.scores[metric].interval) for _, best in winners))
        for metric in METRICS
    ]
    text = (
        "Over the out-of-fold images of the first seed, with 95 % intervals from a bootstrap over groups; not "
        "corrected for the choice of the winner."
    )
    rates = ("majority rate", *(f"{best.majority_rate:.3f}" for _, best in winners))
    yield Section("Scores of the winners", text, table=[("score", *header[1:]), *scores, rates])


def _texts(values: Sequence[Any]) -> list[str]:
    """Values as text, with all digits if they would look the same otherwise."""
    short = [value_text(value) for value in values]
    return short if len(set(short)) == len(set(values)) else [str(value) for value in values]


def _search_section(studies: Sequence[ComparedStudy]) -> Section:
    infos = [each.study.info for each in studies]
    items: dict[str, Callable[[Any], str]] = {
        "data": lambda info: " ".join([info.data.uri, *(info.data.also or ())]),
        "data fingerprint": lambda info: info.data.fingerprint[:_SHOWN],
        "protocol": lambda info: info.protocol,
        "folds": lambda info: str(info.folds),
        "seed of the folds": lambda info: str(info.seed),
        "split": lambda info: info.splits_sha256[:_SHOWN] or "not recorded",
        "maximized": lambda info: info.objective,
        "preset": lambda info: info.preset,
        "fixed fields": lambda info: ", ".join(f"{key}={value}" for key, value in info.settings.items()) or "none",
        "fields searched": lambda info: str(len(info.space)),
        "sampler": lambda info: info.sampler,
        "racing": lambda info: value_text(info.racing),
        "pausing": lambda info: value_text(info.pausing),
        "repeats": lambda info: str(info.repeats),
        "commit": lambda info: info.commit[:_SHOWN],
    }
    rows = [(item, *map(find, infos)) for item, find in items.items()]
    same = sum(len(set(row[1:])) == 1 for row in rows)
    text = f"{same} of these {len(rows)} items are the same in all of them."
    return Section("", text, table=[("item", *(each.name for each in studies)), *rows])


def _cost_section(studies: Sequence[ComparedStudy]) -> Section:
    used = [kind for kind in KINDS if any(each.ledger.seconds[kind] for each in studies)]
    states = ("complete", "stopped", "failed", "waiting", "running")
    rows = [
        *((f"{state} trials", *(str((each.trials["state"] == state).sum()) for each in studies)) for state in states),
        *((KIND_NAMES[kind], *(duration(each.ledger.seconds[kind]) for each in studies)) for kind in used),
        ("device time in all", *(duration(each.ledger.total) for each in studies)),
        ("folds of the winner", *(_cost_of(each, each.best) for each in studies)),
    ]
    text = "Device time depends on the device: compare it only between studies that ran on the same."
    hardware = [{} if each.best is None else each.best.hardware for each in studies]
    devices = ("device of the winner", *(str(each.get("device", "–")) for each in hardware))
    return Section("", text, table=[("item", *(each.name for each in studies)), *rows, devices])


def _cost_of(study: ComparedStudy, best: Best | None) -> str:
    """Device time of all folds of the winner's first seed."""
    if best is None:
        return "–"
    return duration(next(trial.cost for trial in study.ledger.trials if trial.number == int(best.trial)))


def _command_section(studies: Sequence[ComparedStudy]) -> Section:
    where = shlex.join([*(each.name for each in studies), "--runs", str(studies[0].study.folder.parent)])
    rows = [("this page", f"python -m leukemia.report {where}")]
    rows += [(f"study {each.name}", each.study.info.command) for each in studies]
    return Section("", "", table=[("what", "command"), *rows])
