"""Predictions of many runs on the same images, and what trials have finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.compared import RECIPE, compared_study, recipes_of
from helpers.studies import tta_scores

from leukemia.base.errors import UserError
from leukemia.config.results import FoldResult
from leukemia.data.catalog import Catalog
from leukemia.data.folds import make_splits
from leukemia.study.finished import finished_trials, shared_folds
from leukemia.study.folder import Study
from leukemia.study.predictions import Predictions


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog) -> Study:
    """Of four trials: one has a repeat, one was stopped after a fold, one failed."""
    recipes = recipes_of(*({"augment.blur": blur} for blur in (0.1, 0.2, 0.3, 0.4)))
    ends = {2: ("stopped", 1), 3: ("failed", 1)}
    return compared_study(tmp_path / "study", tiny_catalog, recipes, ends=ends, repeats={1: [5]})


def test_predictions_are_those_of_the_folds_in_the_order_asked(study: Study) -> None:
    predictions, table = Predictions(study), study.out_of_fold(1, 5)
    for folds in ([0, 1], [1], [1, 0]):
        expected = [table.loc[table["fold"] == fold, "probability_leukemic"] for fold in folds]
        assert np.array_equal(predictions.of(1, 5, folds), np.concatenate(expected))
    images = predictions.images([0, 1])
    assert list(images.columns) == ["image_id", "subject", "group", "label"]
    assert images["image_id"].tolist() == table["image_id"].tolist()


def test_a_file_is_read_once(study: Study) -> None:
    predictions = Predictions(study)
    first = predictions.of(0, 0, [0])
    study.fold_file(0, 0, 0).unlink()
    assert np.array_equal(predictions.of(0, 0, [0]), first)


def test_a_trial_on_other_images_is_refused(study: Study, tiny_catalog: Catalog) -> None:
    study.begin_trial(4, RECIPE)
    rows = next(iter(make_splits(tiny_catalog, 2, 1, "grouped").rows(tiny_catalog)))[1]
    labels = tiny_catalog.table["label"].to_numpy()[rows]
    probabilities = np.full(len(rows), 0.6)
    common = {"fold": 0, "seconds": 1.0, "device": "cpu", "precision": "float32"}
    scores = tta_scores(labels, probabilities)
    result = FoldResult(seed=0, rows=rows, probabilities=probabilities, scores=scores, **common)  # type: ignore[arg-type]
    study.write_fold(4, result, tiny_catalog.table)
    predictions = Predictions(study)
    predictions.of(0, 0, [0])
    with pytest.raises(
        UserError, match=r"0004/seed_0/fold_0.csv: its images are not those of the other trials in this"
    ):
        predictions.of(4, 0, [0])


def test_finished_folds_are_by_seed_and_without_failed_and_running_trials(study: Study) -> None:
    study.begin_trial(4, RECIPE)
    found = {trial.number: trial for trial in finished_trials(study)}
    assert set(found) == {0, 1, 2}
    assert found[1].folds == {0: {0, 1}, 5: {0, 1}}
    assert found[2].own_folds == {0}
    assert shared_folds(trial.own_folds for trial in found.values()) == [0]
    assert shared_folds([]) == []
