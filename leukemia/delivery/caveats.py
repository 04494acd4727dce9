"""What limits the scores of a delivered model, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leukemia.config.protocol import WARNINGS
from leukemia.config.recipe import Recipe
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.delivery.evaluation import Evaluation
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.models import MetricsRecord

_OF_A_TEST = ("test set", "test images")
"""Every caveat on a test has one of these, and none on the training has."""


def on_training(best: Best, recipe: Recipe, notes: Iterable[str]) -> tuple[str, ...]:
    """Those that do not depend on a test set.

    Args:
        recipe: as trained.
        notes: further ones.
    """
    found = list(notes)
    if best.data.uri == SAMPLE:
        found.append(f"{SAMPLE_WARNING[0].upper()}{SAMPLE_WARNING[1:]}.")
    if best.protocol in WARNINGS:
        found.append(f"Out-of-fold scores: {WARNINGS[best.protocol]}.")
    if recipe != best.recipe:
        found.append("The recipe was changed after the search: out-of-fold scores are those of the original recipe.")
    return tuple(found)


def kept_on_training(metrics: MetricsRecord) -> tuple[str, ...]:
    """Those that a model's folder has, without those on its latest test set."""
    return tuple(each for each in metrics.caveats if not any(words in each for words in _OF_A_TEST))


def on_test(evaluation: Evaluation) -> Iterator[str]:
    """Those that depend on the test set."""
    if evaluation.left_out is not None and evaluation.left_out.total:
        yield f"{evaluation.left_out.describe()}."
    if evaluation.overlap:
        yield (
            f"The test set overlaps the training data ({'; '.join(evaluation.overlap)}): its scores are too optimistic."
        )
    elif not evaluation.is_compared:
        yield (
            f"The model has no {layout.SEEN}, so the test images were not compared with its training images: some may "
            "be among them."
        )
    elif not evaluation.subjects_compared:
        yield "Not all subjects are known in both data sets: patients of the test set may be in the training data."
