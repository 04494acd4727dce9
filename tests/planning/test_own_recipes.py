"""A comparison, from the file and the command line to the plan of a new or resumed study."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.wings import ROOT
from rich.console import Console

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.sections import TRANSFORMATIONS
from leukemia.study.folder import Study
from search.launch.arguments import parse, request_of
from search.launch.messages import print_plan
from search.launch.options import arguments_of
from search.launch.study_folder import created
from search.planning.comparison import RecipeTimes, describe_cost, num_timed
from search.planning.own_recipes import read_recipes
from search.planning.plan import Plan, plan_new
from search.planning.resumption import plan_resumed
from search.preflight.job_time import Estimate

LIST = """
- name: plain
  augment.blur: 0
- {name: blurred, augment.blur: 0.5}
- {augment.blur: 0.5, model: {depth: 50}}
"""
SMALL = ["--set", "data.size_px=32", "--set", "train.batch_size=8", "--set", "train.epochs=4"]
GRID = ["--sampler", "grid", "--search", "model.depth=18,50", "--search", "augment.blur=0,0.5"]

Planned = Callable[..., Plan]


@pytest.fixture
def argv(tmp_path: Path, tiny_folder: Path) -> list[str]:
    data = ["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), "--study", "one", "--folds", "2"]
    return [*data, *SMALL]


@pytest.fixture
def planned(argv: list[str]) -> Planned:
    return lambda *words: plan_new(request_of(parse([*argv, *words])), "python -m search.run")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipes.yaml"
    path.write_text(LIST)
    return path


@pytest.fixture
def resume(tmp_path: Path) -> Planned:
    runs = ["--runs", str(tmp_path / "runs"), "--study", "one", "--resume"]
    return lambda *words: plan_resumed(request_of(parse([*runs, *words])))


def printed(plan: Plan) -> list[str]:
    output = io.StringIO()
    print_plan(Console(file=output, width=300), plan)
    return output.getvalue().splitlines()


def test_the_plan_says_what_runs(file: Path, planned: Planned) -> None:
    plan = planned("--recipes", str(file), "--repeats", "1")
    assert (plan.info.trials, plan.info.sampler, plan.info.racing, plan.info.pausing) == (3, "grid", False, False)
    assert (plan.rules.compares, plan.rules.repeats, plan.rules.start) == (True, 1, 0)
    assert [(each.augment.blur, each.model.depth) for each in plan.recipes] == [(0.0, 18), (0.5, 18), (0.5, 50)]
    assert plan.space.start == plan.recipes[0]
    lines = printed(plan)
    place = lines.index(
        "comparison: 3 recipes x 2 folds x 2 seeds (--repeats 1) = 12 trainings; no trial is stopped early, and each "
        "recipe is compared with the first one"
    )
    assert lines[place + 1 : place + 4] == [
        "  trial 0000: plain: ResNet-18, blur 0",
        "  trial 0001: blurred: ResNet-18, blur 0.5",
        "  trial 0002: ResNet-50, blur 0.5",
    ]
    assert "train.epochs: 4 (fixed)" in lines
    assert not [line for line in lines if line.startswith(("racing", "pausing", "sampler", "space", "note: the space"))]


def test_a_grid_is_planned_as_its_combinations(planned: Planned) -> None:
    plan = planned(*GRID)
    # Fields in the order of the recipe, whose last one varies fastest.
    assert [(each.augment.blur, each.model.depth) for each in plan.recipes] == [
        *((0.0, 18), (0.0, 50)),
        *((0.5, 18), (0.5, 50)),
    ]
    assert plan.info.trials == 4
    assert [each.key for each in plan.space.dimensions] == ["augment.blur", "model.depth"]
    assert "  trial 0003: ResNet-50, blur 0.5" in printed(plan)


def test_a_file_its_content_and_python_mean_the_same(file: Path, planned: Planned) -> None:
    plan = planned("--recipes", str(file))
    entries = [{"name": "plain", "augment.blur": 0}, {"name": "blurred", "augment.blur": 0.5}]
    words = arguments_of(None, {"recipes": [*entries, {"augment.blur": 0.5, "model.depth": 50}]})
    assert len(words) == 1
    assert planned(*words).info.recipes == plan.info.recipes
    assert planned(*arguments_of(None, {"recipes": file})).info.recipes == plan.info.recipes
    named = arguments_of(None, {"recipes": [{"name": "Größe 🔬"}, {"model.depth": 50}]})
    assert planned(*named).info.recipes[0]["name"] == "Größe 🔬"


@pytest.mark.parametrize("has_list", [True, False], ids=["list", "grid"])
def test_a_study_is_resumed_with_its_recipes_and_has_a_config_that_runs_it_again(
    has_list: bool, file: Path, planned: Planned, resume: Planned, tmp_path: Path
) -> None:
    words = ["--recipes", str(file)] if has_list else GRID
    plan = planned(*words, "--repeats", "1")
    with created(plan) as study:
        assert Study.open(study.folder).info.recipes == plan.info.recipes
    stored = json.loads((study.folder / "study.json").read_text())
    assert ("recipes" in stored) == has_list
    again = resume()
    assert (again.recipes, again.space, again.info.recipes) == (plan.recipes, plan.space, plan.info.recipes)
    assert resume(*words).recipes == plan.recipes
    assert resume("--repeats", "3", "--budget-hours", "2", "--no-racing").rules.repeats == 3
    assert resume("--trials", str(len(plan.recipes))).recipes == plan.recipes
    with pytest.raises(UserError, match=rf"^--trials: a comparison runs each of its {len(plan.recipes)} recipes once"):
        resume("--trials", "9")
    with pytest.raises(UserError, match=r"searches nothing; leave out --patience$"):
        resume("--patience", "9")
    config = ["--config", str(study.folder / "config.yaml"), "--runs", str(tmp_path / "others")]
    copy = plan_new(request_of(parse(config)), "python -m search.run")
    assert (copy.recipes, copy.info.recipes, copy.info.repeats) == (plan.recipes, plan.info.recipes, 1)


def test_other_recipes_are_refused_with_the_differences(
    file: Path, planned: Planned, resume: Planned, tmp_path: Path
) -> None:
    with created(planned("--recipes", str(file))):
        pass
    file.write_text(LIST.replace("0.5", "0.25", 1) + "- {model.depth: 34}\n")
    with pytest.raises(UserError) as refused:
        resume("--recipes", str(file))
    assert str(refused.value) == (
        "--recipes: the study was started with others; leave it out to resume, or start a new study:\n"
        "  recipe 2: blurred: augment.blur=0.5, got blurred: augment.blur=0.25\n"
        "  recipe 4: none, got model.depth=34"
    )
    with pytest.raises(UserError, match=r"^a comparison runs each recipe once, .*; leave out --racing$"):
        resume("--racing")


def test_a_search_is_not_resumed_as_a_comparison_nor_the_reverse(
    file: Path, planned: Planned, resume: Planned, tmp_path: Path
) -> None:
    with created(planned()):
        pass
    with pytest.raises(UserError, match=r"^--recipes: the study was started without; leave it out to resume"):
        resume("--recipes", str(file))
    with pytest.raises(UserError, match=r"^--sampler: the study was started with 'tpe', got 'grid'"):
        resume(*GRID)


def test_another_grid_is_refused_with_the_differences(planned: Planned, resume: Planned) -> None:
    with created(planned(*GRID)):
        pass
    with pytest.raises(UserError, match=r"another search space.*\n  model.depth: 18, 50, got 18, 34$"):
        resume("--search", "model.depth=18,34", "--search", "augment.blur=0,0.5")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "2"], r"^--trials: a comparison runs each of its 3 recipes once, got 2; leave it out$"),
        (["--trials", "50"], r"^--trials: a comparison runs each of its 3 recipes once, got 50"),
        (
            ["--racing", "--patience", "3", "--warm-start", "old", "--starts", "2"],
            r"^--recipes runs each recipe once, on all folds, and searches nothing; leave out "
            r"(?=.*--racing)(?=.*--patience)(?=.*--warm-start)(?=.*--starts)",
        ),
        (["--pausing"], r"; leave out --pausing$"),
        (["--search", "model.depth=18,50"], r"; leave out --search or --space$"),
        (["--sampler", "gp"], r"; leave out --sampler$"),
    ],
)
def test_options_of_searches_are_refused(words: list[str], message: str, file: Path, planned: Planned) -> None:
    with pytest.raises(UserError, match=message):
        planned("--recipes", str(file), *words)


def test_options_that_say_what_is_so_are_accepted(file: Path, planned: Planned) -> None:
    words = ["--no-racing", "--no-pausing", "--trials", "3", "--sampler", "grid"]
    assert planned("--recipes", str(file), *words).info.recipes == planned("--recipes", str(file)).info.recipes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], r"^--sampler grid: expected the values to combine, got none; name fields .* --search model.depth=18,50$"),
        (
            ["--search", "augment.blur=0..0.5"],
            r"^--search: augment.blur: 0 to 0.5 is a range, and a grid combines values; list them: --search "
            r"augment.blur=0,0.5$",
        ),
        (
            ["--search", "augment.blur=0..0.5", "--search", "optimizer.learning_rate=1e-4..1e-2:log"],
            r"^the search space has 2 mistakes:\n  --search: augment.blur: .*\n  --search: optimizer.learning_rate: ",
        ),
        (["--search", "model.depth=18"], r"^--sampler grid: nothing is left to combine: every field is fixed; name"),
        (["--space", "{leave: [augment.blur]}"], r"^--space: leave has no effect with --sampler grid, which leaves"),
        (
            ["--search", "optimizer.name=adamw,ranger21_cosine", "--search", "optimizer.restart_epochs=1..1000"],
            r"^--sampler grid: expected at most 1,000 combinations, got 2,000; list fewer values",
        ),
        (["--search", "model.depth=18,50", "--trials", "9"], r"^--trials: a comparison runs each of its 2 recipes"),
        (
            ["--search", "model.depth=18,50", "--patience", "9"],
            r"^--sampler grid runs each recipe once, .* --patience$",
        ),
    ],
)
def test_grids_that_are_none_are_refused(words: list[str], message: str, planned: Planned) -> None:
    with pytest.raises(UserError, match=message):
        planned("--sampler", "grid", *words)


def test_integers_in_steps_are_values_of_a_grid(argv: list[str]) -> None:
    words = [*without("train.epochs=4", argv), "--sampler", "grid", "--search", "train.epochs=10..20:step=5"]
    plan = plan_new(request_of(parse(words)), "python -m search.run")
    assert [each.train.epochs for each in plan.recipes] == [10, 15, 20]


def test_a_field_that_only_some_optimizers_have_is_combined_with_these(planned: Planned) -> None:
    words = ["--search", "optimizer.name=adamw,ranger21", "--search", "optimizer.weight_decay=0.01,0.1"]
    assert len(planned("--sampler", "grid", *words).recipes) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- [", r": expected YAML: line \d"),
        ("a: 1", r": expected a list of recipes, each with its differences from the preset, such as - \{name: deep, "),
        ("[]", r": expected a list of recipes, .*; got '\[\]'$"),
        ("", r": expected a list of recipes, .*; got 'None'$"),
    ],
)
def test_files_in_another_form_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipes.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^--recipes {path}{message}"):
        read_recipes(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=rf"^--recipes {tmp_path}/absent.yaml: no such file; expected a list"):
        read_recipes(f"{tmp_path}/absent.yaml")
    assert read_recipes(None) is None


def without(setting: str, argv: list[str]) -> list[str]:
    place = argv.index(setting)
    return [*argv[: place - 1], *argv[place + 1 :]]


def test_the_batches_of_every_recipe_are_checked(argv: list[str]) -> None:
    words = without("train.batch_size=8", argv)
    recipes = "[{train.batch_size: 8}, {train.batch_size: 1}]"
    with pytest.raises(UserError, match=r"^train.batch_size: 1 leaves a batch of one image"):
        plan_new(request_of(parse([*words, "--recipes", recipes])), "python -m search.run")


def test_the_cost_is_that_of_all_recipes_folds_and_seeds(argv: list[str]) -> None:
    words = without("train.epochs=4", argv)
    recipes = "[{train.epochs: 10}, {train.epochs: 20, name: long}, {train.epochs: 10, model.depth: 50}]"
    plan = plan_new(request_of(parse([*words, "--recipes", recipes, "--repeats", "2"])), "python -m search.run")
    assert num_timed(plan) == 2
    num_images = len(plan.catalog.table)
    lines = list(describe_cost(plan, RecipeTimes(seconds=[30.0, 30.0, 120.0], device="cpu (x)", num_devices=1)))
    assert lines[0] == "cost: 3 recipes x 2 folds x 3 seeds (--repeats 2) = 18 trainings, on cpu (x)"
    # Each image is trained on in one of two folds; 3 seeds.
    hours = [3 * num_images * 30.0 * each / 3600 for each in (10, 20, 40)]
    assert [line.split(": ")[-1] for line in lines[1:4]] == [f"{each:.1f} device hours" for each in hours]
    assert lines[2].startswith("  long: ")
    assert lines[4].startswith(f"all trials: {sum(hours):.1f} device hours with all seeds; wall time on this ")
    estimate = Estimate.read("\n".join(lines))
    assert estimate is not None
    assert estimate.hours == pytest.approx(sum(hours), abs=0.06)
    assert lines[-1].endswith(" of the slowest recipe")


def test_a_recipe_that_does_not_fit_and_a_budget_are_said(planned: Planned) -> None:
    plan = planned("--recipes", "[{}, {model.depth: 152}]", "--budget-hours", "0.01")
    text = "\n".join(describe_cost(plan, RecipeTimes(seconds=[30.0, None], device="cpu", num_devices=1)))
    assert "out of memory with its batch size; it would fail" in text
    assert "it ends earlier, before all recipes have run, after 1 device minute (--budget-hours)" in text
    neither = list(describe_cost(plan, RecipeTimes(seconds=[None, None], device="cpu", num_devices=1)))
    assert len(neither) == 3


EXAMPLE = ROOT / "examples" / "course.yaml"


def test_the_example_of_the_page_is_the_courses_table(planned: Planned) -> None:
    page = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    assert "--recipes examples/course.yaml" in page
    lines = [line for line in EXAMPLE.read_text().splitlines() if not line.startswith("#")]
    block = page.partition("## Comparisons\n")[2].partition("```yaml\n")[2].partition("```")[0]
    assert block.splitlines() == lines
    plan = planned("--recipes", str(EXAMPLE))
    found: dict[str, Any] = {each["name"]: recipe for each, recipe in zip(plan.info.recipes, plan.recipes, strict=True)}
    assert [each.model.depth for each in plan.recipes] == [18, 18, 50, 50, 152, 152]
    for name, recipe in found.items():
        probabilities = {getattr(recipe.augment, transformation) for transformation in TRANSFORMATIONS}
        assert (probabilities == {0.0}) == name.endswith("no augmentation"), name
        assert name.startswith(f"ResNet-{recipe.model.depth}, ")
