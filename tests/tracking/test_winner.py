"""W&B ranks the trials as ``best.json`` does, and the winner's run has a tag."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.wandb_server import WandbServer
from helpers.worlds import World

from leukemia.data.catalog import Catalog
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.table import trial_table
from leukemia.tracking.publish import publish
from leukemia.tracking.tracker import make_tracker
from search.trials.outcome import write_best


def search(folder: Path, catalog: Catalog, trials: int, *, mode: str = "online", repeats: int = 0) -> Study:
    """A search from start to end, or resumed with more trials; trial 0 is bad, its repeats are not."""
    world = World(folder, catalog, trials=trials, repeats=repeats, racing=True, fates={0: "worse"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", mode)
        tracker, _ = make_tracker(world.study)
    world.listeners.append(tracker)
    driver = world.run()
    write_best(world.study, catalog, world.splits, driver.progress)
    tracker.close(finished=True)
    return world.study


def scores(server: WandbServer) -> dict[str, float]:
    """The score of each complete trial, as the sweep page ranks them."""
    found = {name[-4:]: run.summary.get("tta_accuracy") for name, run in server.runs.items() if run.job_type == "trial"}
    return {trial: score for trial, score in found.items() if score is not None}


def tagged(server: WandbServer) -> list[str]:
    return [name[-4:] for name, run in server.runs.items() if "winner" in run.tags]


def test_repeated_trials_have_the_mean_over_their_seeds(
    tmp_path: Path, tiny_catalog: Catalog, wandb_server: WandbServer
) -> None:
    study = search(tmp_path / "study", tiny_catalog, 3, repeats=1)
    best, table = Best.of(study), trial_table(study)
    repeated = table[table["seeds"] > 1]["trial"].tolist()
    assert {best.trial, "0000"} <= set(repeated)
    complete = table[table["state"] == "complete"]
    assert scores(wandb_server) == dict(zip(complete["trial"], complete["score"], strict=True))
    assert max(scores(wandb_server), key=scores(wandb_server).__getitem__) == best.trial
    summary = wandb_server.runs[f"{study.info.study_uid}-{best.trial}"].summary
    assert summary["tta_accuracy"] == best.score.raw
    assert (summary["tta_accuracy_low"], summary["tta_accuracy_high"]) == (
        best.score.pooled.low,
        best.score.pooled.high,
    )
    assert (summary["seeds"], tagged(wandb_server)) == (2, [best.trial])
    end = study.end(0)
    assert end is not None
    start = wandb_server.runs[f"{study.info.study_uid}-0000"].summary
    assert start["tta_accuracy"] > start["tta_accuracy_first_seed"] == end.score


def test_tag_moves_to_the_new_winner(tmp_path: Path, tiny_catalog: Catalog, wandb_server: WandbServer) -> None:
    search(tmp_path / "study", tiny_catalog, 1)
    assert tagged(wandb_server) == ["0000"]
    study = search(tmp_path / "study", tiny_catalog, 2)
    assert tagged(wandb_server) == ["0001"] == [Best.of(study).trial]
    assert wandb_server.unknown == []


def test_publish_moves_the_tag(tmp_path: Path, tiny_catalog: Catalog, wandb_server: WandbServer) -> None:
    study = search(tmp_path / "study", tiny_catalog, 1)
    search(tmp_path / "study", tiny_catalog, 2, mode="offline", repeats=1)
    assert tagged(wandb_server) == ["0000"]
    publish(study, lambda message: None)
    best = Best.of(study)
    assert tagged(wandb_server) == [best.trial] != ["0000"]
    assert scores(wandb_server)[best.trial] == best.score.raw
