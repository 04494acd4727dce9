"""Names of images and patients leave the machine only on request; row numbers take their place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import helpers.tracked
import pandas as pd
import pytest
from helpers.studies import change_info
from helpers.tracked import begin, end, folders, make_study, run_trial
from helpers.wandb_server import WandbServer

from leukemia.data.folds import Fold, Splits
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.tracking.__main__ import main
from leukemia.tracking.final_upload import track_final
from leukemia.tracking.names import remembered, table
from leukemia.tracking.publish import publish
from leukemia.tracking.server import runs_of
from leukemia.tracking.tracker import NoTracker, WandbTracker, make_tracker
from search.launch.arguments import parse, request_of

EXAMPLE = Path(__file__).parents[1] / "example_study"
TABLE = pd.DataFrame(
    {
        "image_id": ["ward-nine/Jane Doe.bmp", "ward-nine/Bob Roe.bmp"],
        "subject": ["patient-Doe", "patient-Roe"],
        "group": ["patient-Doe", "patient-Roe"],
        "label": [1, 0],
    }
)
NAMES = ("ward-nine", "Jane Doe", "Bob Roe", "patient-Doe", "patient-Roe")
FAILURE = "OSError: ward-nine/Jane Doe.bmp is damaged (images.py, line 3)"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study with names in its predictions, in a failure, in its splits and in its report."""
    monkeypatch.setattr(helpers.tracked, "TABLE", TABLE)
    images = tuple(TABLE["image_id"])
    splits = Splits(protocol="grouped", seed=0, fingerprint="f" * 64, folds=(Fold(training=images, validation=images),))
    study = change_info(make_study(tmp_path / "my-study"), splits_sha256=splits.sha256())
    splits.save(study.folder / layout.SPLITS)
    (study.folder / layout.REPORT).write_text(FAILURE)
    return study


@pytest.fixture
def delivered(tmp_path: Path) -> Study:
    """The example study, with a delivered model."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "runs" / "example")
    shutil.copy(folder / layout.trial(0) / layout.EPOCHS, folder / layout.FINAL / layout.EPOCHS)
    return Study.open(folder)


def run_all(study: Study, tracker: WandbTracker | NoTracker) -> None:
    run_trial(study, tracker, 0)
    begin(study, tracker, 1)
    end(study, tracker, 1, "failed", FAILURE, None)


def sent(server: WandbServer) -> str:
    """Everything that the server has received."""
    parts = [json.dumps(request.variables) for request in server.requests]
    for run in server.runs.values():
        parts += [line for stream in run.streams for line in run.lines(stream)]
    files = [
        content for owner in (*server.runs.values(), *server.artifacts.values()) for content in owner.files.items()
    ]
    return "\n".join([*parts, *(f"{name}\n{content.decode(errors='replace')}" for name, content in files)])


def named(text: str) -> list[str]:
    return [name for name in NAMES if name in text]


def test_names_are_not_sent_unless_wanted(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    run_all(study, tracker)
    tracker.close(finished=True)
    assert named(sent(wandb_server)) == []
    assert wandb_server.runs["c0ffee00-0001"].summary["reason"] == "OSError"
    assert wandb_server.runs["c0ffee00-0000"].summary["reason"] == "all 2 folds"
    (rows,) = [
        json.loads(content)
        for name, content in wandb_server.runs["c0ffee00-0000"].files.items()
        if name.startswith("media/table/out_of_fold")
    ]
    assert rows["columns"] == ["row", "label", "probability_leukemic", "fold", "predicted"]
    assert [(row[0], row[3]) for row in rows["data"]] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_local_runs_have_no_names_either(study: Study, fresh_wandb: None) -> None:
    """``wandb sync`` would send them."""
    tracker = WandbTracker(study, mode="offline")
    run_all(study, tracker)
    tracker.close(finished=True)
    texts = [path.read_bytes().decode(errors="replace") for path in study.folder.glob("wandb/**/*") if path.is_file()]
    assert len(folders(study)) == 2
    assert named("\n".join(texts)) == []


def test_wanted_names_are_sent_and_the_wish_is_remembered(study: Study, wandb_server: WandbServer) -> None:
    run_all(study, NoTracker())
    publish = ["publish", study.name, "--runs", str(study.folder.parent)]
    assert main([*publish, "--wandb-ids"]) == 0
    assert Study.open(study.folder).info.wandb_ids
    assert named(sent(wandb_server)) == list(NAMES)
    assert wandb_server.runs["c0ffee00-0001"].summary["reason"] == FAILURE
    assert main([*publish, "--no-wandb-ids"]) == 0
    assert "wandb_ids" not in json.loads((study.folder / layout.STUDY).read_text())


def columns(server: WandbServer, run: str, table: str) -> list[str]:
    """The columns of the table that the run's summary shows."""
    found = server.runs[run]
    return json.loads(found.files[found.summary[table]["path"]])["columns"]


def test_tables_that_were_sent_are_sent_again_if_the_option_changes(
    study: Study, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run_all(study, NoTracker())
    publish = ["publish", study.name, "--runs", str(study.folder.parent)]
    seen = []
    for option in ([], ["--wandb-ids"], ["--no-wandb-ids"]):
        assert main([*publish, *option]) == 0
        trial, search = (wandb_server.runs[f"c0ffee00-{name}"] for name in ("0000", "search"))
        steps = [row["_step"] for run in (trial, search) for row in run.history]
        assert steps == [*range(7), 0, 2, 3]
        reasons = json.loads(search.files[search.summary["trials"]["path"]])
        reason = reasons["data"][-1][reasons["columns"].index("reason")]
        seen.append(("subject" in columns(wandb_server, "c0ffee00-0000", "out_of_fold"), reason == FAILURE))
        note = "W&B: 2 runs have names of images and patients from an earlier upload; their tables are sent again "
        assert (note in capsys.readouterr().out) == (option == ["--no-wandb-ids"])
    assert seen == [(False, False), (True, True), (False, False)]
    assert runs_of(study.name)["c0ffee00-0001"].with_names is None


def test_tables_with_names_are_not_sent_again_without_need(study: Study, wandb_server: WandbServer) -> None:
    run_all(study, NoTracker())
    for _ in range(2):
        publish(remembered(study, True), lambda line: None)
    assert len([name for name in wandb_server.artifacts if name.startswith("run-c0ffee00-0000-out_of_fold")]) == 1


def test_a_server_that_cannot_tell_whether_tables_have_names(study: Study, wandb_server: WandbServer) -> None:
    run_all(study, NoTracker())
    wandb_server.fault_at, wandb_server.fault = "RunsOfGroup", "400"
    lines: list[str] = []
    publish(remembered(study, True), lines.append)
    assert lines[0].startswith("W&B: the server cannot tell which tables were sent without names, and these stay so; ")


def test_files_of_a_delivered_model_have_row_numbers(delivered: Study, wandb_server: WandbServer) -> None:
    assert main(["publish", "example", "--runs", str(delivered.folder.parent)]) == 0
    assert "UID_" not in sent(wandb_server)
    model, trial = (
        wandb_server.artifacts[f"{kind}-e71e6287{end}:v0"] for kind, end in (("model", ""), ("trial", "-0000"))
    )
    assert model.files["predictions.csv"].splitlines()[0] == b"row,label,probability_leukemic,predicted"
    original = pd.read_csv(delivered.folder / layout.FINAL / layout.PREDICTIONS, dtype=str)
    assert model.files["predictions.csv"].splitlines()[1].decode().split(",")[1:] == original.iloc[0, 2:].tolist()
    assert trial.files["fold_0.csv"].splitlines()[0] == b"row,label,probability_leukemic"
    assert {"recipe.json", "fold_0.json", "fold_1.json", "fold_1.csv"} <= trial.files.keys()
    assert (delivered.folder / layout.FINAL / layout.EPOCHS).read_bytes() == model.files["epochs.csv"]


def test_final_sends_names_only_if_wanted(delivered: Study, wandb_server: WandbServer) -> None:
    assert track_final(delivered, layout.FINAL).startswith("W&B: model and run uploaded")
    assert "UID_" not in sent(wandb_server)
    named_study = remembered(delivered, True)
    assert track_final(named_study, layout.FINAL).startswith("W&B: model and run uploaded")
    assert "UID_" in sent(wandb_server)
    assert Study.open(delivered.folder).info.wandb_ids


def test_remembering_keeps_what_another_process_has_changed(study: Study) -> None:
    assert study.info.trials == 1
    change_info(study, trials=7)
    assert remembered(study, True).info.trials == Study.open(study.folder).info.trials == 7


def test_rows_point_into_the_file_with_the_names(study: Study) -> None:
    run_trial(study, NoTracker(), 0)
    numbered = table(study, study.out_of_fold(0, 0))
    for fold, row, label in zip(numbered["fold"], numbered["row"], numbered["label"], strict=True):
        local = pd.read_csv(study.seed_folder(0, 0) / layout.predictions(fold))
        assert local["label"][row] == label


@pytest.mark.parametrize(("flags", "given"), [([], {}), (["--wandb-ids"], {"wandb_ids": True})])
def test_search_passes_the_option_on(flags: list[str], given: dict[str, bool]) -> None:
    assert request_of(parse(flags)).given == given


def test_program_and_script_are_not_sent(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(study)
    tracker.close(finished=True)
    openings = [request for request in wandb_server.requests if request.operation == "UpsertBucket"]
    assert openings
    assert not [request for request in openings if request.variables.get("program")]
