"""Retraining and delivering the winner: checks before training, terminal output, files on disk."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.clock import clock_of_checkpoints
from helpers.deliveries import copy_into, deliver, hidden, metrics_of, searched
from helpers.studies import change_info
from helpers.wandb_server import WandbServer
from PIL import Image
from rich.console import Console

from leukemia import predict as predict_command
from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import write_record
from leukemia.config.protocol import RANDOM_CELL_WARNING
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch
from leukemia.data.catalog import Catalog, read_catalog
from leukemia.data.reading import Reading
from leukemia.delivery import final_training, retraining
from leukemia.delivery.messages import print_next
from leukemia.delivery.overlap import find_overlap
from leukemia.delivery.seen import Seen
from leukemia.final import main
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord
from leukemia.tracking.publish import publish
from leukemia.training.resnet import ResNet
from leukemia.training.train import NonFiniteLoss

REAL = pytest.mark.skipif("LEUKEMIA_DATA" not in os.environ, reason="LEUKEMIA_DATA is unset: real images are not here")


def test_winner_is_trained_delivered_and_loaded(
    study: Study, patients: Path, capsys: pytest.CaptureFixture[str], session_cache: Path
) -> None:
    assert main(["--best", "--runs", str(study.folder.parent), "--device", "cpu", "--test", str(patients)]) == 0
    output, folder = capsys.readouterr().out, study.folder / "final"
    assert "epoch 1/1: loss " in output
    assert f"next: python -m leukemia.predict --model {folder} IMAGES..." in output
    names = "model.safetensors recipe.json metrics.json predictions.csv patients.csv MODEL_CARD.md report.html".split()
    names += "model.json epochs.csv curves.png confusion.png roc.png precision_recall.png".split()
    names += "calibration.png scaling.png seen.json appearance.json tests".split()
    assert {path.name for path in folder.iterdir()} == set(names)
    assert hidden(study) == []
    assert not (session_cache / "checkpoints" / "abcd1234-final").exists()
    table, test = pd.read_csv(folder / "predictions.csv", dtype={"subject": str}), read_catalog(patients)
    assert table["image_id"].tolist() == test.table["image_id"].tolist()
    assert table["subject"].tolist() == test.table["subject"].tolist()
    assert table["label"].tolist() == test.table["label"].tolist()
    metrics = metrics_of(study)
    assert metrics["test"]["n"] == 12
    assert metrics["test"]["protocol"] == "grouped"
    assert metrics["test"]["accuracy"]["value"] == (table["predicted"] == table["label"]).mean()
    (normal, _), (_, leukemic) = metrics["test"]["confusion"]
    of_all = f"({normal + leukemic} of {metrics['test']['n']} images), 95 % interval"
    assert f"test accuracy: {metrics['test']['accuracy']['value']:.4f} {of_all}" in output
    assert metrics["out_of_fold"]["n"] == 48
    assert metrics["caveats"] == []
    card = (folder / "MODEL_CARD.md").read_text()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert f"\n- model.safetensors SHA-256: {digest}\n" in card
    assert f"\n12 test images of {test.table['subject'].nunique()} subjects, predicted with" in card
    data = Recipe.load(folder / "recipe.json").data
    assert f"at least {data.crop_px} px on each side, of which the central {data.crop_px} px are used, resized " in card
    assert "\n\n\n" not in card
    # Another process gets the same probabilities from the folder alone.
    paths = [str(path) for path in test.table["path"]]
    assert predict_command.main(["--model", str(folder), *paths, "--device", "cpu"]) == 0
    again = pd.read_csv(io.StringIO(capsys.readouterr().out))
    np.testing.assert_allclose(again["probability_leukemic"], table["probability_leukemic"], atol=2e-6)


def test_killed_retraining_resumes_to_the_same_model(
    study: Study, monkeypatch: pytest.MonkeyPatch, session_cache: Path
) -> None:
    long = ["--set", "train.epochs=2"]
    deliver(study, *long)
    expected = (study.folder / "final" / "model.safetensors").read_bytes()
    shutil.rmtree(study.folder / "final")
    print_line, printed = retraining.print_line, []

    def interrupt(console: object, line: str) -> None:
        printed.append(line)
        if line.startswith("epoch 1/2"):
            raise KeyboardInterrupt
        print_line(console, line)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "print_line", interrupt)
        clock_of_checkpoints(patch, step=60.0)
        with pytest.raises(KeyboardInterrupt):
            deliver(study, *long)
    assert len(checkpoints(session_cache)) == 1
    deliver(study, *long)
    assert (study.folder / "final" / "model.safetensors").read_bytes() == expected


def test_an_interrupt_between_two_epochs_stores_the_last_one(
    study: Study, monkeypatch: pytest.MonkeyPatch, session_cache: Path
) -> None:
    """Not only one that is raised while an epoch is trained."""

    def interrupt(console: object, line: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "print_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            deliver(study, "--set", "train.epochs=2")
    (stored,) = checkpoints(session_cache)
    assert len(torch.load(stored, weights_only=True)["epochs"]) == 1
    stored.unlink()


def checkpoints(cache: Path) -> list[Path]:
    return list((cache / "checkpoints" / "abcd1234-final").glob("*.pt"))


@pytest.mark.parametrize("change", ["version", "threads", "device", "precision"])
def test_a_training_is_not_continued_where_its_numbers_would_differ(
    study: Study, monkeypatch: pytest.MonkeyPatch, session_cache: Path, change: str
) -> None:
    """The record of a model names one device and one version of torch."""
    used: list[Path] = []

    def interrupted(recipe: Recipe, split: object, *, checkpoint: Path, **rest: object) -> Generator[Epoch, None, None]:
        used.append(checkpoint)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(retraining, "fit", interrupted)
    for changed in (False, False, True):
        if changed and change == "version":
            monkeypatch.setattr(torch, "__version__", "9.9.9")
        elif changed and change == "threads":
            monkeypatch.setattr(torch, "get_num_threads", lambda: 999)
        elif change == "precision":
            dtype = torch.float32 if changed else torch.bfloat16
            monkeypatch.setattr(retraining, "compute_dtype", lambda recipe, device, dtype=dtype: dtype)
        elif changed:
            monkeypatch.setattr(final_training, "choose_device", lambda name: torch.device("meta"))
        with pytest.raises(KeyboardInterrupt):
            deliver(study, "--set", "train.precision=auto")
    assert used[0] == used[1] != used[2]


def test_a_job_with_gpus_is_not_spent_on_the_cpu(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "1")
    with pytest.raises(UserError, match=r"^Slurm gave 1 GPU, and torch finds none: .* ask for no GPU and"):
        deliver(study, "--device", "auto")
    assert not (study.folder / "final").exists()


def test_the_number_of_threads_matters_on_a_cpu_only(
    study: Study, tiny_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = study.recipe(0).with_settings({"train.precision": "float32"})

    def names(device: str) -> set[Path]:
        found = set()
        for threads in (1, 2):
            monkeypatch.setattr(torch, "get_num_threads", lambda number=threads: number)
            found.add(retraining._checkpoint(study, recipe, tiny_catalog, torch.device(device)))
        return found

    assert (len(names("cpu")), len(names("cuda"))) == (2, 1)


def test_a_checkpoint_keeps_the_name_that_an_earlier_version_gave_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The name was made at commit 4f40453, which has no ``train.pipeline``."""
    earlier = Study.open(Path(__file__).parents[1] / "example_study")
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tmp_path))
    monkeypatch.setattr(torch, "__version__", "2.13.0")
    monkeypatch.setattr(retraining, "compute_dtype", lambda recipe, device: torch.bfloat16)
    catalog: Any = SimpleNamespace(fingerprint="ab12")
    path = retraining._checkpoint(earlier, earlier.recipe(0), catalog, torch.device("cuda"))
    assert path == tmp_path / "checkpoints" / "e71e6287-final" / "9756946cd0966cc6.pt"


def test_a_training_that_another_process_has_is_refused(
    study: Study, monkeypatch: pytest.MonkeyPatch, session_cache: Path
) -> None:
    """With another ``--out``, as the folder of the model is locked as well."""
    refused: list[str] = []
    print_line = retraining.print_line

    def deliver_both(console: Console, line: str) -> None:
        print_line(console, line)
        with pytest.raises(UserError, match=r"^another process is training this model of study one; wait for") as error:
            deliver(study, "--out", "other")
        refused.append(str(error.value))
        assert len(checkpoints(session_cache)) == 1

    monkeypatch.setattr(retraining, "print_line", deliver_both)
    deliver(study)
    assert len(refused) == 1
    assert checkpoints(session_cache) == []


@pytest.mark.usefixtures("untrained")
def test_without_a_test_set_there_are_only_out_of_fold_scores(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert deliver(study) == 0
    assert metrics_of(study)["test"] is None
    assert "no --test: metrics.json has only the out-of-fold scores of the search" in capsys.readouterr().out
    assert not (study.folder / "final" / "predictions.csv").exists()


@pytest.fixture
def listing(tmp_path: Path, patients: Path) -> Callable[[list[str]], Path]:
    """Writes a CSV of the test images without subjects; no label column if ``labels`` is empty."""

    def write(labels: list[str]) -> Path:
        paths, target = sorted(patients.rglob("*.png")), tmp_path / "listed" / "test.csv"
        target.parent.mkdir(exist_ok=True)
        with target.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["Path", "label"] if labels else ["Path"])
            for number, path in enumerate(paths):
                shutil.copy(path, target.parent / f"{number}.png")
                writer.writerow([f"{number}.png", *labels[number : number + 1]])
        return target

    return write


@pytest.mark.usefixtures("untrained")
def test_unlabelled_test_set_gives_predictions_only(
    study: Study, listing: Callable[[list[str]], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(study, "--test", listing([])) == 0
    assert "12 test images without labels: predictions only" in capsys.readouterr().out
    assert metrics_of(study)["test"] is None
    table = pd.read_csv(study.folder / "final" / "predictions.csv")
    assert len(table) == 12
    assert table["label"].isna().all()
    assert table["probability_leukemic"].between(0, 1).all()
    assert not (study.folder / "final" / "confusion.png").exists()


@pytest.mark.usefixtures("untrained")
def test_test_set_without_subjects_is_not_a_grouped_test(study: Study, listing: Callable[[list[str]], Path]) -> None:
    assert deliver(study, "--test", listing(["0", "1"] * 6)) == 0
    assert metrics_of(study)["test"]["protocol"] == "random-cell"
    caveat = "Not all subjects are known in both data sets: patients of the test set may be in the training data."
    assert metrics_of(study)["caveats"] == [caveat]


@pytest.mark.usefixtures("untrained")
def test_training_data_without_subjects_give_no_grouped_test(tmp_path: Path, tiny_folder: Path, patients: Path) -> None:
    folder = tmp_path / "nameless"
    for label, name in enumerate(("hem", "all")):
        copy_into(folder, tiny_folder, f"fold_*/{name}/*.png", lambda name: name.replace("UID_", "cell_"))
        for number, path in enumerate(sorted(folder.glob(f"fold_*/{name}/*.png"))):
            target = folder / name / f"{label}-{number}.png"
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
    for path in folder.glob("fold_*"):
        shutil.rmtree(path)
    study = searched(tmp_path / "runs", read_catalog(folder), str(folder), "random-cell")
    assert deliver(study, "--test", patients) == 0
    metrics = metrics_of(study)
    assert metrics["test"]["protocol"] == "random-cell"
    assert metrics["caveats"][0] == f"Out-of-fold scores: {RANDOM_CELL_WARNING}."
    assert metrics["caveats"][1].startswith("Not all subjects are known in both data sets")


@pytest.mark.usefixtures("no_training")
def test_invalid_input_is_rejected_before_training(
    study: Study, tiny_folder: Path, patients: Path, listing: Callable[[list[str]], Path], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"expected the label 0 \(normal\) or 1 \(leukemic\) in every row.*\n  row 3: no"
    ):
        deliver(study, "--test", listing(["0", "", "1", "1"] * 3))
    with pytest.raises(
        UserError, match=r"^--data .*patients: not the data of the search \(expected fingerprint .*; give the"
    ):
        deliver(study, "--data", patients)
    with pytest.raises(
        UserError, match=r"^--against-start: the models are compared on test images; add a --test with labels"
    ):
        deliver(study, "--against-start")
    with pytest.raises(
        UserError, match=r"^--against-start: the test set has no labels, so the models cannot be compared"
    ):
        deliver(study, "--against-start", "--test", listing([]))
    with pytest.raises(UserError, match=r"^unknown recipe field 'epoch'"):
        deliver(study, "--set", "epoch=3")
    with pytest.raises(MissingFile, match=r"nowhere"):
        deliver(study, "--test", tmp_path / "nowhere")
    small = shutil.copytree(patients, tmp_path / "small")
    for path in small.rglob("*.png"):
        Image.open(path).crop((0, 0, 31, 32)).save(path)
    with pytest.raises(UserError, match=r"^12 of 12 images are smaller than the crop of 32 px"):
        deliver(study, "--test", small, "--set", "data.small=refuse")
    assert not (study.folder / "final").exists()


@pytest.mark.usefixtures("no_training")
def test_study_with_changed_files_is_rejected(study: Study) -> None:
    splits, best = study.folder / "splits.json", study.folder / "best.json"
    content = json.loads(splits.read_text())
    write_record(splits, {**content, "folds": content["folds"][::-1]})
    with pytest.raises(UserError, match=r"splits.json is not the split that best.json was scored on; restore it"):
        deliver(study)
    write_record(splits, content)
    whole = Best.load(best)
    dataclasses.replace(whole, study_uid="00000000").save(best)
    with pytest.raises(
        UserError, match=r"best.json: field 'study_uid': expected 'abcd1234' as in study.json, got '0000000"
    ):
        deliver(study)
    dataclasses.replace(whole, folds_done=1).save(best)
    with pytest.raises(UserError, match=r"best.json: trial 0000 finished 1 of 2 folds; only a complete trial can win"):
        deliver(study)
    best.unlink()
    with pytest.raises(MissingFile, match=r"best.json: this study has no complete trial"):
        deliver(study)


@pytest.mark.usefixtures("no_training")
def test_a_changed_balance_is_rejected(study: Study) -> None:
    path = study.folder / "splits.json"
    content = json.loads(path.read_text())
    content["balance"][0]["subjects"] += 1
    write_record(path, content)
    with pytest.raises(UserError, match=r"splits.json: field 'balance.0': expected .*'subjects': 6, .* restore"):
        deliver(study)


@pytest.mark.usefixtures("untrained")
def test_names_reach_terminal_card_and_tables_escaped(
    tmp_path: Path, tiny_folder: Path, listing: Callable[[list[str]], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "cells\x1b[2J")
    study = searched(tmp_path / "runs\u202e", read_catalog(folder), str(folder))
    test = listing([])
    (test.parent / "0.png").rename(test.parent / "=1+1.png")
    test.write_text(test.read_text().replace("0.png", "=1+1.png", 1))
    assert deliver(study, "--data", folder, "--test", test) == 0
    output = capsys.readouterr().out
    assert r"runs\u202e/one/final" in output
    assert all(line.isprintable() for line in output.splitlines())
    card = (study.folder / "final" / "MODEL_CARD.md").read_text()
    assert all(line.isprintable() for line in card.splitlines())
    table = pd.read_csv(study.folder / "final" / "predictions.csv")
    assert "./=1+1.png" in table["image_id"].tolist()


@pytest.mark.usefixtures("no_training")
def test_full_disk_is_detected_before_training(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(study.folder)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(
        UserError, match=r"^not enough disk space for the delivered model: 65 MB needed in .*, 1 MB free"
    ):
        deliver(study)


def test_threads_are_those_of_the_study(
    study: Study, untrained: list[Recipe], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU other threads would give another model; only the CPUs of this machine may be fewer."""
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    change_info(study, cpu_threads=999)
    deliver(study)
    assert threads == [999]
    # The terminal may wrap the line.
    assert " ".join(capsys.readouterr().out.split()).count("with the study's 999 threads on ") == 1


def test_changed_recipe_is_a_caveat(study: Study, untrained: list[Recipe]) -> None:
    deliver(study, "--set", "train.epochs=7")
    assert untrained[-1].train.epochs == 7
    assert untrained[-1].optimizer.restart_epochs == 7
    (caveat,) = metrics_of(study)["caveats"]
    changes = r"optimizer\.restart_epochs 7, not \d+; train\.epochs 7, not \d+"
    assert re.match(rf"The recipe was changed after the search \({changes}\): out-of-fold scores are", caveat)
    assert Recipe.load(study.folder / "final" / "recipe.json") == untrained[-1]


def test_winner_is_compared_with_the_retrained_start(study: Study, patients: Path, untrained: list[Recipe]) -> None:
    deliver(study, "--test", patients, "--against-start", "--set", "train.seed=9")
    assert [recipe.train.seed for recipe in untrained] == [9, 0]
    difference = metrics_of(study)["difference"]
    assert difference["against"] == "the starting recipe (trial 0000) retrained"
    assert set(difference) == {"against", "accuracy", "balanced_accuracy"}
    assert "on the same test images" in (study.folder / "final" / "MODEL_CARD.md").read_text()


def test_divergence_is_reported_in_one_line(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*arguments: object, **settings: object) -> Generator[Epoch, None, ResNet]:
        raise NonFiniteLoss("non-finite loss at fold 2, epoch 1, step 3")
        yield

    monkeypatch.setattr(retraining, "fit", diverge)
    with pytest.raises(
        UserError, match=r"^retraining failed: non-finite loss at fold 2, epoch 1, step 3 \(--set optim"
    ):
        deliver(study)


@pytest.mark.usefixtures("untrained")
def test_names_with_html_in_them_are_escaped(tmp_path: Path, patients: Path, tiny_folder: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "<img src=x>" / "<script>&")
    test = shutil.copytree(patients, tmp_path / "<b>test")
    study = searched(tmp_path / "runs", read_catalog(folder), str(folder))
    assert deliver(study, "--data", folder, "--test", test) == 0
    for name in ("report.html", "MODEL_CARD.md"):
        text = (study.folder / "final" / name).read_text()
        assert "&lt;script&gt;&amp;" in text
        # The page has scripts of its own.
        for tag in ("<script>&", "<img src=x", "<b>test"):
            assert tag not in text


@pytest.mark.usefixtures("untrained")
def test_moved_study_and_data(study: Study, tiny_folder: Path, tmp_path: Path) -> None:
    moved = Study(Path(shutil.move(study.folder, tmp_path / "elsewhere" / "other-name")))
    data = shutil.copytree(tiny_folder, tmp_path / "Zellen mit é")
    assert deliver(moved, "--data", data) == 0
    assert (moved.folder / "final" / "model.safetensors").is_file()


def test_csv_with_a_moved_base_folder(tmp_path: Path, tiny_folder: Path, untrained: list[Recipe]) -> None:
    base, listing = tmp_path / "base", tmp_path / "train.csv"
    shutil.copytree(tiny_folder, base)
    lines = [f"{path.relative_to(base)},{int(path.parent.name == 'all')}" for path in sorted(base.rglob("*.png"))]
    listing.write_text("\n".join(["Path,label", *lines]) + "\n")
    study = searched(tmp_path / "runs", read_catalog(listing, Reading(base=str(base))), str(listing), "random-cell")
    best = Best.load(study.folder / "best.json")
    dataclasses.replace(best, data=dataclasses.replace(best.data, base=str(base))).save(study.folder / "best.json")
    base.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"^no folder at .*base; --base is the base folder"):
        deliver(study)
    assert deliver(study, "--base", tmp_path / "moved") == 0
    assert len(untrained) == 1


@pytest.mark.usefixtures("untrained")
def test_paths_that_do_not_exist_as_written_are_noted_everywhere(
    tmp_path: Path, tiny_folder: Path, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listings, notes = {}, {}
    for name, source, prefix in (("train", tiny_folder, "/content/train"), ("test", patients, "C:\\cells\\test")):
        data = shutil.copytree(source, tmp_path / name)
        paths = sorted(path.relative_to(data) for path in data.rglob("*.png"))
        lines = [f"{prefix}/{path},{int(path.parent.name == 'all')}" for path in paths]
        lines = [line.replace("/", "\\") for line in lines] if "\\" in prefix else lines
        listings[name] = data / f"{name}.csv"
        listings[name].write_text("\n".join(["Path,label", *lines]) + "\n")
        notes[name] = (
            f"{len(paths)} of {len(paths)} paths in the CSV do not exist as written; their images were found below "
            f"{data} by the last folders and the name of the path"
        )
    study = searched(tmp_path / "runs", read_catalog(listings["train"]), str(listings["train"]), "random-cell")
    assert deliver(study, "--test", listings["test"]) == 0
    printed, folder = capsys.readouterr().out, study.folder / "final"
    record = ModelRecord.read(folder)
    assert record is not None
    assert record.evaluation is not None
    split, classes = (
        "the data have a split, in the folders (16 fold 0, 16 fold 1, 16 fold 2 images)",
        "classes (images): ",
    )
    for found, starts in (
        (record.notes, (notes["train"], split, classes)),
        (record.evaluation.notes, (notes["test"], classes)),
    ):
        assert [note[: len(start)] for note, start in zip(found, starts, strict=True)] == list(starts)
    for name in ("train", "test"):
        data = "training data" if name == "train" else "test data"
        assert f"note: {data}: {notes[name]}\n" in printed
        short = notes[name].replace(str(tmp_path / name), name)
        assert f"- note on the {data}: {short}\n" in (folder / "MODEL_CARD.md").read_text()
        assert notes[name] in (folder / "report.html").read_text()


@REAL
def test_real_test_set_does_not_overlap(tmp_path: Path) -> None:
    """C-NMC: no subject and no image of the test phase is in the training folds."""
    data = Path(os.environ["LEUKEMIA_DATA"]) / "cnmc"
    catalog = read_catalog(data)
    test = read_catalog(next(data.rglob("*labels.csv")), labels=False)
    assert test.has_labels
    assert find_overlap(Seen.of(catalog), test, allowed=False) == ()
    with pytest.raises(UserError, match=rf"^--test: {len(catalog.table)} images and "):
        find_overlap(Seen.of(catalog), catalog, allowed=False)


@pytest.mark.usefixtures("untrained")
def test_model_is_logged_to_wandb_and_linked_to_its_study(
    study: Study, patients: Path, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(study, "--test", patients) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("W&B: model and run uploaded; not linked to the trial's run ("), (
        "the study was not published"
    )
    (identity,) = wandb_server.runs
    run = wandb_server.runs[identity]
    assert (run.job_type, run.group, run.complete, run.exit_code) == ("final", "one", True, 0)
    assert run.config["provenance"]["trial_run"] == "abcd1234-0000"
    assert run.summary["test/accuracy"] == metrics_of(study)["test"]["accuracy"]["value"]
    assert [row.get("train_loss") for row in run.history] == [0.5, None]
    model = wandb_server.artifacts["model-abcd1234:v0"]
    assert {"best", "one", "latest"} == set(model.aliases)
    assert {"model.safetensors", "metrics.json", "MODEL_CARD.md"} <= set(model.files)
    assert (model.state, model.created_by) == ("COMMITTED", identity)


@pytest.mark.usefixtures("untrained")
def test_publishing_links_the_model_to_the_trials_run(
    study: Study, monkeypatch: pytest.MonkeyPatch, wandb_server: WandbServer
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert deliver(study) == 0
    assert wandb_server.runs == {}
    monkeypatch.setenv("WANDB_MODE", "online")
    publish(study, print)
    (final_run,) = [name for name, run in wandb_server.runs.items() if run.job_type == "final"]
    assert wandb_server.artifacts["trial-abcd1234-0000:v0"].used_by == [final_run]
    assert wandb_server.artifacts["trial-abcd1234-0000:v0"].created_by == "abcd1234-0000"
    assert wandb_server.unknown == []


@pytest.mark.usefixtures("untrained")
def test_server_failure_only_prints_a_line(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("leukemia.tracking.client.INIT_TIMEOUT_SECONDS", 2)
    wandb_server.fault_at, wandb_server.fault = "UpsertBucket", "500"
    assert deliver(study) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("W&B: the model was not uploaded (")
    assert line.endswith(
        f"); upload it with: python -m leukemia.tracking publish one --runs {shlex.quote(str(study.folder.parent))}"
    )
    assert (study.folder / "final" / "model.safetensors").is_file()


@pytest.mark.usefixtures("no_training", "fresh_wandb")
@pytest.mark.parametrize(("name", "value"), [("BASE_URL", "localhost:8080"), ("PROJECT", "a/b"), ("MODE", "nonsense")])
def test_invalid_wandb_settings_are_rejected_before_training(
    study: Study, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"WANDB_{name}", value)
    with pytest.raises(UserError, match=rf"^WANDB_{name}: .*$"):
        deliver(study)
    assert not (study.folder / "final").exists()


def test_the_next_command_can_be_pasted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    final = tmp_path / "my runs" / "final"
    final.mkdir(parents=True)
    (final / layout.RECIPE).write_text(Recipe().to_json())
    print_next(Console(), final)
    assert f"next: python -m leukemia.predict --model '{final}' IMAGES..." in capsys.readouterr().out
