"""The trials of a study in its report: table, CSV, parameters, and the device time at their ends."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from helpers.worlds import World

from leukemia.config.fields import FIELDS
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.reporting.parameter_figures import parallel_coordinates, slices
from leukemia.reporting.parameters import Parameter, varied_parameters
from leukemia.reporting.search_sections import parameter_sections
from leukemia.reporting.study_report import write_study_report
from leukemia.reporting.time_spent import time_spent
from leukemia.reporting.trials_grid import trials_csv, trials_grid
from leukemia.reporting.words import describe_interval, digits_of
from leukemia.scoring.metrics import Interval
from leukemia.study.folder import Study
from leukemia.study.ledger import ledger_of
from leukemia.study.table import trial_table


@pytest.fixture
def world(tmp_path: Path, tiny_catalog: Catalog) -> World:
    """Four trials of two folds: one is stopped after the first, one fails in the second."""
    world = World(tmp_path / "study", tiny_catalog, trials=4, fates={1: "worse", 2: "failed"}, racing=True, margin=0.9)
    world.run()
    return world


def test_the_table_has_results_and_all_parameters_that_vary(world: World) -> None:
    study, ledger, parameters = world.study, ledger_of(world.study), varied_parameters(world.study)
    grid = trials_grid(study, trial_table(study), ledger, parameters, "csv")
    assert grid.columns[:6] == ["trial", "accuracy", "state", "weighted F1", "folds", "device time"]
    assert grid.columns[6:-1] == [parameter.name for parameter in parameters]
    assert len(set(grid.columns)) == len(grid.columns)
    rows = {row[0].text: dict(zip(grid.columns, row, strict=True)) for row in grid.rows}
    assert set(rows) == {"0000", "0001", "0002", "0003"}
    for number in study.trials():
        row, recipe = rows[f"{number:04d}"], study.recipe(number)
        assert row["learning rate"].value == recipe.optimizer.learning_rate
        assert row["optimizer"].text == recipe.optimizer.name
        assert row["reason"].text == study.end(number).reason  # type: ignore[union-attr]
    assert rows["0002"]["state"].text == "failed"
    decay = [row["weight decay"] for row in rows.values() if row["optimizer"].text != "adamw"]
    assert all((cell.text, cell.value) == ("–", "") for cell in decay), "its optimizer lacks the field"


def test_the_csv_has_every_field_of_every_recipe(world: World) -> None:
    study = world.study
    write_study_report(study, None)
    rows = list(csv.DictReader(io.StringIO((study.folder / "trials.csv").read_text())))
    ledger = {trial.number: trial.total for trial in ledger_of(study).trials}
    assert {row["trial"] for row in rows} == {"0000", "0001", "0002", "0003"}
    for row in rows:
        number = int(row["trial"])
        assert set(FIELDS) <= row.keys()
        assert float(row["optimizer.learning_rate"]) == study.recipe(number).optimizer.learning_rate
        assert float(row["device_seconds"]) == ledger[number]
        end = study.end(number)
        assert end is not None
        assert row["state"] == end.state
        if end.score is not None:
            assert float(row["tta_accuracy"]) == pytest.approx(end.score)


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path, tiny_catalog: Catalog) -> None:
    study = World(tmp_path / "study", tiny_catalog).study
    study.begin_trial(0, Recipe().with_settings({"model.pretrained": "=cmd.pth"}))
    study.end_trial(0, "failed", "@SUM(1)", None)
    (row,) = csv.DictReader(io.StringIO(trials_csv(study, trial_table(study), ledger_of(study))))
    assert (row["model.pretrained"], row["reason"]) == ("./=cmd.pth", "./@SUM(1)")


def test_fields_that_never_vary_are_no_parameters(world: World) -> None:
    keys = [parameter.key for parameter in varied_parameters(world.study)]
    assert "optimizer.learning_rate" in keys
    assert not {"train.epochs", "data.size_px", "train.seed"} & set(keys)
    assert keys == [key for key in FIELDS if key in keys], "in the order of the recipe"


def test_positions_and_marks_of_a_parameter() -> None:
    choices = Parameter(key="model.depth", values={0: 18, 1: 152, 2: 50}, is_log=False)
    assert [choices.position(value) for value in (18, 50, 152)] == [0, 0.5, 1]
    assert choices.marks() == [(0, "18"), (0.5, "50"), (1, "152")]
    rate = Parameter(key="optimizer.learning_rate", values={0: 1e-4, 1: 1e-2}, is_log=True)
    assert rate.position(1e-3) == pytest.approx(0.5)
    assert rate.marks() == [(0, "0.0001"), (1, "0.01")]


def test_integers_of_a_range_are_numbers_on_a_scale() -> None:
    epochs = Parameter(key="train.epochs", values={0: 10, 1: 40, 2: 25}, is_log=False, is_range=True)
    assert epochs.choices is None
    assert [epochs.position(value) for value in (10, 25, 40)] == [0, 0.5, 1]
    assert epochs.marks() == [(0, "10"), (1, "40")]
    (figure,) = slices([epochs], {0: 0.5, 1: 0.6, 2: 0.7}, score="accuracy")
    assert [row["value"] for row in figure.rows["trials"]] == [10, 40, 25]
    assert parallel_coordinates([epochs], {0: 0.5, 1: 0.6}, score="accuracy").rows["lines"]


def test_parameters_are_drawn_from_three_scores_on(world: World) -> None:
    trials = trial_table(world.study)
    (section,) = parameter_sections(world.study, trials)
    assert section.figures[0].name == "parallel-coordinates"
    assert len(section.figures) == 1 + len(varied_parameters(world.study))
    # A failed trial has no place among scores.
    assert {row["trial"] for row in section.figures[0].rows["lines"]} == {0, 1, 3}
    assert parameter_sections(world.study, trials.head(2)) == []


def test_the_time_spent_is_that_of_all_folds_which_had_ended(world: World) -> None:
    study, ledger = world.study, ledger_of(world.study)
    spent = time_spent(study, ledger)
    # One trial after another: when one ends, all before it have.
    totals = [trial.total for trial in sorted(ledger.trials, key=lambda trial: trial.number)]
    assert [spent[number] for number in sorted(spent)] == pytest.approx(
        [sum(totals[: number + 1]) for number in range(len(totals))]
    )
    study.begin_trial(4, Recipe())
    assert 4 not in time_spent(study, ledger_of(study)), "it has not ended"


@pytest.mark.parametrize(
    ("interval", "digits", "text"),
    [
        (Interval(0.87345, 0.85123, 0.89412), 3, "0.873 (0.851 to 0.894)"),
        (Interval(0.87345, 0.6, 1.0), 2, "0.87 (0.60 to 1.00)"),
        (Interval(0.87345, 0.87123, 0.87612), 4, "0.8734 (0.8712 to 0.8761)"),
        (Interval(1.0, 1.0, 1.0), 3, "1.000 (1.000 to 1.000)"),
    ],
)
def test_scores_have_the_digits_that_their_intervals_carry(interval: Interval, digits: int, text: str) -> None:
    assert digits_of(interval) == digits
    assert describe_interval(interval) == text


def test_a_study_without_trials_has_no_table(tmp_path: Path, tiny_catalog: Catalog) -> None:
    study = World(tmp_path / "study", tiny_catalog).study
    page = write_study_report(study, None).read_text()
    assert 'class="grid"' not in page
    assert not (study.folder / "trials.csv").exists()
    assert Study.open(study.folder).trials() == []
