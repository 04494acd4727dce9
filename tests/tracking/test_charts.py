"""What W&B draws by itself: few panels, the folds of a trial in one, nested configs that match the sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.studies import change_info
from helpers.tracked import INFO, RECIPE, REPORTS, begin, make_study, run_trial, write
from helpers.wandb_records import Run
from helpers.wandb_server import WandbServer

from leukemia.base.files import write_json
from leukemia.config.fields import nested
from leukemia.study import layout
from leukemia.study.comparison import COLUMNS
from leukemia.study.folder import Study
from leukemia.study.importances import MIN_TRIALS
from leukemia.tracking import client
from leukemia.tracking.charts import CURVES
from leukemia.tracking.client import RunSpec
from leukemia.tracking.publish import publish
from leukemia.tracking.tracker import NoTracker, make_tracker
from leukemia.tracking.trial_run import SERIES

NAME, HIDDEN = "1", 2
"""Keys of a metric's definition in a run's config, and a value of its options, by W&B's protocol."""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def hidden(run: Run) -> set[str]:
    """Names of metrics without a panel."""
    return {metric[NAME] for metric in run.client_config["m"] if HIDDEN in metric["6"]}


def tables(run: Run, chart: str) -> list[dict[str, Any]]:
    """All versions of a chart's table, the shortest first."""
    start = f"media/table/Custom Chart Tables/{chart}_table_"
    found = [json.loads(content) for name, content in run.files.items() if name.startswith(start)]
    return sorted(found, key=lambda table: len(table["data"]))


def test_folds_of_a_trial_share_one_chart_per_value(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    run = wandb_server.runs["c0ffee00-0000"]
    assert {f"curves/{name}" for name in CURVES} <= run.client_config["visualize"].keys()
    first, last = tables(run, "curves/validation_accuracy")
    assert first["data"] == [[epoch, "fold 1", 2 / 3] for epoch in (1, 2)], "drawn after each fold"
    assert last["data"] == [[epoch, f"fold {fold}", 2 / 3] for fold in (1, 2) for epoch in (1, 2)]
    assert hidden(run) == {"epoch", "fold/number", *(f"fold_{fold}/{name}" for fold in (0, 1) for name in SERIES)}


def test_values_of_the_fold_that_runs_have_panels(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    begin(study, tracker, 0)
    for report in REPORTS[:4]:
        write(study, tracker, 0, report)
    tracker.close(finished=False)
    assert hidden(wandb_server.runs["c0ffee00-0000"]) == {
        "epoch",
        "fold/number",
        *(f"fold_0/{name}" for name in SERIES),
    }


def test_importances_are_one_chart(study: Study, wandb_server: WandbServer) -> None:
    for number in range(MIN_TRIALS):
        run_trial(study, NoTracker(), number)
    importances = {"model.depth": 0.3, "augment.blur": 0.7}
    write_json(study.folder / layout.HINDSIGHT, {"lines": [], "importances": importances})
    publish(study, lambda message: None)
    run = wandb_server.runs["c0ffee00-search"]
    (table,) = tables(run, "importances")
    assert table["data"] == [["augment.blur", 0.7], ["model.depth", 0.3]]
    assert not [key for row in run.history for key in row if key.startswith("importance/")]
    assert hidden(run) == {"search/ended", "search/trial"}


def test_without_importances_there_is_no_chart(study: Study, wandb_server: WandbServer) -> None:
    run_trial(study, NoTracker(), 0)
    write_json(study.folder / layout.HINDSIGHT, {"lines": [], "importances": {}})
    publish(study, lambda message: None)
    assert "visualize" not in wandb_server.runs["c0ffee00-search"].client_config


def test_no_key_of_a_config_contains_dots(study: Study, wandb_server: WandbServer) -> None:
    """W&B's API cannot filter by them."""
    study = change_info(study, settings={"train.epochs": 2})
    run_trial(study, NoTracker(), 0)
    publish(study, lambda message: None)
    ((_, sweep),) = wandb_server.sweeps.items()
    configs = [run.config for run in wandb_server.runs.values()] + [sweep.config["parameters"]]
    assert not [key for config in configs for key in keys_of(config) if "." in key]
    assert wandb_server.runs["c0ffee00-search"].config["search"]["settings"] == {"train": {"epochs": 2}}
    assert wandb_server.runs["c0ffee00-search"].config["search"]["space"]["model"] == {"depth": {"choices": [18, 50]}}
    assert wandb_server.unknown == []


def test_a_comparison_has_its_recipes_in_the_config_and_a_table(study: Study, wandb_server: WandbServer) -> None:
    recipes: list[dict[str, Any]] = [{"name": "plain", "augment.blur": 0.0}, {"model.depth": 50}]
    study = change_info(study, sampler="grid", recipes=recipes)
    for number in range(2):
        run_trial(study, NoTracker(), number)
    publish(study, lambda message: None)
    run = wandb_server.runs["c0ffee00-search"]
    assert run.config["search"]["sampler"] == "grid"
    assert run.config["search"]["recipes"] == [{"name": "plain", "augment": {"blur": 0.0}}, {"model": {"depth": 50}}]
    (table,) = (json.loads(each) for name, each in run.files.items() if name.startswith("media/table/comparison_"))
    assert table["columns"] == list(COLUMNS)
    assert [row[:2] for row in table["data"]] == [["plain", "0000"], [RECIPE.describe_fields(INFO.space), "0001"]]
    assert [row[COLUMNS.index("difference")] for row in table["data"]] == [None, 0.0]
    assert wandb_server.unknown == []


def keys_of(config: dict[str, Any]) -> list[str]:
    nested = [keys_of(value) for value in config.values() if isinstance(value, dict)]
    return [*config, *(key for keys in nested for key in keys)]


def test_run_of_an_earlier_version_is_continued(study: Study, wandb_server: WandbServer) -> None:
    """Its config has dotted keys, which stay."""
    identity, name, group = f"{INFO.study_uid}-0000", "my-study-0000", "my-study"
    spec = RunSpec(
        id=identity, name=name, group=group, job_type="trial", folder=study.folder, config=RECIPE.flat(), tags=()
    )
    run = client.open_run(spec, "online")
    run.log({"fold_0/train_loss": 0.5, "epoch": 1}, step=0)
    run.finish(exit_code=130)
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    found = wandb_server.runs[identity]
    assert (found.complete, found.num_inits, found.summary["state"]) == (True, 2, "complete")
    assert found.config.items() >= (RECIPE.flat() | nested(RECIPE.flat())).items()
    assert [row["_step"] for row in found.history] == list(range(7))
