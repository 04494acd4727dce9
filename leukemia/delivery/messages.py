"""Terminal output of ``leukemia.final`` and ``leukemia.evaluate``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from leukemia.base.printable import printable
from leukemia.base.quantity import quantity
from leukemia.base.record import read_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.delivery.caveats import kept_verdicts
from leukemia.delivery.delivery import Delivery
from leukemia.delivery.loading import network_plugin
from leukemia.scoring.metrics import Interval, describe_difference, majority_rate
from leukemia.scoring.operating_points import OperatingPoint
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.ladder import waiting_trials
from leukemia.study.model_metrics import MetricsRecord
from leukemia.study.models import kept_results
from leukemia.study.table import unfinished_repeats

_SHOWN = ("accuracy", "balanced_accuracy", "weighted_f1", "auroc")
"""Test scores that are printed."""


def print_line(console: Console, line: str) -> None:
    """Print a line, made printable, without markup or wrapping."""
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def print_remarks(console: Console, training: Catalog | None, test: Catalog | None) -> None:
    """Print what was noted when the data were read."""
    for name, catalog in (("training data", training), ("test data", test)):
        for remark in () if catalog is None else catalog.remarks:
            print_line(console, f"note: {name}: {remark}")


def unfinished(study: Study, best: Best) -> tuple[str, ...]:
    """Warnings if the search is not finished, or was interrupted before it wrote the winner again; else empty."""
    info, ended = study.info, sum(study.end(number) is not None for number in study.trials())
    wanted = 0 if "trials" in info.absent else info.trials
    repeats = sum(len(unfinished_repeats(study, number)) for number in study.trials())
    waiting = len(waiting_trials(study))
    notes = []
    if ended < wanted or waiting:
        wait = f", {waiting} {'waits' if waiting == 1 else 'wait'}" if waiting else ""
        of_all = quantity(max(wanted, ended + waiting), "trial")
        notes.append(
            f"The search is not finished: {ended} of {of_all} {'has' if ended == 1 else 'have'} ended{wait}; a later "
            "trial may be better."
        )
    if repeats:
        open_repeats = f"{quantity(repeats, 'repeat')} {'has' if repeats == 1 else 'have'}"
        notes.append(f"The search is not finished: {open_repeats} not ended; that may change the winner.")
    if older := best.outdated(study):
        notes.append(older)
    return tuple(notes)


def print_outcome(console: Console, folder: Path, delivery: Delivery) -> None:
    """Print verdicts, the score to quote, test scores, differences and caveats, then as ``print_next``."""
    evaluation, decision = delivery.evaluation, delivery.record.decision
    _print_first(console, delivery.verdicts(), delivery.quote())
    print_line(console, f"threshold: {decision.describe()}")
    for point in delivery.out_of_fold.operating_points:
        if point.rule == decision.rule:
            print_line(console, f"out of fold at this threshold: {_describe_rates(point)}")
    if evaluation is None:
        print_line(console, f"no --test: {layout.METRICS} has only the out-of-fold scores of the search, not corrected")
    elif evaluation.scores is None:
        print_line(console, f"{quantity(len(evaluation.probabilities), 'test image')} without labels: predictions only")
    else:
        _print_scores(console, evaluation.scores, len(evaluation.labels), majority_rate(evaluation.labels))
        if (by_patient := evaluation.patient_scores) is not None and by_patient.scores:
            interval = by_patient.scores["accuracy"]
            print_line(
                console,
                f"test accuracy by patient ({by_patient.num_patients}): {interval.value:.4f}, 95 % interval "
                f"{interval.low:.4f} to {interval.high:.4f}",
            )
    if delivery.difference is None:
        for line in delivery.describe_difference():
            print_line(console, line)
    else:
        against, intervals = delivery.difference
        for name, interval in intervals.items():
            print_line(console, f"compared with {against}, {name}: {describe_difference(interval)}")
    for caveat in delivery.caveats():
        print_line(console, f"caveat: {caveat}")
    if evaluation is not None:
        print_line(console, f"results: {kept_results(folder, evaluation.catalog.fingerprint)}")
    print_next(console, folder)


def print_known(console: Console, results: Path) -> None:
    """Print verdicts, the score to quote and the test scores of results that exist already, as ``print_outcome`` does.

    Args:
        results: a folder with ``metrics.json``.
    """
    metrics = read_record(MetricsRecord, results / layout.METRICS)
    _print_first(console, kept_verdicts(metrics), metrics.quote)
    if (test := metrics.test) is not None:
        scores = {name: Interval.from_dict(test[name]) for name in _SHOWN}
        _print_scores(console, scores, test["n"], test["majority_rate"])


def _print_first(console: Console, verdicts: Sequence[str], quote: str) -> None:
    for verdict in verdicts:
        print_line(console, f"warning: {verdict}")
    if quote:
        print_line(console, f"score to quote: {quote}")


def _print_scores(console: Console, scores: Mapping[str, Interval], num_images: int, majority: float) -> None:
    """Print the scores of a test set, and of how many images they are."""
    for name in _SHOWN:
        interval = scores[name]
        right = (
            f" ({round(interval.value * num_images)} of {quantity(num_images, 'image')})" if name == "accuracy" else ""
        )
        bounds = f"95 % interval {interval.low:.4f} to {interval.high:.4f}"
        print_line(console, f"test {name}: {interval.value:.4f}{right}, {bounds}")
    print_line(console, f"majority rate: {majority:.4f}")


def _describe_rates(point: OperatingPoint) -> str:
    return (
        f"sensitivity {point.sensitivity.value:.3f}, specificity {point.specificity.value:.3f}, "
        f"PPV {point.ppv.value:.3f}, NPV {point.npv.value:.3f}"
    )


def print_next(console: Console, folder: Path) -> None:
    """Print the path of the model, and how to use it."""
    print_line(console, f"model: {folder}")
    plugin = network_plugin(folder, Recipe.load(folder / layout.RECIPE))
    named = [] if plugin is None else ["--plugin", str(plugin)]
    print_line(console, f"next: python -m leukemia.predict {shlex.join(['--model', str(folder), *named])} IMAGES...")
