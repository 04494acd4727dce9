"""The sweep page: made once, with the space that the runs' config is searched in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tracked import INFO, make_study, run_trial
from wandb_server import KEY, WandbServer

from leukemia import client
from leukemia.files import write_json
from leukemia.mistakes import Mistake
from leukemia.study import Study
from leukemia.sweep import known_sweep, make_sweep, sweep_config
from leukemia.tracking import make_tracker


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def test_the_space_in_the_sweeps_words() -> None:
    config = sweep_config("study", "tta_auroc,cost", INFO["space"], "custom")  # type: ignore[arg-type]
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
    assert make_sweep(study)["id"] in wandb_server.sweeps


def test_a_damaged_file_is_named(study: Study) -> None:
    (study.folder / "sweep.json").write_text("{}")
    with pytest.raises(Mistake, match=r"sweep\.json: .*'id'"):
        known_sweep(study)


def test_where_the_server_knows_no_custom_sweeps_the_nearest_is_taken(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    created, tried = client.create_sweep, []

    def choosy(config: dict[str, str], runs: list[str]) -> str:
        tried.append(config["method"])
        if config["method"] == "custom":
            raise ValueError("unknown method")
        return created(config, runs)

    monkeypatch.setattr(client, "create_sweep", choosy)
    assert wandb_server.sweeps[make_sweep(study)["id"]].config["method"] == "random"
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
