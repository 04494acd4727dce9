"""The user's own space, from the file and the command line to the plan of a new or resumed study."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leukemia.base.errors import MissingFile, UserError
from leukemia.study.folder import Study
from search.launch.arguments import parse, request_of
from search.launch.messages import print_plan
from search.launch.options import Options, arguments_of
from search.planning.estimate import Timing, describe_cost, print_space
from search.planning.own_space import read_wishes
from search.planning.plan import Plan, plan_new
from search.planning.resumption import plan_resumed
from search.policy.wishes import Wish
from search.trials.warmstart import copy_priors

DOTTED = """
program: train.py
method: bayes
metric: {name: val_loss, goal: minimize}
parameters:
  optimizer.learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}
  model.depth: {values: [18, 50]}
  augment.rotate: {min: 0, max: 1}
  train.batch_size: {values: [4, 8]}
  train.epochs: {value: 3}
"""
NESTED = """
parameters:
  optimizer: {parameters: {learning_rate: {distribution: log_uniform_values, min: 0.0001, max: 0.01}}}
  model: {parameters: {depth: {values: [18, 50]}}}
  augment: {parameters: {rotate: {min: 0, max: 1}}}
  train: {parameters: {batch_size: {values: [4, 8]}, epochs: {value: 3}}}
"""

TWO = ("model.depth=18,50", "augment.blur=0..1")

Planned = Callable[..., Plan]


@pytest.fixture
def argv(tmp_path: Path, tiny_folder: Path) -> list[str]:
    data = ["--data", str(tiny_folder), "--runs", str(tmp_path / "runs"), "--study", "one", "--folds", "2"]
    return [*data, "--set", "data.size_px=32"]


@pytest.fixture
def planned(argv: list[str]) -> Planned:
    def plan(*words: str) -> Plan:
        return plan_new(request_of(parse([*argv, *words])), "python -m search.run")

    return plan


@pytest.fixture
def started(planned: Planned) -> Planned:
    """Start a study as the command does."""

    def start(*words: str) -> Plan:
        plan = planned(*words)
        plan.folder.mkdir(parents=True)
        plan.splits.save(plan.folder / "splits.json")
        copy_priors(plan.priors, Study.create(plan.folder, plan.info))
        return plan

    return start


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(DOTTED)
    return path


def printed(plan: Plan) -> str:
    output = io.StringIO()
    console = Console(file=output, width=300)
    print_plan(console, plan)
    print_space(console, plan.space)
    return output.getvalue()


def test_dotted_and_nested_parameters_mean_the_same(tmp_path: Path, file: Path, planned: Planned) -> None:
    nested = tmp_path / "nested.yaml"
    nested.write_text(NESTED)
    one, other = planned("--space", str(file)), planned("--space", str(nested))
    options: Options = {"space": {"parameters": {"train": {"parameters": {"epochs": {"value": 3}}}}}}
    inline = planned(*arguments_of(None, options))
    assert inline.info.settings == {"data.size_px": 32, "train.epochs": 3}
    assert (one.info.settings, one.space.start) == (other.info.settings, other.space.start)
    assert [each.key for each in one.space.dimensions] == [each.key for each in other.space.dimensions]
    assert one.info.settings == {"data.size_px": 32, "train.epochs": 3}
    depth = one.info.asked["parameters"]["model"]["parameters"]["depth"]
    assert depth == {"values": [18, 50], "reason": f"asked for by the user (--space {file})"}


def test_the_plan_says_what_was_asked_and_what_has_no_effect(file: Path, planned: Planned) -> None:
    plan = planned("--space", str(file), "--search", "augment.cutout=0..0.25", "--set", "augment.noise=0.125")
    lines = printed(plan).splitlines()
    assert any(line.startswith("space: ") and "(5 of them as you asked)" in line for line in lines)
    for key in ("program", "method", "metric"):
        assert any(line.startswith(f"note: --space {file}: {key} has no effect: ") for line in lines), key
    assert f"model.depth: 18, 50; asked for by the user (--space {file})" in lines
    assert "augment.cutout: 0 to 0.25; asked for by the user (--search)" in lines
    assert "augment.noise: 0.125 (fixed)" in lines
    moved = "augment.cutout 0.25 instead of 0.5, train.batch_size 8 instead of 32"
    assert f"trial 0 is moved into your space: {moved} of the preset seed" in lines


def test_study_json_has_the_space_in_wandbs_form(file: Path, started: Planned) -> None:
    plan = started("--space", str(file))
    stored = json.loads((plan.folder / "study.json").read_text())
    parameters = stored["space"]["optimizer"]["parameters"]
    assert (
        parameters["learning_rate"].items() >= {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}.items()
    )
    assert parameters["weight_decay"]["optimizers"] == ["adamw"]
    assert all(entry["reason"] for section in stored["space"].values() for entry in section["parameters"].values())
    assert Study.open(plan.folder).info.space == plan.space.describe()
    assert Study.open(plan.folder).info.asked == plan.info.asked
    # Our own output is in the form that is read.
    path = plan.folder.parent / "again.yaml"
    path.write_text(json.dumps(stored["asked"]))
    assert read_wishes(str(path), [])[0] is not None
    assert "asked" not in started("--study", "two").info.to_dict()


def test_a_resumed_study_keeps_its_space_and_refuses_another(
    file: Path, started: Planned, argv: list[str], tmp_path: Path
) -> None:
    plan = started("--space", str(file), "--search", "augment.cutout=0..0.25")
    runs = ["--runs", str(tmp_path / "runs"), "--study", "one", "--resume"]
    again = plan_resumed(request_of(parse(runs)))
    assert again.space == plan.space
    assert again.info.asked == plan.info.asked
    whole = ["--space", str(file), "--search", "augment.cutout=0..0.25"]
    assert plan_resumed(request_of(parse([*runs, *whole]))).space == plan.space
    assert plan_resumed(request_of(parse([*argv, *whole]))).space == plan.space
    moved = tmp_path / "moved.yaml"
    moved.write_text(NESTED)
    assert plan_resumed(request_of(parse([*runs, "--space", str(moved), *whole[2:]]))).info.asked == plan.info.asked
    with pytest.raises(UserError) as refused:
        plan_resumed(request_of(parse([*runs, "--space", str(file), "--search", "augment.cutout=0..0.5"])))
    assert str(refused.value) == (
        "--space, --search: the study was started with another search space; leave them out to resume, or start a new "
        "study:\n  augment.cutout: 0 to 0.25, got 0 to 0.5"
    )
    file.write_text(DOTTED.replace("value: 3", "value: 4"))
    with pytest.raises(UserError, match=r"^--set: the study was started with .*'train.epochs': 3.*'train.epochs': 4"):
        plan_resumed(request_of(parse([*runs, *whole])))


def test_a_study_with_the_built_in_space_refuses_another(started: Planned, tmp_path: Path) -> None:
    started()
    words = ["--runs", str(tmp_path / "runs"), "--study", "one", "--resume", "--search", "model.depth=18,34"]
    with pytest.raises(UserError, match=r"another search space.*\n  model.depth: not named, got 18, 34$"):
        plan_resumed(request_of(parse(words)))


def test_the_cost_counts_the_epochs_of_the_range(planned: Planned) -> None:
    fixed = planned("--preset", "debug")
    searched = planned("--preset", "debug", "--search", "train.epochs=8..24", "--search", "train.batch_size=4,8")
    assert describe_cost(searched, timing(1.0)).splitlines()[0].endswith(" x 8 to 24 epochs (on average 16), on cpu")
    totals = [
        next(line for line in describe_cost(plan, timing(10.0)).splitlines() if line.startswith("all trials: "))
        for plan in (fixed, searched)
    ]
    assert " (timed with batches of 8); wall time" in totals[1]
    costs = [float(line.split()[2]) for line in totals]
    assert costs[1] == pytest.approx(2 * costs[0], rel=0.01)


def timing(seconds: float) -> Timing:
    """Of a machine that trains networks of depth 18 so fast, per image."""
    return Timing(seconds={18: seconds}, device="cpu", num_devices=1)


def test_the_batches_of_the_whole_range_are_checked(planned: Planned) -> None:
    message = r"^train.batch_size: 1 leaves a batch of one image"
    for values in ("8,1", "1..8"):
        with pytest.raises(UserError, match=message):
            planned("--search", f"train.batch_size={values}")
    planned("--search", "train.batch_size=8,4")


def test_a_space_smaller_than_the_number_of_trials_is_said(tmp_path: Path, planned: Planned) -> None:
    path = tmp_path / "small.yaml"
    path.write_text("only: true\nparameters: {model.depth: {values: [18, 34]}, train.epochs: {min: 2, max: 4}}")
    note = "note: the space has at most 6 recipes, and --trials is 7: some are tried again"
    assert note in printed(planned("--space", str(path), "--trials", "7"))
    assert "at most 6 recipes" not in printed(planned("--space", str(path), "--trials", "6"))


def test_what_is_searched_instead_of_a_cycle_is_said(planned: Planned) -> None:
    line = "optimizer.restart_epochs is one cycle over all epochs of a trial, since train.epochs is searched"
    assert line in printed(planned("--search", "train.epochs=4..8"))
    assert line not in printed(planned("--search", "train.batch_size=4,8"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters: [", r": expected YAML: line \d"),
        ("a: 1\na: 2", r": expected YAML: line 2: a is given twice$"),
        ("[1, 2]", r": expected parameters, only, leave, as in a W&B sweep, got '\[1, 2\]'$"),
        ("", r": expected parameters, only, leave, as in a W&B sweep, got 'None'$"),
        ("parameter: {}", r": 'parameter' is not read; expected parameters, only, leave$"),
        ("model.depth: {values: [18]}", r": 'model.depth' is not read; .* \(fields belong below parameters\)$"),
        ("only: 1", r": only: expected true or false, got 1$"),
        ("leave: augment.blur", r": leave: expected a list of fields, got 'augment.blur'$"),
        ("parameters: [a]", r": parameters: expected fields and what to search for each, got \['a'\]$"),
        ("parameters: {1: {value: 2}}", r": parameters: expected fields"),
        (
            "parameters: {model: {parameters: {depth: {value: 18}}}, model.depth: {value: 50}}",
            r": model.depth is given twice, nested and with a dotted name; give it once$",
        ),
    ],
)
def test_files_in_another_form_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"^--space {path}{message}"):
        read_wishes(str(path), [])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=rf"^--space {tmp_path}/absent.yaml: no such file; expected one in the form"):
        read_wishes(f"{tmp_path}/absent.yaml", [])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["model.depth"], r"^--search: expected FIELD=A,B,C, FIELD=LOW..HIGH or .*, got 'model.depth'; for example"),
        (["model.depth="], r"^--search: expected FIELD=A,B,C"),
        (["model.dept=18,50"], r"^--search: unknown recipe field 'model.dept'; did you mean model.depth"),
        (["model.depth=18,49"], r"^--search: model.depth: expected one of 18, 34, 50, 101, 152, got '49'$"),
        (
            ["augment.blur=0..1:linear"],
            r"^--search: augment.blur: expected log or step=N after the colon, got 'linear'$",
        ),
        (["augment.blur=..1"], r"^--search: augment.blur: expected a number, got ''$"),
        (["model.dept=1", "augment.blur=x"], r"^--search has 2 mistakes:\n  --search: unknown.*\n  --search: augment"),
    ],
)
def test_texts_in_another_form_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_wishes(None, texts)


def test_nothing_given_is_nothing_asked() -> None:
    assert read_wishes(None, []) == (None, [])
    wishes, remarks = read_wishes(None, ["model.depth=18,50"])
    assert wishes is not None
    assert wishes.parameters == (Wish(key="model.depth", entry={"values": [18, 50]}, source="--search"),)
    assert remarks == []


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (
            {"model.depth": [18, 50], "augment.blur": "0..1"},
            ["--search=model.depth=18,50", "--search=augment.blur=0..1"],
        ),
        (["model.depth=18,50"], ["--search=model.depth=18,50"]),
        ({"data.grayscale": (True, False)}, ["--search=data.grayscale=True,False"]),
    ],
)
def test_python_has_the_same_options(search: Any, words: list[str], planned: Planned) -> None:
    assert arguments_of(None, {"search": search}) == words
    assert planned(*words).info.asked["parameters"]
