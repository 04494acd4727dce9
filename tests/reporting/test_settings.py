"""One setting against another: which trials are paired, and what is said where there are not enough."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.compared import RECIPE, compared_study, recipes_of
from helpers.plugins import unknown
from helpers.worlds import waiting_world

from leukemia.base.record import write_record
from leukemia.config.plugins import Kind, record
from leukemia.config.recipe import Recipe
from leukemia.config.sections import TRANSFORMATIONS
from leukemia.data.catalog import Catalog
from leukemia.reporting.factors import AUGMENTATION, DEPTH, FACTORS, Factor, is_augmented
from leukemia.reporting.setting_differences import pairs_of, settings_section
from leukemia.study.best import Best
from leukemia.study.finished import finished_trials
from leukemia.study.folder import Study
from search.trials.history import replay
from search.trials.outcome import write_best

BY_NAME = {factor.name: factor for factor in FACTORS}
NONE = {
    f"augment.{name}": 0.0
    for name in ("horizontal_flip", "vertical_flip", "transpose", "rotate", "blur", "noise", "cutout")
}


def rows_of(study: Study) -> dict[str, tuple[str, str]]:
    """The section's table: the difference and what it is from, by what is compared."""
    table = settings_section(study, Best.of(study)).table
    assert table is not None
    header, *rows = table
    assert list(header) == ["compared", "difference in accuracy", "from"]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: (row[1], row[2]) for row in rows}


def points(text: str) -> tuple[float, float, float]:
    """The difference and its bounds in percentage points."""
    found = re.match(r"(better|worse) by (\S+) points, 95 % interval (\S+) to (\S+): (not )?significant$", text)
    assert found, text
    value = float(found[2]) * (1 if found[1] == "better" else -1)
    return value, float(found[3]), float(found[4])


def accuracy(study: Study, number: int, folds: tuple[int, ...] = (0, 1)) -> float:
    """Over all images of some folds."""
    table = study.out_of_fold(number, 0)
    table = table[table["fold"].isin(folds)]
    return float(((table["probability_leukemic"] >= 0.5) == (table["label"] == 1)).mean())


@pytest.mark.parametrize(
    ("name", "settings", "is_alone"),
    [
        ("shortcut", {"model.shortcut": "concat"}, True),
        ("shortcut", {"model.shortcut": "concat", "train.seed": 3}, True),
        ("shortcut", {"model.shortcut": "concat", "augment.blur": 0.3}, False),
        ("shortcut", {"train.seed": 3}, False),
        ("color", {"data.grayscale": True}, True),
        ("color", {"model.shortcut": "concat"}, False),
        ("depth", {"model.depth": 50}, True),
        ("augmentation", NONE, True),
        ("augmentation", {**NONE, "augment.blur": 0.1}, False),
        ("augmentation", {**NONE, "model.depth": 50}, False),
        ("optimizer", {"optimizer.name": "adamw"}, True),
        ("optimizer", {"optimizer.name": "adamw", "optimizer.learning_rate": 1e-3}, True),
        ("optimizer", {"optimizer.name": "adamw", "optimizer.learning_rate": 2e-3}, False),
        ("optimizer", {"optimizer.name": "ranger21_cosine"}, True),
        ("optimizer", {"optimizer.learning_rate": 2e-3}, False),
    ],
)
def test_recipes_that_differ_in_one_setting_only(name: str, settings: dict[str, Any], is_alone: bool) -> None:
    (other,) = recipes_of(settings)
    assert BY_NAME[name].is_alone(RECIPE, other) == is_alone
    assert BY_NAME[name].is_alone(other, RECIPE) == is_alone


def test_settings_that_both_optimizers_have_must_agree() -> None:
    one, other, third = recipes_of(
        {"optimizer.name": "adamw", "optimizer.restart_factor": 2, "optimizer.learning_rate": 1e-3},
        {"optimizer.name": "ranger21_cosine", "optimizer.restart_factor": 2},
        {"optimizer.name": "ranger21_cosine", "optimizer.restart_factor": 1},
    )
    assert BY_NAME["optimizer"].is_alone(one, other)
    assert not BY_NAME["optimizer"].is_alone(one, third)


def test_plugins_are_compared_like_what_is_built_in() -> None:
    """As in a report, which knows no more of a plug-in than what is recorded."""
    with unknown():
        kinds: dict[str, Kind] = {"plain": "optimizer", "tiny": "network", "swap": "augmentation"}
        for name, kind in kinds.items():
            record(kind, name)
        recorded = {f"plugin.{name}": "0" * 64 for name in kinds}

        def recipe(**settings: Any) -> Recipe:
            fields = {key.replace("__", "."): value for key, value in settings.items()}
            return Recipe.from_flat({**RECIPE.flat(), **recorded, **fields})

        rate = RECIPE.optimizer.learning_rate
        plain = recipe(optimizer__name="plain", optimizer__learning_rate=rate)
        assert dict(plain.plugins).keys() == {"plain"}
        assert BY_NAME["optimizer"].is_alone(RECIPE, plain)
        other = recipe(optimizer__name="plain", optimizer__learning_rate=2 * rate)
        assert not BY_NAME["optimizer"].is_alone(RECIPE, other), "its default is not known"
        off = recipe(**{f"augment__{name}": 0.0 for name in TRANSFORMATIONS})
        on = recipe(**{f"augment__{name}": 0.0 for name in TRANSFORMATIONS}, augment__swap=0.5)
        assert AUGMENTATION.is_alone(off, on)
        tiny = recipe(model__network="tiny", model__depth=None, model__shortcut=None)
        assert (DEPTH.value(tiny), BY_NAME["shortcut"].value(tiny)) == (None, None)


def test_values_are_in_the_order_of_the_course() -> None:
    assert DEPTH.ordered(["ResNet-152", "ResNet-18", "ResNet-50", "ResNet-18"]) == [
        "ResNet-18",
        "ResNet-50",
        "ResNet-152",
    ]
    assert BY_NAME["optimizer"].ordered(["zeta", "ranger21", "adamw"]) == ["adamw", "ranger21", "zeta"]


def test_a_recipe_is_augmented_if_a_probability_is_above_zero() -> None:
    off, on = recipes_of(NONE, {**NONE, "augment.noise": 0.01})
    assert is_augmented(Recipe())
    assert not is_augmented(off)
    assert is_augmented(on)
    assert AUGMENTATION.value(off) == "no augmentation"


@pytest.fixture
def grid(tmp_path: Path, tiny_catalog: Catalog) -> Study:
    """Three shortcuts in color and gray, each recipe with one trial."""
    settings = [
        {"model.shortcut": shortcut, "data.grayscale": gray}
        for shortcut, gray in itertools.product(("add", "concat", "weighted"), (False, True))
    ]
    return compared_study(tmp_path / "grid", tiny_catalog, recipes_of(*settings))


def test_pairs_that_differ_in_nothing_else_are_compared(grid: Study) -> None:
    rows, own = rows_of(grid), [accuracy(grid, number) for number in range(6)]
    assert list(rows) == ["concat against add", "weighted against add", "weighted against concat", "gray against color"]
    source = "2 pairs of trials that differ in nothing else; folds 1 to 2, 48 images of 12 groups"
    value, low, high = points(rows["concat against add"][0])
    assert value == pytest.approx(100 * (own[2] + own[3] - own[0] - own[1]) / 2, abs=0.05)
    assert low < value < high
    assert rows["concat against add"][1] == source
    value, low, high = points(rows["gray against color"][0])
    assert value == pytest.approx(100 * np.mean([own[1] - own[0], own[3] - own[2], own[5] - own[4]]), abs=0.05)
    assert low < value < high
    assert rows["gray against color"][1].startswith("3 pairs of trials that differ in nothing else; ")
    text = settings_section(grid, Best.of(grid)).text
    assert text.endswith(
        "Not enough trials to compare what all have in common: depth (ResNet-18), augmentation (augmentation), "
        "optimizer (ranger21)."
    )


def test_the_noise_of_training_is_part_of_the_interval(grid: Study) -> None:
    def half_width(noise: float | None) -> float:
        path = grid.folder / "best.json"
        content = json.loads(path.read_text())
        content["noise"].pop("fold_noise", None)
        write_record(
            path, {**content, "noise": {**content["noise"], **({} if noise is None else {"fold_noise": noise})}}
        )
        difference, source = rows_of(grid)["gray against color"]
        assert ("without the noise of training, which was not recorded" in source) == (noise is None)
        _, low, high = points(difference)
        return (high - low) / 2

    # 3 pairs of 2 runs, each the mean of 2 folds; Student's t of 11 degrees of freedom.
    added = 2.201**2 * 2 * (100 * 0.1) ** 2 / (3 * 2)
    assert half_width(0.1) ** 2 - half_width(None) ** 2 == pytest.approx(added, rel=0.05)


def test_repeats_with_the_same_seed_are_paired(tmp_path: Path, tiny_catalog: Catalog) -> None:
    recipes = recipes_of({}, {"data.grayscale": True}, {"model.shortcut": "concat", "train.seed": 3})
    repeats = {0: [3, 4], 1: [4]}
    study = compared_study(tmp_path / "study", tiny_catalog, recipes, repeats=repeats)
    trials = finished_trials(study)
    (pair,) = pairs_of(BY_NAME["color"], trials[:1], trials[1:2])
    assert (pair.one.number, pair.other.number, pair.seeds) == (0, 1, (0, 4))
    (pair,) = pairs_of(BY_NAME["shortcut"], trials[2:], trials[:1])
    assert (pair.one.number, pair.other.number, pair.seeds) == (2, 0, (3,))
    # Trial 1 has no run with the seed of trial 2, and another color.
    assert pairs_of(BY_NAME["shortcut"], trials[2:], trials[1:2]) == []


def test_a_trial_is_in_one_pair_only(tmp_path: Path, tiny_catalog: Catalog) -> None:
    decays = [{"optimizer.name": "adamw", "optimizer.weight_decay": decay} for decay in (0.1, 0.01, 0.2)]
    study = compared_study(tmp_path / "study", tiny_catalog, recipes_of({}, *decays))
    trials = finished_trials(study)
    (pair,) = pairs_of(BY_NAME["optimizer"], trials[:1], trials[1:])
    assert pair.other.number == 1
    assert rows_of(study)["ranger21 against adamw"][1].startswith("1 pair of trials that differ in nothing else; ")


def test_stopped_trials_are_paired_in_the_folds_that_they_finished(tmp_path: Path, tiny_catalog: Catalog) -> None:
    recipes = recipes_of({}, {"data.grayscale": True})
    study = compared_study(tmp_path / "study", tiny_catalog, recipes, ends={1: ("stopped", 1)}, skills=[0.9, 0.6])
    difference, source = rows_of(study)["gray against color"]
    expected = accuracy(study, 1, (0,)) - accuracy(study, 0, (0,))
    assert points(difference)[0] == pytest.approx(100 * expected, abs=0.05)
    assert source.startswith("1 pair of trials that differ in nothing else; fold 1, 24 images of 6 groups")


def searched(folder: Path, catalog: Catalog, num_gray: int, **options: Any) -> Study:
    """Trials of different learning rates, the first five in color."""
    settings = [
        {"data.grayscale": number >= 5, "optimizer.learning_rate": 1e-3 * (1 + number / 10)}
        for number in range(5 + num_gray)
    ]
    return compared_study(folder, catalog, recipes_of(*settings), **options)


def test_without_pairs_the_means_of_trials_are_compared(tmp_path: Path, tiny_catalog: Catalog) -> None:
    ends = {1: ("stopped", 1), 8: ("stopped", 1), 9: ("failed", 0)}
    study = searched(tmp_path / "study", tiny_catalog, 6, ends=ends)
    difference, source = rows_of(study)["gray against color"]
    assert source == "the means of 5 against 5 trials; fold 1, 24 images of 6 groups"
    color, gray = ([accuracy(study, number, (0,)) for number in side] for side in (range(5), (5, 6, 7, 8, 10)))
    value, low, high = points(difference)
    assert value == pytest.approx(100 * (np.mean(gray) - np.mean(color)), abs=0.05)
    assert low < value < high
    text = settings_section(study, Best.of(study)).text
    assert "at least 5 of each" in text
    assert "this is no controlled experiment" in text
    assert "1 failed trial is left out." in text
    assert "waits" not in text


def test_too_few_trials_are_not_compared(tmp_path: Path, tiny_catalog: Catalog) -> None:
    study = searched(tmp_path / "study", tiny_catalog, 4)
    assert rows_of(study)["gray against color"] == ("not enough trials", "4 against 5 trials")


def test_a_single_pair_does_not_hide_the_means_of_many_trials(tmp_path: Path, tiny_catalog: Catalog) -> None:
    rates = [1e-3 * (1 + number / 10) for number in range(9)]
    settings = [{"data.grayscale": number >= 5, "optimizer.learning_rate": rate} for number, rate in enumerate(rates)]
    recipes = recipes_of(*settings, {"data.grayscale": True, "optimizer.learning_rate": rates[0]})
    study = compared_study(tmp_path / "study", tiny_catalog, recipes)
    table = settings_section(study, Best.of(study)).table
    assert table is not None
    sources = [row[2].partition(";")[0] for row in table[1:]]
    assert sources == ["1 pair of trials that differ in nothing else", "the means of 5 against 5 trials"]


def test_a_single_group_gives_no_difference(tmp_path: Path, tiny_catalog: Catalog) -> None:
    study = compared_study(tmp_path / "study", tiny_catalog, recipes_of({}, {"data.grayscale": True}))
    for path in study.folder.rglob("fold_*.csv"):
        header, *lines = path.read_text().splitlines()
        place = header.split(",").index("group")
        cells = [line.split(",") for line in lines]
        path.write_text(
            "\n".join([header, *(",".join([*row[:place], "all", *row[place + 1 :]]) for row in cells)]) + "\n"
        )
        record = path.with_suffix(".json")
        content = json.loads(record.read_text())
        write_record(record, {**content, "predictions_sha256": ""}, study.place_of(record))
    difference, source = rows_of(Study(study.folder))["gray against color"]
    assert difference == "no interval: too few groups of images"
    assert source.endswith("48 images of 1 group")


def test_trials_that_wait_are_counted(tmp_path: Path, tiny_catalog: Catalog) -> None:
    world, study = waiting_world(tmp_path / "study", tiny_catalog)
    without = sum(not trial.own_folds for trial in finished_trials(study))
    assert without > 1
    write_best(study, world.catalog, world.splits, replay(study, world.catalog, world.rules))
    text = settings_section(study, Best.of(study)).text
    assert f"{without} trials without a finished fold are left out: a search in which trials wait" in text


def test_another_score_is_compared_if_it_was_maximized(tmp_path: Path, tiny_catalog: Catalog) -> None:
    recipes = recipes_of({}, {"data.grayscale": True})
    study = compared_study(tmp_path / "study", tiny_catalog, recipes, objective="tta_auroc")
    table = settings_section(study, Best.of(study)).table
    assert table is not None
    assert table[0][1] == "difference in AUROC"
    assert not math.isnan(points(table[1][1])[0])


def test_a_setting_without_a_value_is_left_out(tmp_path: Path, tiny_catalog: Catalog) -> None:
    nothing = Factor(name="nothing", belongs="nothing", value=lambda recipe: None)
    assert nothing.ordered([]) == []
    assert not nothing.is_alone(RECIPE, RECIPE)
