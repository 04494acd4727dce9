"""What limits the scores of a delivered model, one sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leukemia.config.protocol import WARNINGS
from leukemia.config.recipe import Recipe
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.delivery.evaluation import ON_TEST, Evaluation
from leukemia.delivery.out_of_fold import OutOfFold
from leukemia.scoring.baseline import verdict
from leukemia.scoring.metrics import METRICS, Interval
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.ensemble import EnsembleRecord
from leukemia.study.model_metrics import MetricsRecord

SHIFT = 0.05
"""A difference between the shares of leukemic images in training and test that is said, in 0..1."""

OF_SINGLE_MODELS = (
    "Out-of-fold scores, threshold and temperature are of single models, each trained without one fold: the ensemble "
    "has no out-of-fold predictions."
)

_OF_A_TEST = ("test set", "test images")
"""Every caveat on a test has one of these, and none on the training has."""


def on_training(
    best: Best, recipe: Recipe, notes: Iterable[str], ensemble: EnsembleRecord | None = None
) -> tuple[str, ...]:
    """Those that do not depend on a test set.

    Args:
        recipe: as trained.
        notes: further ones.
        ensemble: of the model; None if it is a single network.
    """
    found = list(notes)
    if best.data.uri == SAMPLE:
        found.append(f"{SAMPLE_WARNING[0].upper()}{SAMPLE_WARNING[1:]}.")
    if best.protocol in WARNINGS:
        found.append(f"Out-of-fold scores: {WARNINGS[best.protocol]}.")
    if recipe != best.recipe:
        before = best.recipe.flat()
        after = recipe.flat()
        changes = [
            f"{key} {after.get(key)}, not {before.get(key)}"
            for key in dict.fromkeys([*after, *before])
            if after.get(key) != before.get(key)
        ]
        found.append(
            f"The recipe was changed after the search ({'; '.join(changes)}): out-of-fold scores are those of the "
            "original recipe, which also gave threshold and temperature."
        )
    if ensemble is not None:
        found.append(OF_SINGLE_MODELS)
    return tuple(found)


def kept_on_training(metrics: MetricsRecord) -> tuple[str, ...]:
    """Those that a model's folder has, without those on its latest test set."""
    return tuple(each for each in metrics.caveats if not any(words in each for words in _OF_A_TEST))


def kept_verdicts(metrics: MetricsRecord) -> list[str]:
    """Sentences if a delivered model is no better than a constant answer, on its latest test set or out of fold.

    They are computed from the scores, since files of earlier versions lack them.
    """
    tested, test = "", metrics.test
    if test is not None and "majority_rate" in test:
        scores = {name: Interval.from_dict(test[name]) for name in METRICS if name in test}
        tested = verdict(scores, test["majority_rate"], test.get("share_leukemic"), ON_TEST)
    return [each for each in (tested, OutOfFold.from_dict(metrics.out_of_fold).verdict()) if each]


def on_test(evaluation: Evaluation, trained_share: float | None) -> Iterator[str]:
    """Those that depend on the test set.

    Args:
        trained_share: of leukemic images in the training data, in 0..1; None if it is not known.
    """
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
    if evaluation.scores is not None:
        yield from _on_shares(trained_share, float(evaluation.labels.mean()))


def _on_shares(trained: float | None, tested: float) -> Iterator[str]:
    if trained is None:
        yield (
            "The share of leukemic images in the training data is not recorded, since an earlier version delivered the "
            f"model: it was not compared with that of the test images, {100 * tested:.1f} %."
        )
    elif abs(tested - trained) >= SHIFT:
        yield (
            f"The class shares differ: {100 * trained:.1f} % of the training images are leukemic, {100 * tested:.1f} % "
            "of the test images. Accuracy, weighted F1, predictive values and calibration depend on this share; "
            "sensitivity, specificity, balanced accuracy and AUROC do not."
        )
