"""Accuracy per subclass, compared with the scores of its images alone."""

from __future__ import annotations

import numpy as np
import pytest

from leukemia.scoring.metrics import scores
from leukemia.scoring.subclasses import subclass_scores


def test_each_subclass_has_the_accuracy_of_its_images() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 1, 1], 25)
    names = np.repeat(["", "Pro", "Early", "Pre"], 25)
    probabilities = np.clip(labels + generator.normal(0, 0.6, 100), 0, 1)
    groups = [f"{name}{number}" for name, number in zip(names, generator.integers(0, 6, 100), strict=True)]
    found = subclass_scores([name or None for name in names], labels, probabilities, groups)
    assert [(each.name, each.label, each.n) for each in found] == [("Early", 1, 25), ("Pre", 1, 25), ("Pro", 1, 25)]
    for each in found:
        rows = names == each.name
        alone = scores(
            labels[rows], probabilities[rows], [group for group, row in zip(groups, rows, strict=True) if row]
        )
        assert each.accuracy == alone["accuracy"]
        assert each.accuracy.low < each.accuracy.value == np.mean((probabilities[rows] >= 0.5) == labels[rows])


def test_a_name_may_occur_in_both_classes_and_a_subclass_may_be_one_group() -> None:
    found = subclass_scores(["a", "a", None, "b"], [0, 1, 1, 0], [0.1, 0.2, 0.3, 0.4], ["g", "h", "i", "j"])
    assert [(each.name, each.label, each.accuracy.value) for each in found] == [("a", 0, 1), ("b", 0, 1), ("a", 1, 0)]
    assert found[0].to_dict()["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert subclass_scores([None, None], [0, 1], [0.1, 0.9], ["g", "h"]) == ()
    with pytest.raises(ValueError, match="groups"):
        subclass_scores(["a", "b"], [0, 1], [0.1, 0.9], ["g"])
