"""The sweep: created once, with the search space of the runs' config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import wandb
from helpers.tracked import INFO, make_study, run_trial
from helpers.wandb_server import KEY, WandbServer

from leukemia.base.errors import UserError
from leukemia.base.files import write_json
from leukemia.config.parameters import flattened
from leukemia.study.folder import Study
from leukemia.tracking import client, sweep
from leukemia.tracking.publish import publish
from leukemia.tracking.sweep import existing_sweep, make_sweep, sweep_config
from leukemia.tracking.tracker import NoTracker, make_tracker


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def test_search_space_as_a_sweep_config() -> None:
    config = sweep_config("study", "tta_auroc,cost", INFO.space, "custom")
    assert config["metric"] == {"name": "tta_auroc", "goal": "maximize"}
    assert config["method"] == "custom"
    assert config["parameters"] == {
        "model": {"parameters": {"depth": {"values": [18, 50]}}},
        "optimizer": {
            "parameters": {"learning_rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}}
        },
        "augment": {"parameters": {"blur": {"distribution": "uniform", "min": 0.0, "max": 0.5}}},
    }


def test_the_sweep_of_a_comparison_does_not_say_that_recipes_are_proposed() -> None:
    descriptions = [
        sweep_config("study", "tta_auroc", INFO.space, "custom", given=given)["description"] for given in (False, True)
    ]
    assert descriptions == [
        "Proposed by Optuna and run by python -m search.run; agents have nothing to do here.",
        "A comparison of given recipes run by python -m search.run; agents have nothing to do here.",
    ]


def test_the_sweep_has_integers_and_only_keys_of_wandb() -> None:
    space = {
        "train.epochs": {"low": 10, "high": 40, "log": False, "step": 5, "reason": "time"},
        "train.batch_size": {"low": 8, "high": 64, "log": True, "step": 1},
        "optimizer.weight_decay": {"choices": [0.0, 0.1], "optimizers": ["adamw"], "reason": "time"},
    }
    config = sweep_config("study", "tta_accuracy", space, "custom")
    assert flattened(config["parameters"]) == {
        "train.epochs": {"distribution": "q_uniform", "min": 10, "max": 40, "q": 5},
        "train.batch_size": {"distribution": "q_log_uniform_values", "min": 8, "max": 64, "q": 1},
        "optimizer.weight_decay": {"values": [0.0, 0.1]},
    }


def test_search_has_a_sweep_with_all_trials(study: Study, wandb_server: WandbServer) -> None:
    tracker, message = make_tracker(study)
    for number in range(2):
        run_trial(study, tracker, number)
    last = tracker.close(finished=True)
    ((identity, sweep),) = wandb_server.sweeps.items()
    assert (sweep.config["name"], sweep.config["method"]) == ("my-study", "custom")
    assert message == last == f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/{identity}"
    runs = {name: run.sweep for name, run in wandb_server.runs.items()}
    assert runs == {"c0ffee00-0000": identity, "c0ffee00-0001": identity, "c0ffee00-search": None}
    config = wandb_server.runs["c0ffee00-0000"].config
    for section, nested in sweep.config["parameters"].items():
        assert nested["parameters"].keys() <= config[section].keys()
    assert wandb_server.unknown == []


def test_sweep_is_created_once(study: Study, wandb_server: WandbServer) -> None:
    first = make_sweep(study)
    assert make_sweep(study) == first == existing_sweep(study)
    assert len(wandb_server.sweeps) == 1


def test_another_server_has_another_sweep(study: Study, wandb_server: WandbServer) -> None:
    write_json(
        study.folder / "sweep.json",
        {"id": "elsewhere", "server": "https://wandb.example", "project": "leukemia-search", "url": "x"},
    )
    assert existing_sweep(study) is None
    assert make_sweep(study).id in wandb_server.sweeps


def test_damaged_file_is_reported(study: Study) -> None:
    (study.folder / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match=r"sweep\.json: .*'id'"):
        existing_sweep(study)


def test_sweep_is_random_if_the_server_rejects_custom(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    created, tried = client.create_sweep, []

    def reject_custom(config: dict[str, str], entity: str, runs: list[str]) -> str:
        tried.append(config["method"])
        if config["method"] == "custom":
            raise ValueError("unknown method")
        return created(config, entity, runs)

    monkeypatch.setattr(client, "create_sweep", reject_custom)
    assert wandb_server.sweeps[make_sweep(study).id].config["method"] == "random"
    assert tried == ["custom", "random"]


def test_runs_are_online_without_a_sweep(study: Study, wandb_server: WandbServer) -> None:
    wandb_server.fault_at, wandb_server.fault = "UpsertSweep", "401"
    tracker, message = make_tracker(study)
    assert message.startswith("W&B: online, project leukemia-search, group my-study; no sweep page (")
    assert KEY not in message
    run_trial(study, tracker, 0)
    message = tracker.close(finished=True)
    assert message.startswith(
        "W&B: upload complete, but without a sweep page; upload it with: python -m leukemia.tracking"
    )
    assert wandb_server.runs["c0ffee00-0000"].complete


def test_creating_a_sweep_prints_nothing_and_sets_no_variable(
    study: Study, wandb_server: WandbServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    make_sweep(study)
    assert capfd.readouterr() == ("", "")
    assert "WANDB_PROJECT" not in os.environ


@pytest.mark.parametrize("fault_at", ["UpsertSweep", "GetDefaultEntity"])
def test_hanging_server_does_not_block_and_publishing_creates_one_sweep(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, fault_at: str
) -> None:
    monkeypatch.setattr(sweep, "SWEEP_TIMEOUT_SECONDS", 1.0)
    wandb_server.fault_at, wandb_server.fault = fault_at, "hang"
    tracker, message = make_tracker(study)
    assert message == "W&B: online, project leukemia-search, group my-study; no sweep page (no answer in 1 s)"
    wandb_server.fault = None
    run_trial(study, tracker, 0)
    assert "upload complete, but without a sweep page; upload it with: " in tracker.close(finished=True)
    messages: list[str] = []
    publish(study, messages.append)
    assert [made.prior_runs for made in wandb_server.sweeps.values()] == [["c0ffee00-0000"]]
    assert messages[-1].startswith(f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/")


def test_sweep_is_saved_before_any_other_request(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a later request hangs, publishing still finds the sweep."""
    monkeypatch.setattr(sweep, "SWEEP_TIMEOUT_SECONDS", 1.0)
    created = client.create_sweep

    def create_then_hang(*arguments: Any) -> str:
        made = created(*arguments)
        wandb_server.fault = "hang"
        return made

    monkeypatch.setattr(client, "create_sweep", create_then_hang)
    made = make_sweep(study)
    wandb_server.fault = None
    assert [made.id] == list(wandb_server.sweeps)
    assert existing_sweep(study) == made


def test_deleted_sweep_is_created_again(study: Study, wandb_server: WandbServer) -> None:
    run_trial(study, NoTracker(), 0)
    publish(study, lambda message: None)
    wandb_server.sweeps.clear()
    messages: list[str] = []
    publish(study, messages.append)
    assert messages[0].startswith(
        "W&B: the study's sweep was deleted or belongs to another project or server; creating a new"
    )
    ((identity, made),) = wandb_server.sweeps.items()
    assert messages[-1].endswith(f"/sweeps/{identity}")
    assert made.prior_runs == ["c0ffee00-0000"]
    assert wandb_server.unknown == []


def test_another_entity_has_another_sweep(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_sweep(study)
    monkeypatch.setenv("WANDB_ENTITY", "team")
    wandb.teardown()
    assert existing_sweep(study) is None
    second = make_sweep(study)
    assert second.url == f"{wandb_server.url}/team/leukemia-search/sweeps/{second.id}"
    assert {name: made.entity for name, made in wandb_server.sweeps.items()} == {
        first.id: "lab",
        second.id: "team",
    }
