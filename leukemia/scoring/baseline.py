"""The baseline of every score: a constant answer, always the more frequent class."""

from __future__ import annotations

import math
from collections.abc import Mapping

from leukemia.scoring.bootstrap import Interval

_CHANCE = ("balanced_accuracy", "auroc")
"""Scores that are 0.5 for every constant answer, whatever the share of the classes."""


def constant_score(metric: str, majority_rate: float) -> float:
    """The score of always answering the more frequent class.

    Args:
        metric: one of ``leukemia.scoring.selection.CORRECTED``.
        majority_rate: the share of that class, in 0.5..1.

    >>> constant_score("balanced_accuracy", 0.75), constant_score("accuracy", 0.75)
    (0.5, 0.75)
    """
    if metric in _CHANCE:
        return 0.5
    # Its F1 is 2 m / (1 + m), that of the other class is 0.
    return majority_rate if metric == "accuracy" else 2 * majority_rate**2 / (1 + majority_rate)


def answer_of(share_leukemic: float | None) -> str:
    """The more frequent class, given the share of leukemic images in 0..1, None if that is not known.

    >>> answer_of(0.68), answer_of(0.4), answer_of(None)
    ('leukemic', 'normal', 'the more frequent class')
    """
    if share_leukemic is None:
        return "the more frequent class"
    return "leukemic" if share_leukemic >= 0.5 else "normal"


def verdict(
    scores: Mapping[str, Interval], majority_rate: float, share_leukemic: float | None, images: str, corrected: str = ""
) -> str:
    """A sentence if a model is no better than a constant answer, or not shown to be; empty if it is better.

    A model tells the classes apart if the interval of its balanced accuracy lies above 0.5. It may still be right less
    often than a constant answer: accuracies are compared by their values.

    Args:
        scores: by metric, with balanced accuracy and accuracy.
        majority_rate: share of the more frequent class, in 0.5..1.
        share_leukemic: as of ``answer_of``.
        images: which ones were scored, such as ``on the test set``.
        corrected: the score that is corrected for selection, if any. It is judged, too: AUROC like balanced accuracy,
            weighted F1 like accuracy.

    Returns:
        empty, too, if balanced accuracy is undefined, since a class is absent.

    >>> verdict({"balanced_accuracy": Interval(0.51, 0.48, 0.56)}, 0.68, 0.68, "out of fold").partition(": balanced")[0]
    'Not shown to be better than always answering leukemic, out of fold'
    """
    judged = dict.fromkeys(("balanced_accuracy", "accuracy", *([corrected] if corrected else [])))
    known = {name: scores[name] for name in judged if name in scores and not math.isnan(scores[name].value)}
    if "balanced_accuracy" not in known:
        return ""
    doubtful = [name for name in _CHANCE if name in known and _low(known[name]) <= 0.5]
    shares = [name for name in known if name not in _CHANCE]
    worse = [name for name in shares if known[name].value <= constant_score(name, majority_rate) + 1e-9]
    if not doubtful and not worse:
        return ""
    claim = "Not shown to be better than"
    if any(known[name].value <= 0.5 for name in doubtful):
        claim = "No better than"
    elif not doubtful:
        claim = f"No better in {' and '.join(map(_name, worse))} than"
    found = [
        f"{'corrected ' if name == corrected else ''}{_name(name)} {_described(interval)}, a constant answer has "
        f"{constant_score(name, majority_rate):.3f}"
        for name, interval in known.items()
        if name in (*doubtful, *worse)
    ]
    return f"{claim} always answering {answer_of(share_leukemic)}, {images}: {'; '.join(found)}."


def _low(interval: Interval) -> float:
    """The lower bound, or the value if there are too few groups for an interval."""
    return interval.value if math.isnan(interval.low) else interval.low


def _name(metric: str) -> str:
    return {"auroc": "AUROC", "weighted_f1": "weighted F1"}.get(metric, metric.replace("_", " "))


def _described(interval: Interval) -> str:
    bounds = "no interval" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"
    return f"{interval.value:.3f} ({bounds})"
