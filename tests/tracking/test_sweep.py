"""The sweep page: made once, with the space that the runs' config is searched in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from helpers.tracked import INFO, make_study, run_trial
from helpers.wandb_server import KEY, WandbServer

from leukemia.base.errors import UserError
from leukemia.base.files import write_json
from leukemia.study.folder import Study
from leukemia.tracking import client, sweep
from leukemia.tracking.publish import publish
from leukemia.tracking.sweep import known_sweep, make_sweep, sweep_config
from leukemia.tracking.tracker import NoTracker, make_tracker


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def test_the_space_in_the_sweeps_words() -> None:
    config = sweep_config("study", "tta_auroc,cost", INFO.space, "custom")
    assert config["metric"] == {"name": "tta_auroc", "goal": "maximize"}
    assert config["method"] == "custom"
    assert config["parameters"] == {
        "model.depth": {"values": [18, 50]},
        "optimizer.learning_rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "augment.blur": {"distribution": "uniform", "min": 0.0, "max": 0.5},
    }


def test_a_search_has_a_sweep_and_every_trial_belongs_to_it(study: Study, wandb_server: WandbServer) -> None:
    tracker, words = make_tracker(study)
    for number in range(2):
        run_trial(study, tracker, number)
    last = tracker.close(finished=True)
    ((identity, sweep),) = wandb_server.sweeps.items()
    assert (sweep.config["name"], sweep.config["method"]) == ("my-study", "custom")
    assert words == last == f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/{identity}"
    runs = {name: run.sweep for name, run in wandb_server.runs.items()}
    assert runs == {"c0ffee00-0000": identity, "c0ffee00-0001": identity, "c0ffee00-search": None}
    assert sweep.config["parameters"].keys() <= wandb_server.runs["c0ffee00-0000"].config.keys()
    assert wandb_server.unknown == []


def test_a_sweep_is_made_once(study: Study, wandb_server: WandbServer) -> None:
    first = make_sweep(study)
    assert make_sweep(study) == first == known_sweep(study)
    assert len(wandb_server.sweeps) == 1


def test_another_server_has_another_sweep(study: Study, wandb_server: WandbServer) -> None:
    write_json(
        study.folder / "sweep.json",
        {"id": "elsewhere", "server": "https://wandb.example", "project": "leukemia-search", "url": "x"},
    )
    assert known_sweep(study) is None
    assert make_sweep(study).id in wandb_server.sweeps


def test_a_damaged_file_is_named(study: Study) -> None:
    (study.folder / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match=r"sweep\.json: .*'id'"):
        known_sweep(study)


def test_where_the_server_knows_no_custom_sweeps_the_nearest_is_taken(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    created, tried = client.create_sweep, []

    def choosy(config: dict[str, str], entity: str, runs: list[str]) -> str:
        tried.append(config["method"])
        if config["method"] == "custom":
            raise ValueError("unknown method")
        return created(config, entity, runs)

    monkeypatch.setattr(client, "create_sweep", choosy)
    assert wandb_server.sweeps[make_sweep(study).id].config["method"] == "random"
    assert tried == ["custom", "random"]


def test_without_a_sweep_the_runs_go_online_all_the_same(study: Study, wandb_server: WandbServer) -> None:
    wandb_server.fault_at, wandb_server.fault = "UpsertSweep", "401"
    tracker, words = make_tracker(study)
    assert words.startswith("W&B: online, project leukemia-search, group my-study; no sweep page (")
    assert KEY not in words
    run_trial(study, tracker, 0)
    words = tracker.close(finished=True)
    assert words.startswith("W&B: all sent, but there is no sweep page; this sends it: python -m leukemia.tracking")
    assert wandb_server.runs["c0ffee00-0000"].complete


def test_making_a_sweep_prints_nothing_and_leaves_no_variable(
    study: Study, wandb_server: WandbServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    make_sweep(study)
    assert capfd.readouterr() == ("", "")
    assert "WANDB_PROJECT" not in os.environ


@pytest.mark.parametrize("fault_at", ["UpsertSweep", "GetDefaultEntity"])
def test_a_server_that_hangs_holds_nobody_up_and_publishing_makes_the_one_sweep(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, fault_at: str
) -> None:
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", 1.0)
    wandb_server.fault_at, wandb_server.fault = fault_at, "hang"
    tracker, words = make_tracker(study)
    assert words == "W&B: online, project leukemia-search, group my-study; no sweep page (no answer in 1 s)"
    wandb_server.fault = None
    run_trial(study, tracker, 0)
    assert "all sent, but there is no sweep page; this sends it: " in tracker.close(finished=True)
    said: list[str] = []
    publish(study, said.append)
    assert [made.prior_runs for made in wandb_server.sweeps.values()] == [["c0ffee00-0000"]]
    assert said[-1].startswith(f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/")


def test_a_sweep_is_remembered_before_anything_else_is_asked(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever hangs after it is there, publishing finds it."""
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", 1.0)
    created = client.create_sweep

    def then_hangs(*arguments: Any) -> str:
        made = created(*arguments)
        wandb_server.fault = "hang"
        return made

    monkeypatch.setattr(client, "create_sweep", then_hangs)
    made = make_sweep(study)
    wandb_server.fault = None
    assert [made.id] == list(wandb_server.sweeps)
    assert known_sweep(study) == made


def test_a_sweep_that_was_removed_is_made_anew(study: Study, wandb_server: WandbServer) -> None:
    run_trial(study, NoTracker(), 0)
    publish(study, lambda words: None)
    wandb_server.sweeps.clear()
    said: list[str] = []
    publish(study, said.append)
    assert said[0].startswith("W&B: the study's earlier sweep was removed, or is another project's or server's; a new")
    ((identity, made),) = wandb_server.sweeps.items()
    assert said[-1].endswith(f"/sweeps/{identity}")
    assert made.prior_runs == ["c0ffee00-0000"]
    assert wandb_server.unknown == []


def test_another_entity_has_another_sweep(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_sweep(study)
    monkeypatch.setenv("WANDB_ENTITY", "team")
    assert known_sweep(study) is None
    second = make_sweep(study)
    assert second.url == f"{wandb_server.url}/team/leukemia-search/sweeps/{second.id}"
    assert {name: made.entity for name, made in wandb_server.sweeps.items()} == {
        first.id: "lab",
        second.id: "team",
    }
