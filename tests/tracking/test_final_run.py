"""The run of a delivered model has its own trial, its latest test, and no files but those of the study."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import wandb
from helpers.wandb_server import WandbServer
from PIL import Image

from leukemia.base import interrupts
from leukemia.base.errors import UserError
from leukemia.base.record import read_content, write_record
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord
from leukemia.tracking import client
from leukemia.tracking.client import Mode
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.final_upload import track_final
from leukemia.tracking.publish import publish
from leukemia.tracking.trial_run import TrialRun

EXAMPLE = Path(__file__).parents[1] / "example_study"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The example study, with a delivered model."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "runs" / "example")
    shutil.copy(folder / layout.trial(0) / layout.EPOCHS, folder / layout.FINAL / layout.EPOCHS)
    return Study.open(folder)


@pytest.fixture
def final(study: Study) -> Path:
    return study.folder / layout.FINAL


def record_of(final: Path) -> ModelRecord:
    record = ModelRecord.read(final)
    assert record is not None
    return record


def test_run_has_the_trial_of_its_model(study: Study, final: Path, wandb_server: WandbServer) -> None:
    """A resumed search may have another winner than the one that was delivered."""
    written = json.loads((final / layout.MODEL).read_text())
    written.pop("checksum", None)
    write_record(final / layout.MODEL, written | {"trial": "0001"})
    run = FinalRun(study, layout.FINAL)
    run.write("online")
    assert wandb_server.runs[run.id].config["provenance"]["trial_run"] == "e71e6287-0001"
    assert wandb_server.artifacts["model-e71e6287:v0"].metadata["trial"] == "0001"


def test_run_has_the_latest_test_only(study: Study, final: Path, wandb_server: WandbServer) -> None:
    """The second test has no labels, and so neither scores nor a ROC curve."""
    for name in (layout.ROC, layout.CURVES):
        Image.new("RGB", (2, 2)).save(final / name)
    run = FinalRun(study, layout.FINAL)
    run.write("online")
    first = wandb_server.runs[run.id]
    assert {"test/accuracy", "report/roc", "report/curves"} <= first.summary.keys()
    steps = len(first.history)
    (final / layout.ROC).unlink()
    metrics = read_content(final / layout.METRICS)
    write_record(final / layout.METRICS, metrics | {"test": None})
    record_of(final).write(final)
    run.write("online")
    second = wandb_server.runs[run.id]
    assert not [key for key in second.summary if key.startswith(("test/", "report/roc"))]
    assert "out_of_fold/accuracy" in second.summary
    assert "report/curves" in second.history[-1]
    assert len(second.history) == steps + 1


def test_run_says_how_many_test_images_were_left_out(study: Study, final: Path, wandb_server: WandbServer) -> None:
    metrics = read_content(final / layout.METRICS)
    test = metrics["test"] | {"left_out": 6, "left_out_reasons": ["6 of a training subject"]}
    caveat = "6 of 18 test images are left out (--drop-overlap): 6 of a training subject."
    write_record(final / layout.METRICS, metrics | {"test": test, "caveats": [caveat]})
    record_of(final).write(final)
    run = FinalRun(study, layout.FINAL)
    run.write("online")
    summary = wandb_server.runs[run.id].summary
    assert (summary["test/left_out"], summary["caveats"]) == (6, [caveat])


def test_upload_that_did_not_arrive_is_reported(study: Study, wandb_server: WandbServer) -> None:
    """W&B's client closes a run without an error if its key is rejected."""
    wandb_server.fault_at, wandb_server.fault = "/file_stream", "401"
    message = track_final(study, layout.FINAL)
    assert message.startswith("W&B: the model was not uploaded (1 runs did not finish uploading (e71e6287-final-")


def test_model_that_takes_too_long_does_not_hold_up_the_rest(study: Study, wandb_server: WandbServer) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinalRun, "write", Mock(side_effect=TimeoutError("Timed out finishing run.")))
        with pytest.raises(UserError, match=r"W&B: Timed out finishing run\.; the upload is incomplete\. Try again"):
            publish(study, lambda line: None)
    assert wandb_server.runs["e71e6287-search"].complete
    assert [sweep.state for sweep in wandb_server.sweeps.values()] == ["FINISHED"]
    publish(study, lambda line: None)
    assert wandb_server.artifacts["model-e71e6287:v0"].state == "COMMITTED"


def test_interrupted_upload_says_how_to_continue(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(run: FinalRun, mode: str) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
        return ""

    expected = r"^the model is complete; upload it with: python -m leukemia\.tracking publish example --runs /"
    monkeypatch.setattr(FinalRun, "write", interrupt)
    with pytest.raises(interrupts.Interrupted, match=expected):
        track_final(study, layout.FINAL)


def test_deleted_run_of_a_model_is_left_out(study: Study, wandb_server: WandbServer) -> None:
    wandb_server.delete_run(FinalRun(study, layout.FINAL).id)
    publish(study, lambda line: None)
    assert wandb_server.runs["e71e6287-search"].complete
    client.end_client()
    assert track_final(study, layout.FINAL).startswith(
        "W&B: the model was not uploaded (its run was deleted on the server); "
    )


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_no_copies_are_left_in_the_home_directory(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: Mode
) -> None:
    """Of models, and of tables, which may have names."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.delenv(name)
    record = record_of(study.folder / layout.FINAL)
    (study.folder / layout.FINAL / layout.WEIGHTS).write_bytes(b"1" * 54_321)
    record.write(study.folder / layout.FINAL)
    FinalRun(study, layout.FINAL).write(mode)
    run = TrialRun(study, 0, study.recipe(0), lambda: None)
    run.open(mode, None)
    run.close("complete", "all folds", None)
    assert not (tmp_path / "home").exists()
    copies = Path(os.environ["WANDB_DATA_DIR"]).parent
    found = [path for path in copies.rglob("*") if path.is_file()]
    assert found
    assert 54_321 not in [path.stat().st_size for path in found]
    ended = subprocess.run(
        [sys.executable, "-c", "from leukemia.tracking import settings as s; s.resolved(); print(s._copies().name)"],
        env={name: value for name, value in os.environ.items() if not name.startswith("WANDB_")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not Path(ended.stdout.strip()).exists(), "removed when the process ends"


def test_time_to_upload_a_model_depends_on_its_size(
    study: Study, final: Path, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Mock(wraps=wandb.init)
    monkeypatch.setattr(wandb, "init", opened)
    FinalRun(study, layout.FINAL).write("upload")
    size = sum(path.stat().st_size for path in final.iterdir() if path.is_file())
    seconds = opened.call_args.kwargs["settings"].finish_timeout
    assert seconds == pytest.approx(600 + size / 50_000, rel=0.01)


def test_own_files_are_not_sent(study: Study, final: Path, wandb_server: WandbServer) -> None:
    (final / ".git").mkdir()
    for folder in (final, study.folder):
        Image.new("RGB", (2, 2)).save(folder / "Jane_Doe.png")
        for name in ("notes.txt", "ward.csv"):
            (folder / name).write_text("secret")
    (final / ".git" / "config").write_text("secret")
    publish(study, lambda line: None)
    for owner in (*wandb_server.runs.values(), *wandb_server.artifacts.values()):
        assert not [name for name in owner.files if any(own in name for own in ("notes", "Jane", "ward", "git"))]
    assert {"metrics.json", "model.json"} <= wandb_server.artifacts["model-e71e6287:v0"].files.keys()


def test_damaged_weights_are_not_sent(study: Study, final: Path, wandb_server: WandbServer) -> None:
    (final / layout.WEIGHTS).write_bytes(b"1234")
    record = ModelRecord.read(final)
    assert record is not None
    record.write(final)
    (final / layout.WEIGHTS).write_bytes(b"1235")
    with pytest.raises(UserError, match=r"model\.safetensors: not the file that model\.json was written for; restore"):
        publish(study, lambda line: None)
    assert not [name for name in wandb_server.artifacts if name.startswith("model-")]


@pytest.mark.parametrize("has_record", [True, False])
def test_changed_predictions_are_refused(
    study: Study, final: Path, wandb_server: WandbServer, has_record: bool
) -> None:
    """A spreadsheet program writes ``;`` in many countries; the names would then be in a column of another name."""
    path = final / layout.PREDICTIONS
    path.write_text(path.read_text().replace(",", ";"))
    expected = r"predictions\.csv: not the file that model\.json was written for; restore"
    if not has_record:
        (final / layout.MODEL).unlink()
        expected = r"predictions\.csv: unknown column 'image_id;.*', which may contain names; restore"
    with pytest.raises(UserError, match=expected) as caught:
        publish(study, lambda line: None)
    assert "Try again" not in str(caught.value)
    assert not [name for name in wandb_server.artifacts if name.startswith("model-")]


def test_former_winner_loses_its_corrected_score(study: Study, wandb_server: WandbServer) -> None:
    end, best = study.end(0), Best.of(study)
    assert end is not None
    for winner in (best, None):
        run = TrialRun(study, 0, study.recipe(0), lambda: None, winner)
        run.open("online", None)
        run.close(end.state, end.reason, end.score)
        corrected = [key for key in wandb_server.runs[run.id].summary if "_corrected_" in key]
        assert bool(corrected) == (winner is not None)
        assert study.objective in wandb_server.runs[run.id].summary
