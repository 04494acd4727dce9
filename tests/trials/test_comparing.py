"""A comparison, run by a loop instead of Ray: every recipe on all folds with all seeds, each once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.studies import change_info
from helpers.worlds import NUM_FOLDS, RECIPES, World, frozen
from rich.console import Console

from leukemia.data.catalog import Catalog
from leukemia.reporting.comparison import comparison_sections
from leukemia.reporting.search_space import search_space_sections
from leukemia.reporting.trials_grid import trials_csv, trials_grid
from leukemia.reporting.winner import start_section
from leukemia.scoring.metrics import describe_difference
from leukemia.study.best import Best
from leukemia.study.comparison import COLUMNS, compared, comparison_table
from leukemia.study.job import Job
from leukemia.study.ledger import ledger_of
from leukemia.study.table import trial_table
from search.trials.display import print_comparison
from search.trials.outcome import write_best

TRIALS = len(RECIPES)


@pytest.fixture
def world_in(tmp_path: Path, tiny_catalog: Catalog) -> Callable[..., World]:
    return lambda name="study", **settings: World(
        tmp_path / name, tiny_catalog, **{"trials": TRIALS, "recipes": RECIPES, "repeats": 2, **settings}
    )


def jobs_of(world: World) -> list[tuple[int, int]]:
    return [(number, seed) for number in world.study.trials() for seed in world.study.seeds(number)]


def test_every_recipe_runs_all_folds_with_all_seeds(world_in: Callable[..., World]) -> None:
    # Worse by far, and no better than chance: a search would stop both.
    world = world_in(fates={1: "worse", 2: "stopped"}, racing=True, margin=0.0, patience=1)
    world.run()
    assert jobs_of(world) == [(number, seed) for number in range(TRIALS) for seed in range(3)]
    for job in jobs_of(world):
        assert world.study.folds_done(*job) == list(range(NUM_FOLDS)), job
    assert [world.study.recipe(number) for number in world.study.trials()] == list(RECIPES)
    assert [trial.system_attrs["fixed_params"] for trial in frozen(world)] == [
        world.space.parameters(recipe) for recipe in RECIPES
    ]
    assert world.driver().begin() is None, "nothing is left"


def test_the_folds_of_a_trial_run_side_by_side_and_repeats_do_not_wait_for_others(
    world_in: Callable[..., World],
) -> None:
    world = world_in(repeats=1)
    driver = world.driver()
    first = [driver.begin(4) for _ in range(4)]
    assert all(first)
    tasks = [each.task for each in first if each is not None]
    # The deepest network first, since no others are left to be proposed.
    assert {(task.job.number, task.fold) for task in tasks} == {(n, f) for n in (2, 0) for f in range(NUM_FOLDS)}
    for assignment in first[:NUM_FOLDS]:
        assert assignment is not None
        world.train(driver, assignment)
    # The last trial, then a repeat of the one that has ended.
    later = [driver.begin(4) for _ in range(4)]
    started = {each.task.job for each in later if each is not None}
    assert started == {Job(1, 0), Job(2, 1, is_repeat=True)}


def test_more_repeats_are_run_when_it_is_resumed(world_in: Callable[..., World]) -> None:
    world_in(repeats=0).run()
    resumed = world_in(repeats=1)
    resumed.run()
    assert jobs_of(resumed) == [(number, seed) for number in range(TRIALS) for seed in range(2)]


def test_the_outlook_counts_the_repeats(world_in: Callable[..., World]) -> None:
    world = world_in(repeats=1, fates={2: "failed"})
    driver = world.driver()
    assert driver.progress.left(TRIALS) == 2 * TRIALS
    for _ in range(2 * NUM_FOLDS):
        assignment = driver.begin()
        assert assignment is not None
        world.train(driver, assignment)
    assert (driver.progress.trained, driver.progress.left(TRIALS)) == (2.0, 4.0)
    outlook = driver._schedule.outlook()
    assert outlook.time_to_go(10.0) == ("the last recipe", 20.0)
    driver = world_in(repeats=1, fates={2: "failed"}).run()
    # The recipe that has failed has no repeat; its first fold was trained.
    assert (driver.progress.trained, driver.progress.left(TRIALS)) == (4.5, 0.0)


def test_differences_are_those_of_the_race(world_in: Callable[..., World]) -> None:
    world = world_in(fates={1: "worse"})
    driver = world.run()
    race, found = driver.race, compared(world.study)
    assert [each.number for each in found] == [0, 1, 2]
    assert found[0].difference is None
    scores = {contender.number: contender.score for contender in race.contenders()}
    for each in found:
        assert each.seeds == 3
        assert each.score is not None
        assert each.score.value == pytest.approx(scores[each.number])
        assert each.score.low < each.score.value < each.score.high
    assert [each.difference for each in found[1:]] == [race.interval(number, 0) for number in (1, 2)]
    table = comparison_table(world.study)
    assert list(table.columns) == list(COLUMNS)
    assert table["difference"].isna().tolist() == [True, False, False]
    assert table["trial"].tolist() == ["0000", "0001", "0002"]


def test_recipes_without_all_folds_are_shown_without_scores(world_in: Callable[..., World]) -> None:
    world = world_in(fates={2: "failed"})
    world.run()
    found = compared(world.study)
    assert [(each.state, each.seeds, each.score is None) for each in found] == [
        *[("complete", 3, False)] * 2,
        ("failed", 0, True),
    ]
    assert found[2].difference is None
    text = printed(world)
    assert text.splitlines()[-1].startswith("comparison: points are differences from trial 0000, ")
    assert " failed" in text


def test_without_the_first_recipe_nothing_is_compared(world_in: Callable[..., World]) -> None:
    world = world_in(fates={0: "failed"}, repeats=0)
    world.run()
    assert all(each.difference is None for each in compared(world.study))
    assert printed(world) == "comparison: none, since trial 0000 has not finished all folds\n"


def test_the_report_and_the_tables_have_names_and_differences(world_in: Callable[..., World]) -> None:
    world = world_in()
    driver = world.run()
    study = change_info(world.study, recipes=[{"name": "<plain>"}, {}, {"name": "deep"}])
    write_best(study, world.catalog, world.splits, driver.progress)
    (section,) = comparison_sections(study)
    assert section.table is not None
    header, *rows = section.table
    assert header == ("recipe", "trial", "seeds", "accuracy", "against <plain>")
    assert [row[0] for row in rows] == ["<plain>", RECIPES[1].describe_fields(list(study.info.space)), "deep"]
    assert rows[0][-1] == "the first recipe"
    assert [row[-1] for row in rows[1:]] == [describe_difference(driver.race.interval(number, 0)) for number in (1, 2)]
    assert "which the repeats measure. There are 2 of them, and the intervals are not adjusted" in section.text
    assert "finished all folds" not in section.text
    table = trial_table(study).set_index("trial")["recipe"]
    assert table["0002"] == f"deep: {RECIPES[2].describe()}"
    assert table["0001"] == RECIPES[1].describe()
    trials, ledger, best = trial_table(study), ledger_of(study), Best.of(study)
    assert trials_csv(study, trials, ledger).startswith("trial,recipe,state,")
    grid = trials_grid(study, trials, ledger, [], "")
    assert list(grid.columns[:3]) == ["trial", "recipe", "accuracy"]
    assert grid.columns[grid.sorted_by] == "accuracy"
    assert sorted(row[1].text for row in grid.rows) == ["<plain>", "deep", "–"]
    assert [section.title for section in search_space_sections(study)] == ["What was compared"]
    start = start_section(study, best)
    assert "starting recipe" not in " ".join([start.text, *start.points])
    assert "first recipe" in " ".join([start.text, *start.points])


def test_what_is_missing_is_said_in_the_report(world_in: Callable[..., World]) -> None:
    world = world_in(fates={2: "failed"}, repeats=0)
    world.run()
    text = comparison_sections(world.study)[0].text
    assert "is assumed, not measured, since each recipe has one seed." in text
    assert text.endswith("Of 3 recipes, 2 have finished all folds.")


def test_a_report_without_the_first_recipe_compares_nothing(world_in: Callable[..., World]) -> None:
    world = world_in(fates={0: "failed"}, repeats=0)
    world.run()
    text = comparison_sections(world.study)[0].text
    assert text == (
        "The first recipe is not complete, so there is nothing to compare with it yet. Of 3 recipes, 2 have finished "
        "all folds."
    )


def test_a_search_has_no_comparison(tmp_path: Path, tiny_catalog: Catalog) -> None:
    world = World(tmp_path / "study", tiny_catalog, trials=2)
    world.run()
    assert compared(world.study) == []
    assert comparison_sections(world.study) == []
    assert len(comparison_table(world.study)) == 0
    assert printed(world) == ""


def printed(world: World) -> str:
    output = io.StringIO()
    print_comparison(Console(file=output, width=160), compared(world.study), "tta_accuracy")
    return output.getvalue()
