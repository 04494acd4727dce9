"""``leukemia.Study``: a study as data frames."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import leukemia
from leukemia.base.errors import MissingFile, UserError
from leukemia.study.folder import Study

EXAMPLE = Path(__file__).parents[1] / "example_study"


@pytest.fixture
def results() -> leukemia.Study:
    return leukemia.Study(str(EXAMPLE))


def test_the_table_of_trials_has_every_parameter(results: leukemia.Study) -> None:
    table = results.trials()
    assert table["trial"].tolist() == ["0000", "0001"]
    assert table["state"].tolist() == ["complete", "complete"]
    study = Study(EXAMPLE)
    for row in table.to_dict("records"):
        recipe = study.recipe(int(row["trial"])).flat()
        same = {
            name: value
            for name, value in recipe.items()
            if row[name] == value or (value is None and pd.isna(row[name]))
        }
        assert same == recipe
    assert results.best.trial == "0000"
    assert results.best.score.raw == table["score"][0]


def test_epochs_and_predictions_are_those_of_the_files(results: leukemia.Study) -> None:
    study = Study(EXAMPLE)
    epochs = results.epochs()
    assert list(epochs.columns[:4]) == ["trial", "seed", "fold", "epoch"]
    assert len(epochs) == sum(len(study.epochs(number)) for number in (0, 1))
    assert len(results.epochs(1)) == len(results.epochs("0001")) == (epochs["trial"] == "0001").sum()
    predictions = results.out_of_fold(results.best.trial)
    assert len(predictions) == results.best.n
    accuracy = ((predictions["probability_leukemic"] >= 0.5) == predictions["label"]).mean()
    assert accuracy == pytest.approx(results.best.scores["accuracy"].value)
    assert len(results.out_of_fold()) > len(predictions)
    assert results.out_of_fold()["seed"].dtype == np.int64
    for trial in (7, "first", -1, "0x1"):
        with pytest.raises(UserError, match=rf"expected one of 2 trials, by its number, got {trial!r}$"):
            results.epochs(trial)


def test_a_study_without_results_has_empty_tables(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "study"))
    shutil.rmtree(folder / "trials")
    (folder / "best.json").unlink()
    results = leukemia.Study(folder)
    for table, columns in ((results.trials(), {"trial", "score"}), (results.epochs(), {"trial", "train_loss"})):
        assert table.empty
        assert columns <= set(table.columns)
    assert list(results.out_of_fold().columns)[:3] == ["trial", "seed", "fold"]
    with pytest.raises(MissingFile, match=r"this study has no complete trial; let the search finish"):
        _ = results.best
    with pytest.raises(MissingFile, match=r"^no study at "):
        leukemia.Study(tmp_path)


def test_a_changed_study_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "study"))
    path = folder / "trials" / "0000" / "seed_0" / "fold_0.csv"
    path.write_text(path.read_text().replace("0.9", "0.1", 1))
    with pytest.raises(UserError, match=r"fold_0"):
        leukemia.Study(folder)


def test_other_names_are_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"^module 'leukemia' has no attribute 'study_of'$"):
        _ = leukemia.study_of
