"""Scores by patient, against the same computed by hand and by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from leukemia.scoring.metrics import scores
from leukemia.scoring.patients import PATIENT_METRICS, Patient, patient_scores, patients_of

NAMES = ["b", "a", "a", "a", "c", "c", "b"]
LABELS = [0, 1, 1, 1, 0, 1, 0]
PROBABILITIES = [0.2, 0.9, 0.4, 0.8, 0.1, 0.9, 0.9]
SUBCLASSES = ["N", "early", "early", "pre", "N", "pre", "N"]


def drawn(num_patients: int = 60, per_patient: int = 4) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Patients who are right more often than not, each with an offset of their own."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(num_patients) % 2, per_patient)
    offsets = np.repeat(generator.normal(0, 0.25, num_patients), per_patient)
    probabilities = np.clip(0.4 + 0.2 * labels + offsets + generator.normal(0, 0.2, len(labels)), 0, 1)
    return [f"p{row // per_patient:02d}" for row in range(len(labels))], labels, probabilities


def test_a_patient_has_the_mean_of_the_images() -> None:
    a, b, c = patients_of(NAMES, LABELS, PROBABILITIES, NAMES, SUBCLASSES)
    assert (a.name, a.label, a.num_images, a.predicted, a.is_right) == ("a", 1, 3, 1, True)
    assert a.mean_probability == pytest.approx(0.7)
    assert a.share_called_leukemic == pytest.approx(2 / 3)
    assert (a.subclass, b.subclass) == (None, "N"), "one of several subclasses is none"
    assert (b.predicted, b.is_right) == (1, False)
    assert (c.label, c.is_right) == (None, None), "images of both classes"


def test_the_threshold_is_that_of_the_model() -> None:
    a, b, _ = patients_of(NAMES, LABELS, PROBABILITIES, NAMES, SUBCLASSES, threshold=0.6)
    assert (b.predicted, b.is_right, b.share_called_leukemic) == (0, True, 0.5)
    assert a.predicted == 1


def test_scores_are_those_of_one_value_per_patient() -> None:
    names, labels, probabilities = drawn()
    found = patient_scores(patients_of(names, labels, probabilities, names, [None] * len(names)))
    means = probabilities.reshape(-1, 4).mean(axis=1)
    truth, called = labels[::4], means >= 0.5
    assert found.num_patients == 60
    assert found.scores["accuracy"].value == pytest.approx(reference.accuracy_score(truth, called))
    assert found.scores["balanced_accuracy"].value == pytest.approx(reference.balanced_accuracy_score(truth, called))
    assert found.scores["auroc"].value == pytest.approx(reference.roc_auc_score(truth, means))
    assert found.scores["sensitivity"].value == pytest.approx(reference.recall_score(truth, called))
    assert set(found.scores) == set(PATIENT_METRICS)
    # The interval of a share of independent patients, as the normal distribution gives it.
    accuracy = found.scores["accuracy"]
    half = 1.96 * math.sqrt(accuracy.value * (1 - accuracy.value) / 60)
    assert accuracy.high - accuracy.low == pytest.approx(2 * half, rel=0.2)


def test_patients_who_share_images_are_drawn_together() -> None:
    names, labels, probabilities = drawn()
    pairs = [f"g{int(name[1:]) // 4}" for name in names]
    alone = patient_scores(patients_of(names, labels, probabilities, names, [None] * len(names)))
    together = patients_of(names, labels, probabilities, pairs, [None] * len(names))
    means = [each.mean_probability for each in together]
    expected = scores([int(each.label or 0) for each in together], means, [each.group for each in together])
    assert patient_scores(together).scores["accuracy"] == expected["accuracy"]
    assert patient_scores(together).scores["accuracy"] != alone.scores["accuracy"]


def test_patients_of_both_classes_and_images_without_patient_are_counted_not_scored() -> None:
    found = patient_scores(patients_of(NAMES, LABELS, PROBABILITIES, NAMES, SUBCLASSES), num_unknown=5)
    assert (found.num_patients, found.num_mixed, found.num_unknown) == (2, 1, 5)
    assert found.scores["accuracy"].value == 0.5
    assert found.to_dict()["of_both_classes"] == 1
    only_mixed = [each for each in patients_of(NAMES, LABELS, PROBABILITIES, NAMES, SUBCLASSES) if each.label is None]
    assert patient_scores(only_mixed).scores == {}


def test_subclasses_count_patients() -> None:
    def patient(name: str, subclass: str | None, predicted: int) -> Patient:
        return Patient(
            name=name,
            group=name,
            label=1,
            subclass=subclass,
            num_images=3,
            share_called_leukemic=1.0,
            mean_probability=0.9 if predicted else 0.1,
            predicted=predicted,
        )

    found = patient_scores([patient("a", "pre", 1), patient("b", "pre", 0), patient("c", None, 1)])
    (pre,) = found.subclasses
    assert (pre.name, pre.label, pre.n, pre.accuracy.value) == ("pre", 1, 2, 0.5)
    assert math.isnan(found.scores["specificity"].value), "no normal patient"
