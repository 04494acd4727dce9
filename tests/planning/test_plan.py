"""Planning a search: errors are one line, and nothing is written before everything is decided."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.deliveries import model_record
from helpers.resnets import renamed, small_state
from helpers.studies import change_info, without_checksums
from PIL import Image
from rich.console import Console

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import write_json
from leukemia.base.record import write_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import Catalog
from leukemia.data.reading import Reading
from leukemia.study.folder import Study
from leukemia.study.layout import JOURNAL
from leukemia.study.schema import Origin, SearchOptions
from leukemia.training.model import build_model, save_model
from leukemia.training.train import Split
from search.launch.messages import print_plan
from search.launch.study_folder import resumed
from search.planning import estimate
from search.planning.derived import check_seeds
from search.planning.estimate import Timing, describe_cost, networks_of
from search.planning.plan import Plan, describe_rules, new_name, plan_new
from search.planning.request import Request, settings_of
from search.planning.resumption import plan_resumed
from search.policy.rules import Rules
from search.policy.rungs import Rungs
from search.sampling.journal import Prior
from search.trials.warmstart import ReusedTrial, copy_priors

COMMAND = "python -m search.run"


def with_changes(request: Request, **changes: Any) -> Request:
    """A request with other arguments; None means not given, settings are ``FIELD=VALUE`` texts."""
    if "settings" in changes:
        changes["settings"] = settings_of(changes["settings"])
    options = {field.name for field in dataclasses.fields(SearchOptions)} - {"storage"}
    given = {**request.given, **{name: value for name, value in changes.items() if name in options}}
    others = {name: value for name, value in changes.items() if name not in options}
    given = {name: value for name, value in given.items() if value is not None}
    return dataclasses.replace(request, **others, given=given)


@pytest.fixture
def request_for(tmp_path: Path, tiny_folder: Path) -> Callable[..., Request]:
    def make(**changes: Any) -> Request:
        return with_changes(
            Request(runs=tmp_path / "runs", data=str(tiny_folder), study="one"), **{"folds": 2, **changes}
        )

    return make


@pytest.fixture
def started(request_for: Callable[..., Request]) -> Callable[..., Plan]:
    """Start a study as the command does."""

    def start(**changes: Any) -> Plan:
        plan = plan_new(request_for(**changes), COMMAND)
        plan.folder.mkdir(parents=True)
        plan.splits.save(plan.folder / "splits.json")
        copy_priors(plan.priors, Study.create(plan.folder, plan.info))
        return plan

    return start


def bare(request: Request, **changes: Any) -> Request:
    """The request with ``--resume`` and no data or folds."""
    return with_changes(request, **{"data": None, "folds": None, **changes})


def test_a_plan_contains_all_decisions_and_writes_nothing(request_for: Callable[..., Request], tmp_path: Path) -> None:
    plan = plan_new(request_for(trials=7, settings=["data.size_px=32", "train.epochs=3"], seed=5), COMMAND)
    assert (plan.info.trials, plan.view.crop_px, plan.view.size_px) == (7, 32, 32)
    assert plan.info.settings == {"data.size_px": 32, "train.epochs": 3}
    assert (plan.info.seed, plan.splits.seed, len(plan.splits.folds)) == (5, 5, 2)
    assert plan.info.protocol == "grouped"
    assert Recipe.from_flat(plan.info.start) == plan.space.start
    assert plan.info.space == plan.space.describe()
    assert json.loads(json.dumps(plan.info.to_dict())) == plan.info.to_dict()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Twelve whole fields of 100 x 300 px and more, and one single cell."""
    generator = np.random.default_rng(0)
    for number in range(13):
        path = tmp_path / "fields" / ("hem", "all")[number % 2] / f"UID_{number}_1_1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (100 + number, 300) if number else (40, 40)
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return tmp_path / "fields"


def test_how_whole_fields_are_seen_is_decided_once_and_said(started: Callable[..., Plan], fields: Path) -> None:
    plan = started(data=str(fields), settings=["data.fit=auto"])
    assert (plan.info.start["data.fit"], plan.info.start["data.crop_px"], plan.view.name) == (
        "resize",
        None,
        "whole-s224",
    )
    printed = io.StringIO()
    print_plan(Console(file=printed, width=200), plan)
    line = "scaled down to 224 px: 1.34 times smaller for the median image, 1.34 times for the largest (300x112 px)\n"
    assert f"\ninput: whole images, {line}" in printed.getvalue()
    note = "1 of 13 images is smaller than the input of 224 px (the smallest is 40x40 px): padded with black; data.sm"
    assert f"\nnote: {note}" in printed.getvalue()
    assert [each[: len(note)] for each in Study.open(plan.folder).info.data.notes[-1:]] == [note]
    again = plan_resumed(Request(runs=plan.folder.parent, data=None, study="one", given={}))
    assert (again.space.start, again.info.data.notes) == (plan.space.start, plan.info.data.notes)


def test_a_crop_that_loses_most_of_the_images_is_warned_of(request_for: Callable[..., Request], fields: Path) -> None:
    plan = plan_new(request_for(data=str(fields), settings=["data.fit=crop"]), COMMAND)
    assert plan.view.name == "c106-s106"
    assert plan.info.data.notes[-2:] == [
        "6 of 13 images are smaller than the crop of 106 px (the smallest is 40x40 px): padded with black; "
        "data.small=refuse refuses them",
        "warning: the crop of 106 px keeps 35 % of the median image's area; training with data.fit=resize takes whole "
        "images",
    ]
    with pytest.raises(
        UserError, match=r"data.small: 6 of 13 images are smaller than the crop of 106 px, the smallest"
    ):
        plan_new(request_for(data=str(fields), settings=["data.fit=crop", "data.small=refuse"]), COMMAND)


def test_a_study_of_an_earlier_version_keeps_its_crop(started: Callable[..., Plan], fields: Path) -> None:
    plan = started(data=str(fields), settings=["data.crop_px=40"])
    path = without_checksums(plan.folder) / "study.json"
    content = json.loads(path.read_text())
    for name in ("data.fit", "data.small"):
        del content["start"][name]
    write_json(path, content)
    again = plan_resumed(Request(runs=plan.folder.parent, data=None, study="one", given={}))
    assert again.space.start == plan.space.start
    assert again.view.name == "c40-s40"


def test_defaults(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(folds=None), COMMAND)
    expected = {
        "folds": 5,
        "seed": 0,
        "trials": 50,
        "preset": "seed",
        "objective": "tta_accuracy",
        "racing": True,
        "margin": 1.0,
        "repeats": 2,
        "patience": 25,
    }
    assert {key: getattr(plan.info, key) for key in expected} == expected
    assert plan.info.warm_start == []
    assert plan.rules == Rules(num_folds=5, objective="tta_accuracy")


def test_rungs_come_from_the_request_and_are_kept(started: Callable[..., Plan]) -> None:
    plan = started(pausing=True, rungs=[], keep=0.5)
    assert plan.rules.rungs == Rungs(shares=(), keep=0.5)
    assert describe_rules(plan)[1].startswith("pausing: a trial waits at the end of fold 1, and goes on if it is among")
    assert Study.open(plan.folder).info == plan.info
    other = started(study="two", rungs=[0.1, 0.6])
    assert Study.open(other.folder).info.rungs == [0.1, 0.6]


def test_rungs_of_a_study_of_an_earlier_version_are_the_default(started: Callable[..., Plan]) -> None:
    plan = started()
    content = json.loads((plan.folder / "study.json").read_text())
    assert content.keys().isdisjoint(["pausing", "rungs", "keep"])
    assert Study.open(plan.folder).info.rungs == [0.05, 0.15, 0.45]


def test_rungs_can_be_given_until_trials_may_have_waited(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    started()
    plan = plan_resumed(bare(request_for(), pausing=True, rungs=[0.5], keep=0.5))
    Study(plan.folder).updated(plan.info)
    assert plan.rules.rungs == Rungs(shares=(0.5,), keep=0.5)
    with pytest.raises(UserError, match=r"^--rungs: the study was started with 0\.5, got 0\.1,0\.6; leave it out"):
        plan_resumed(bare(request_for(), rungs=[0.1, 0.6]))
    with pytest.raises(UserError, match=r"^--keep: the study was started with 0\.5, got 0\.25"):
        plan_resumed(bare(request_for(), pausing=False, keep=0.25))
    assert plan_resumed(bare(request_for())).rules.rungs == Rungs(shares=(0.5,), keep=0.5)


def test_sampler_and_further_starts_are_printed(request_for: Callable[..., Request]) -> None:
    for changes, line in (
        ({}, "sampler: tpe\n"),
        (
            {"sampler": "gp", "starts": 3},
            "sampler: gp; known recipes after trial 0: ResNet-18 add, color, adamw 3.0e-04; ResNet-50 add, color, "
            "adamw 3.0e-04\n",
        ),
        # Trials 2 and later do not begin.
        (
            {"starts": 5, "trials": 2},
            "sampler: tpe; known recipes after trial 0: ResNet-18 add, color, adamw 3.0e-04\n",
        ),
    ):
        printed = io.StringIO()
        print_plan(Console(file=printed, width=200), plan_new(request_for(**changes), COMMAND))
        assert f"\n{line}" in printed.getvalue()


def test_sampler_and_starts_are_kept_and_older_studies_have_those_of_then(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = started(sampler="gp", starts=5)
    content = json.loads((plan.folder / "study.json").read_text())
    assert (content["sampler"], content["starts"]) == ("gp", 5)
    again = plan_resumed(bare(request_for()))
    assert (again.info.sampler, again.info.starts) == ("gp", 5)
    del content["sampler"], content["starts"]
    write_record(plan.folder / "study.json", content)
    again = plan_resumed(bare(request_for()))
    assert (again.info.sampler, again.info.starts, again.info.absent) == ("tpe", 1, ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"rungs": [0.3, 0.1]},
            r"^--rungs: expected shares of the first fold, ascending, above 0 and at most 0.6, got 0.3,0.1$",
        ),
        ({"rungs": [0.1, 0.6000001]}, r"at most 0.6, got 0.1,0.6000001$"),
        ({"keep": 0.99}, r"^--keep: expected a share from 0.05 to 0.95, got 0.99$"),
        ({"keep": 0.9500001}, r"got 0.9500001$"),
    ],
)
def test_wrong_rungs_are_refused(request_for: Callable[..., Request], given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        request_for(**given)


def test_the_rules_come_from_the_request(request_for: Callable[..., Request]) -> None:
    request = request_for(objective="tta_auroc,cost", racing=False, margin=2.5, repeats=0, patience=3)
    assert plan_new(request, COMMAND).rules == Rules(
        num_folds=2, objective="tta_auroc", by_cost=True, racing=False, margin=0.025, repeats=0, patience=3
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "a/b"}, r"--study: expected letters, digits.*got 'a/b'"),
        ({"study": ".."}, r"--study: expected letters"),
        ({"study": ""}, r"--study: expected letters, digits.*got ''"),
        ({"trials": 0}, r"--trials: expected at least 1, got 0"),
        ({"folds": 1}, r"--folds: expected at least 2, got 1"),
        ({"folds": 7}, r"7 folds need at least 7 groups of subjects of class 0 \(hem\), found 6"),
        ({"settings": ["optimizer.lr=1"]}, r"unknown recipe field 'optimizer.lr'; did you mean"),
        ({"settings": ["learning_rate=1"]}, r"did you mean optimizer.learning_rate\?"),
        ({"settings": ["train.epochs"]}, r"--set: expected FIELD=VALUE"),
        ({"settings": ["train.epochs=many"]}, r"train.epochs: expected an integer, got 'many'"),
        ({"settings": ["train.epochs=1", "train.epochs=2"]}, r"train.epochs is set twice"),
        ({"settings": ["augment.blur=2"]}, r"augment.blur: expected a value from 0 to 1"),
        ({"settings": ["data.crop_px=64"]}, r"crop is 64 px, but the largest image's shorter side is 32 px"),
        ({"settings": ["data.fit=resize", "data.crop_px=32"]}, r"data.crop_px has no effect with data.fit=resize"),
        ({"settings": ["data.fit=resize", "data.size_px=64"]}, r"input is 64 px, but the largest image's longer side"),
        ({"settings": ["data.fit=whole"]}, r"data.fit: expected one of crop, resize, auto, got 'whole'"),
        ({"settings": ["optimizer.restart_epochs=0"]}, r"optimizer.restart_epochs: expected a value from 1"),
        ({"settings": ["model.pretrained=absent.pt"]}, r"model.pretrained: no file at .*absent.pt"),
        ({"reading": Reading(subjects_from="x")}, r"--subjects-from has no effect: .* already has subjects"),
        ({"data": "/nowhere/at/all"}, r"/nowhere/at/all"),
        ({"objective": "accuracy"}, r"--objective: expected tta_accuracy, .*as in tta_accuracy,cost; got 'accuracy'"),
        ({"objective": "cost"}, r"--objective: expected tta_accuracy, .*got 'cost'"),
        ({"objective": "cost,tta_accuracy"}, r"--objective: expected .*got 'cost,tta_accuracy'"),
        ({"objective": "tta_accuracy,tta_auroc"}, r"--objective: expected .*got 'tta_accuracy,tta_auroc'"),
        ({"objective": ""}, r"--objective: expected .*got ''"),
        ({"warm_start": ["absent"]}, r"no study at .*absent"),
        ({"warm_start": [""]}, r"^--warm-start: expected letters, digits, .*, got ''"),
        ({"warm_start": ["../old"]}, r"^--warm-start: expected letters, digits, .*, got '../old'"),
        (
            {"settings": ["train.seed=2147483646"]},
            r"--repeats: 2 more seeds after 2147483646 exceed the highest seed, 2147483647; lower train.seed or --rep",
        ),
        ({"repeats": 2**31}, r"--repeats: 2147483648 more seeds after 0 exceed the highest seed, 2147483647"),
        (
            {"preset": "strong", "settings": ["optimizer.learning_rate=1e-6"]},
            r"optimizer.learning_rate: expected a value from 3e-05 to 100, got 1e-06 \(in trials with ranger21, which "
            r"the search tries unless optimizer.name is set\)",
        ),
        (
            {"settings": ["train.batch_size=1"]},
            r"train.batch_size: 1 leaves a batch of one image, for which BatchNorm has no variance at data.size_px 32",
        ),
    ],
)
def test_invalid_arguments_are_refused_in_one_line_and_nothing_is_written(
    request_for: Callable[..., Request], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        plan_new(request_for(**changes), COMMAND)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_the_highest_seeds_are_accepted(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(settings=["train.seed=2147483645"], repeats=2), COMMAND)
    assert plan.space.start.train.seed == 2147483645
    assert plan_new(request_for(settings=["train.seed=2147483647"], repeats=0), COMMAND).info.repeats == 0
    alone = ["optimizer.learning_rate=1e-6", "optimizer.name=adamw"]
    assert plan_new(request_for(preset="strong", settings=alone), COMMAND).info.settings["optimizer.name"] == "adamw"


def test_seeds_of_reused_repeats_and_of_a_resumed_study_are_checked(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    start = started(study="old", settings=["train.seed=2147483640"], repeats=5).space.start
    assert plan_resumed(bare(request_for(study="old"), repeats=7)).info.repeats == 7
    with pytest.raises(UserError, match=r"^--repeats: 8 more seeds after 2147483640 exceed the highest seed"):
        plan_resumed(bare(request_for(study="old"), repeats=8))
    prior = Prior(recipe=start, state="stopped", fold_scores={}, cost=0.0, origin="abcd1234-0000")
    origin = Origin(study="older", study_uid="abcd1234", trial="0000", seeds=[2147483640, 2147483646])
    with pytest.raises(UserError, match=r"^--repeats: 2 more seeds after 2147483646 exceed the highest seed"):
        check_seeds(start, 2, [ReusedTrial(prior=prior, study=Study(Path("older")), number=0, origin=origin)])


def test_data_with_a_single_class_are_refused(request_for: Callable[..., Request], tmp_path: Path) -> None:
    data = tmp_path / "data" / "fold_0" / "all"
    data.mkdir(parents=True)
    for subject in range(4):
        Image.fromarray(np.full((32, 32, 3), subject, np.uint8)).save(data / f"UID_{subject}_1_1_all.png")
    with pytest.raises(UserError, match=r"expected images of both classes, found 4 of class 1 \(leukemic\) only"):
        plan_new(request_for(data=str(tmp_path / "data")), COMMAND)
    assert not (tmp_path / "runs").exists()


def test_data_without_subjects_are_split_by_image(
    request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    rows = [f"{path.relative_to(tiny_folder)},{int(path.parent.name == 'all')}" for path in tiny_folder.rglob("*.png")]
    table = tmp_path / "images.csv"
    table.write_text("\n".join(["Path,label", *sorted(rows)]))
    request = request_for(data=str(table), reading=Reading(base=str(tiny_folder), subject_pattern=""))
    assert plan_new(request, COMMAND).info.protocol == "random-cell"
    with pytest.raises(UserError, match=r"--protocol grouped: .* has no subjects"):
        plan_new(with_changes(request, protocol="grouped"), COMMAND)


def patients_csv(images: Path, folder: Path) -> Path:
    """A CSV with three subjects of each class in ``Patient ID``, each in two spellings."""
    lines = ["Path,label,Patient ID"]
    for number, path in enumerate(sorted(images.rglob("*.png"))):
        subject, spelling = f"{path.parent.name}{number % 3}", str.upper if number % 2 else str.lower
        lines.append(f"{path.relative_to(images)},{int(path.parent.name == 'all')},{spelling(subject)}")
    (folder / "images.csv").write_text("\n".join(lines))
    return folder / "images.csv"


def test_options_on_subjects_are_recorded_and_kept(
    started: Callable[..., Plan], request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    table = patients_csv(tiny_folder, tmp_path)
    plan = started(data=str(table), reading=Reading(base=str(tiny_folder), subject_column="Patient ID"))
    assert (plan.info.protocol, plan.catalog.table["subject"].nunique()) == ("grouped", 6)
    resumed = plan_resumed(bare(request_for()))
    assert resumed.info.data == plan.info.data
    assert resumed.catalog.table.equals(plan.catalog.table)


def test_a_study_of_an_earlier_version_whose_subjects_were_taken_as_written(
    started: Callable[..., Plan], request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    table = patients_csv(tiny_folder, tmp_path)
    options = {"base": str(tiny_folder), "subject_column": "Patient ID"}
    plan = started(data=str(table), reading=Reading(**options, subject_spelling="exact"))
    change_info(Study(plan.folder), data=dataclasses.asdict(plan.info.data) | {"subject_spelling": None})
    with pytest.raises(UserError, match=r"if an earlier version started the study, add --subject-spelling exact"):
        plan_resumed(bare(request_for()))
    resumed = plan_resumed(bare(request_for(), reading=Reading(subject_spelling="exact")))
    assert resumed.catalog.table["subject"].nunique() == 12


def test_weights_that_do_not_match_are_refused_before_any_trial(
    request_for: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(small_state(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    plan = plan_new(request_for(settings=["model.pretrained=w.pt"]), COMMAND)
    assert plan.info.settings["model.pretrained"] == str(tmp_path / "w.pt")
    assert plan.space.start.model.pretrained_sha256 is not None
    with pytest.raises(
        UserError, match=r"w\.pt has ResNet-18, .*, but model\.depth is 50; use --set model\.depth=18, or"
    ):
        plan_new(request_for(settings=["model.pretrained=w.pt", "model.depth=50"]), COMMAND)


def test_what_is_taken_from_weights_is_printed_and_kept(
    started: Callable[..., Plan], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    assert "weights" not in started(study="scratch").info.to_dict()
    torch.save({"state_dict": renamed(small_state(), "module.")}, tmp_path / "w.pth.tar")
    plan = started(settings=[f"model.pretrained={tmp_path / 'w.pth.tar'}"])
    expected = (
        f"{tmp_path / 'w.pth.tar'}, ResNet-18, shortcut add, 3-channel input: 120 tensors of state_dict.module.* "
        "taken; dropped: fc (2); new: head, and the parameters of shortcuts concat and weighted"
    )
    assert plan.info.weights == Study.open(plan.folder).info.weights == expected
    for each in (plan, plan_resumed(bare(request_for()))):
        console = Console(file=io.StringIO(), width=80)
        print_plan(console, each)
        assert isinstance(console.file, io.StringIO)
        assert f"\nweights: {expected}\n" in console.file.getvalue()


def test_a_delivered_model_fixes_what_every_trial_shares(
    request_for: Callable[..., Request], tmp_path: Path, tiny_folder: Path
) -> None:
    recipe, folder = Recipe.from_flat({"model.shortcut": "weighted", "data.grayscale": True}), tmp_path / "final"
    folder.mkdir()
    save_model(build_model(recipe), folder / "model.safetensors")
    recipe.save(folder / "recipe.json")
    given = [f"model.pretrained={folder}"]
    advice = "--set model.shortcut=weighted --set data.grayscale=true"
    with pytest.raises(
        UserError, match=rf"but model\.shortcut is searched and data\.grayscale is searched; use {advice}, or other"
    ):
        plan_new(request_for(settings=given), COMMAND)
    given += advice.replace("--set ", "").split()
    plan = plan_new(request_for(settings=given), COMMAND)
    assert plan.info.weights is not None
    assert plan.info.weights.endswith("taken; dropped: fc (2); new: head")
    assert {dimension.key for dimension in plan.space.dimensions}.isdisjoint({"model.shortcut", "data.grayscale"})


def test_a_model_that_was_trained_on_the_same_data_is_refused(
    request_for: Callable[..., Request], tmp_path: Path, tiny_catalog: Catalog
) -> None:
    torch.save(small_state(), tmp_path / "model.safetensors")
    request = request_for(settings=[f"model.pretrained={tmp_path}"])
    write_record(tmp_path / "model.json", model_record("0" * 64))
    assert plan_new(request, COMMAND).info.weights
    write_record(tmp_path / "model.json", model_record(tiny_catalog.fingerprint))
    with pytest.raises(UserError, match=r"was trained on these very data \(fingerprint [0-9a-f]{16}\), including all"):
        plan_new(request, COMMAND)
    record = model_record(tiny_catalog.fingerprint)
    write_record(tmp_path / "model.json", {**record, "files": {"model.safetensors": "0" * 64}})
    with pytest.raises(UserError, match=r"model\.safetensors: not the file that model\.json was written for; restore"):
        plan_new(request, COMMAND)


def test_an_existing_study_is_refused(started: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    started()
    with pytest.raises(UserError, match=r"study one already exists in .*runs; resume it with --resume"):
        plan_new(request_for(), COMMAND)


def test_a_study_without_a_name_gets_one(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(study=None), COMMAND)
    assert plan.folder.parent == request_for().runs
    assert plan.folder.name[:8].isdigit()
    assert len({new_name()[15:] for _ in range(40)}) > 36, "unique even within a second"


def test_resuming_takes_everything_from_the_study(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = started(settings=["data.size_px=32"], seed=3, trials=4, objective="tta_auroc")
    again = plan_resumed(bare(request_for()))
    assert again.info == plan.info
    assert (again.space, again.splits) == (plan.space, plan.splits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 3}, r"--folds: the study was started with 2, got 3; leave it out to resume"),
        ({"seed": 1}, r"--seed: the study was started with 0, got 1"),
        ({"preset": "debug"}, r"--preset: the study was started with 'seed', got 'debug'"),
        ({"objective": "tta_auroc"}, r"--objective: the study was started with 'tta_accuracy', got 'tta_auroc'"),
        ({"objective": "tta_accuracy,cost"}, r"--objective: the study was started with 'tta_accuracy', got '.*,cost'"),
        ({"racing": False}, r"^--no-racing: the study was started with racing; leave it out to resume"),
        ({"sampler": "gp"}, r"--sampler: the study was started with 'tpe', got 'gp'; leave it out to resume"),
        ({"starts": 5}, r"--starts: the study was started with 1, got 5; leave it out to resume"),
        ({"margin": 2.0}, r"--margin: the study was started with 1.0, got 2.0"),
        ({"warm_start": ["old"]}, r"--warm-start: the study was started with \[\], got \['old'\]"),
        ({"protocol": "random-cell"}, r"--protocol: the study was started with 'grouped', got 'random-cell'"),
        ({"settings": ["train.epochs=9"]}, r"--set: the study was started with .*32.*, got .*9"),
        ({"trials": 0}, r"--trials: expected at least 1, got 0"),
        ({"study": "two"}, r"no study at .*two"),
    ],
)
def test_changed_arguments_are_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request], changes: dict[str, Any], message: str
) -> None:
    started(settings=["data.size_px=32"])
    with pytest.raises(UserError, match=message):
        plan_resumed(bare(request_for(), **changes))


def test_the_number_of_threads_on_a_cpu_is_kept_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    """On another machine, an equal share of its CPUs would change the results."""
    plan = started()
    assert "cpu_threads" not in plan.info.to_dict()
    # As for a study of an older version, or of a GPU: any number is accepted, and the first search on a CPU fixes it.
    plan = plan_resumed(bare(request_for(), cpus_per_trial=2)).with_cpu_threads(2)
    assert resumed(plan).info.to_dict()["cpu_threads"] == 2
    for number in (None, 2):
        again = plan_resumed(bare(request_for(), cpus_per_trial=number))
        assert again.info.cpu_threads == again.with_cpu_threads(None).info.cpu_threads == 2
    with pytest.raises(
        UserError,
        match=r"^--cpus-per-trial: the study was started with 2, got 1, and on a CPU the number of threads affects the "
        r"results; leave it out to resume, or start a new study$",
    ):
        plan_resumed(bare(request_for(), cpus_per_trial=1))


@pytest.mark.parametrize("threads", [0, 1.5, "2", True])
def test_an_invalid_number_of_threads_in_study_json_is_refused(
    started: Callable[..., Plan], request_for: Callable[..., Request], threads: Any
) -> None:
    change_info(Study(started().folder), cpu_threads=threads)
    with pytest.raises(UserError, match=r"study\.json: field 'cpu_threads': expected"):
        plan_resumed(bare(request_for()))


def test_unchanged_arguments_are_accepted_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    arguments = {"settings": ["data.size_px=32"], "seed": 0, "preset": "seed", "trials": 3, "margin": 1.0}
    started(**arguments)
    assert plan_resumed(request_for(**arguments)).info.trials == 3


def test_trials_can_be_added_but_not_removed(started: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    plan = started(trials=2)
    assert plan_resumed(bare(request_for(), trials=9)).info.trials == 9
    for number in range(2):
        Study(plan.folder).begin_trial(number, plan.space.start)
    assert plan_resumed(bare(request_for(), trials=2)).info.trials == 2
    with pytest.raises(UserError, match=r"--trials: study one has started 2 of its 2 trials, got 1; raise it, or"):
        plan_resumed(bare(request_for(), trials=1))
    started(study="two", trials=5)
    with pytest.raises(
        UserError, match=r"--trials: study two has started 0 of its 5 trials, got 4; .* leave it out to resume"
    ):
        plan_resumed(bare(request_for(), study="two", trials=4))


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("Infinity", "a finite number, got inf"),
        ("NaN", "a finite number, got nan"),
        ("-1.0", r"at least 0, got -1\.0"),
        ("true", "a number, got True"),
    ],
)
def test_an_invalid_margin_in_study_json_is_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request], written: str, found: str
) -> None:
    path = without_checksums(started().folder) / "study.json"
    path.write_text(path.read_text().replace('"margin": 1.0', f'"margin": {written}'))
    with pytest.raises(UserError, match=rf"study\.json: field 'margin': expected {found}; restore"):
        plan_resumed(bare(request_for()))


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("trials", -3, "at least 1"), ("repeats", -2, "at least 0"), ("patience", True, "an integer")],
)
def test_invalid_numbers_in_study_json_are_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request], field: str, value: int, expected: str
) -> None:
    plan = started()
    change_info(Study(plan.folder), **{field: value})
    with pytest.raises(UserError, match=rf"study.json: field '{field}': expected {expected}, got"):
        plan_resumed(request_for())


def test_a_number_of_folds_that_does_not_match_the_split_is_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = started()
    change_info(Study(plan.folder), folds=7)
    with pytest.raises(UserError, match=r"study.json: field 'folds': expected 2, as in splits.json, got 7; restore"):
        plan_resumed(bare(request_for()))


def test_a_folder_with_a_journal_but_no_study_json_is_refused(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    folder = started().folder
    (folder / "study.json").unlink()
    (folder / JOURNAL).touch()
    with pytest.raises(
        UserError, match=r"runs/one contains the trials of a study whose study.json is missing; restore"
    ):
        plan_new(request_for(), COMMAND)


def test_repeats_and_patience_can_change_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    started(repeats=1, patience=9)
    same = plan_resumed(bare(request_for()))
    assert (same.rules.repeats, same.rules.patience) == (1, 9)
    more = plan_resumed(bare(request_for(), repeats=4, patience=50))
    assert (more.rules.repeats, more.rules.patience) == (4, 50)
    assert (more.info.repeats, more.info.patience) == (4, 50)
    assert plan_resumed(bare(request_for(), repeats=0)).rules.repeats == 0


def test_a_budget_is_kept_and_can_change_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    """Otherwise a resumed search would have no budget."""
    assert plan_new(request_for(), COMMAND).info.budget_hours == math.inf
    plan = started(budget_hours=1.5)
    assert plan_resumed(bare(request_for())).info.budget_hours == 1.5
    more = plan_resumed(bare(request_for(), budget_hours=3.0))
    assert more.info.budget_hours == 3.0
    for value in ("much", -1, True, None):
        change_info(Study(plan.folder), budget_hours=value)
        with pytest.raises(UserError, match=r"study\.json: field 'budget_hours': expected a(t least 0| number), got"):
            plan_resumed(bare(request_for()))


def test_a_study_of_a_version_without_racing_is_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = started()
    path = without_checksums(plan.folder) / "study.json"
    content = json.loads(path.read_text())
    del content["racing"]
    write_json(path, content)
    assert Study.open(plan.folder).info.absent == ("racing",)
    with pytest.raises(UserError, match=r"study.json: expected a field 'racing'"):
        plan_resumed(bare(request_for()))


def test_a_warm_start_reuses_trials_of_earlier_studies(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    old = started(study="old")
    for number, state in enumerate(("failed", "stopped", "stopped")):
        Study(old.folder).begin_trial(number, old.space.start.with_settings({"augment.rotate": number / 4}))
        Study(old.folder).end_trial(number, state, "reason", None)  # type: ignore[arg-type]
    plan = started(study="new", warm_start=["old"], trials=1)
    assert [each.origin.trial for each in plan.priors] == ["0001", "0002"]
    assert plan.info.warm_start == ["old"]
    assert describe_rules(plan)[-1] == "warm start: 2 trials of old"
    again = plan_resumed(bare(request_for(), study="new"))
    assert [each.prior for each in again.priors] == [each.prior for each in plan.priors]
    # Reused trials do not count towards --trials.
    Study(plan.folder).begin_trial(2, plan.space.start)
    assert plan_resumed(bare(request_for(), study="new", trials=1)).info.trials == 1


def test_pausing_is_kept_and_remembered_when_it_is_turned_off(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    """Fold 0 has chosen which trials run on, and that cannot be undone."""
    plan = started()
    assert not {"pausing", "paused_before"} & json.loads((plan.folder / "study.json").read_text()).keys()
    assert (plan.info.fold_0_chose, plan.info.scored_folds, plan.rules.first_look) == (False, [0, 1], 1)
    plan = started(study="two", pausing=True)
    assert (plan.info.paused_before, plan.info.scored_folds, plan.rules.first_look) == (False, [1], 2)
    assert describe_rules(plan)[0].startswith("racing: has no effect with two folds and pausing; ")
    three = dataclasses.replace(plan, info=dataclasses.replace(plan.info, folds=3))
    assert describe_rules(three)[0].startswith("racing: after each fold but the first, a trial is stopped")
    assert describe_rules(plan)[1].startswith(
        "pausing: a trial waits after 2 (5 %), 5 (15 %) and 14 (45 %) of the 30 epochs of fold 1 and at its end, and "
        "goes on if it is among the best 33 % of those that came so far, "
    )
    assert plan.rules.rungs == Rungs()
    for given, expected in (({}, True), ({"pausing": False}, False), ({}, False)):
        plan = plan_resumed(bare(request_for(), study="two", **given))
        Study(plan.folder).updated(plan.info)
        assert Study.open(plan.folder).info == plan.info
        assert (plan.info.pausing, plan.info.paused_before, plan.info.scored_folds) == (expected, True, [1])
        assert (plan.rules.pausing, plan.rules.first_look) == (expected, 2)


def test_one_trial_is_repeated_once(started: Callable[..., Plan]) -> None:
    text = "are repeated with up to 2 other seeds"
    assert describe_rules(started(study="one", trials=1, repeats=2))[0].endswith(
        f"{text} (one here: a single trial has no runner-up to be compared with)"
    )
    assert describe_rules(started(study="two", trials=2, repeats=2))[0].endswith(text)


def test_with_one_fold_no_trial_waits(started: Callable[..., Plan]) -> None:
    """No other fold would be left to score the winner on."""
    plan = started(pausing=True)
    single = dataclasses.replace(plan, info=dataclasses.replace(plan.info, folds=1))
    assert (single.info.fold_0_chose, single.info.scored_folds) == (False, [0])
    assert not single.rules.fold_0_chose


@pytest.mark.parametrize("pausing", [False, True])
def test_a_study_with_trials_of_one_that_paused_counts_as_paused(
    started: Callable[..., Plan], request_for: Callable[..., Request], pausing: bool
) -> None:
    old = started(study="old", pausing=pausing)
    Study(old.folder).begin_trial(0, old.space.start)
    Study(old.folder).end_trial(0, "stopped", "reason", None)
    for name, earlier in (("new", "old"), ("newer", "new")):
        plan = started(study=name, warm_start=[earlier])
        assert (plan.info.pausing, plan.info.paused_before) == (False, pausing)
        assert plan.rules.first_look == 1 + pausing
        copy_priors(plan.priors, Study(plan.folder))


def test_a_warm_start_from_other_folds_or_another_space_is_refused(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    old = started(study="old")
    Study(old.folder).begin_trial(0, old.space.start)
    Study(old.folder).end_trial(0, "stopped", "reason", None)
    with pytest.raises(UserError, match=r"--warm-start: study old has other folds; .*\(2, 0, grouped\)"):
        plan_new(request_for(seed=1, warm_start=["old"]), COMMAND)
    with pytest.raises(UserError, match=r"--warm-start: none of the 1 finished trials of study old fits this space"):
        plan_new(request_for(settings=["train.epochs=3"], warm_start=["old"]), COMMAND)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {},
            "racing: after each fold, a trial is stopped if it is worse than the best by more than 1 point, with 95 % "
            "confidence over all comparisons; the starting recipe and the leaders are repeated with up to 2 other "
            "seeds",
        ),
        ({"racing": False, "repeats": 0}, "racing: off; every trial runs all folds unless it is no better than chance"),
        (
            {"racing": False, "repeats": 1},
            "racing: off; every trial runs all folds unless it is no better than chance; the starting recipe and the "
            "leaders are repeated with up to 1 other seed",
        ),
    ],
)
def test_the_rules_are_described(request_for: Callable[..., Request], changes: dict[str, Any], line: str) -> None:
    assert describe_rules(plan_new(request_for(**changes), COMMAND)) == [line]


def test_other_data_are_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    started()
    data = tmp_path / "other"
    for label, name in enumerate(("hem", "all")):
        for subject in range(3):
            path = data / "fold_0" / name / f"UID_{subject + 9 * label}_1_1_{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((32, 32, 3), 50 * label + subject, np.uint8)).save(path)
    with pytest.raises(
        UserError, match=r"study one was run on other data: fingerprint \w{16}, .* has \w{16}.*subject-spelling exact"
    ):
        plan_resumed(bare(request_for(), data=str(data)))


def test_moved_data_are_read_from_the_new_location_and_recorded(
    started: Callable[..., Plan], request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    started()
    moved = tmp_path / "moved"
    moved.symlink_to(tiny_folder)
    assert plan_resumed(bare(request_for(), data=str(moved))).info.data.uri == str(moved.resolve())


def test_another_split_is_refused_on_resume(started: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    plan = started()
    path = without_checksums(plan.folder) / "splits.json"
    content = json.loads(path.read_text())
    first = content["folds"][0]
    first["training"][0], first["validation"][0] = first["validation"][0], first["training"][0]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"splits.json is not the split that the study was started with; restore it"):
        plan_resumed(bare(request_for()))


def test_the_balance_is_printed_with_the_plan_and_checked_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan, console = started(), Console(file=io.StringIO(), width=200)
    print_plan(console, plan)
    assert isinstance(console.file, io.StringIO)
    assert "\nfolds 1 to 2: 24, 24 images; 6, 6 subjects; 0.500, 0.500 leukemic\n" in console.file.getvalue()
    path = plan.folder / "splits.json"
    content = json.loads(path.read_text())
    content["balance"][1]["leukemic"] = 0.25
    write_record(path, content)
    with pytest.raises(UserError, match=r"splits.json: field 'balance.1': expected .*0.5.* got .*0.25.*; restore"):
        plan_resumed(bare(request_for()))
    # As an older version wrote it.
    del content["balance"]
    write_record(path, content)
    assert plan_resumed(bare(request_for())).splits.sha256() == plan.info.splits_sha256


def test_a_folder_that_json_cannot_carry_is_refused(
    request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system allows only UTF-8 names")
    (folder / "hem").symlink_to(tiny_folder / "fold_0" / "hem")
    (folder / "all").symlink_to(tiny_folder / "fold_0" / "all")
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=r": expected a path in UTF-8; rename the folder$"):
        plan_new(request_for(data="."), COMMAND)


@pytest.mark.parametrize("field", ["uri", "base", "subjects_from"])
def test_an_empty_location_in_study_json_is_refused(
    field: str, started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = started()
    change_info(Study(plan.folder), data=dataclasses.asdict(plan.info.data) | {field: ""})
    with pytest.raises(UserError, match=rf"study.json: field 'data.{field}': expected text of at least 1 char"):
        plan_resumed(bare(request_for()))


def test_another_space_is_refused_on_resume(started: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    plan = started()
    space = plan.info.space | {"augment.blur": {"low": 0.0, "high": 0.9, "log": False}}
    change_info(Study(plan.folder), space=space)
    with pytest.raises(
        UserError, match=r"study one was started with another search space than that of this version.*version \d+\.\d+"
    ):
        plan_resumed(bare(request_for()))


def test_weights_that_changed_are_refused_on_resume(
    started: Callable[..., Plan], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    weights = tmp_path / "w.pt"
    torch.save(small_state(), weights)
    started(settings=[f"model.pretrained={weights}"])
    plan_resumed(bare(request_for()))
    torch.save({"conv1.weight": torch.zeros(1)}, weights)
    with pytest.raises(UserError, match=r"has SHA-256 .* but this recipe was run with"):
        plan_resumed(bare(request_for()))


def test_resuming_without_a_name_resumes_the_newest_study(
    started: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    for name, created in (("a", "2026-01-02T00:00:00Z"), ("b", "2026-03-01T00:00:00Z"), ("c", "2026-02-01T00:00:00Z")):
        plan = started(study=name)
        change_info(Study(plan.folder), created=created)
    assert plan_resumed(bare(request_for(), study=None)).folder.name == "b"


def test_resuming_without_any_study_is_refused(request_for: Callable[..., Request]) -> None:
    with pytest.raises(UserError, match=r"--resume: no study in .*runs; start one without --resume"):
        plan_resumed(bare(request_for(), study=None))
    with pytest.raises(MissingFile, match=r"no study at .*runs/one"):
        plan_resumed(bare(request_for()))


def test_cost_counts_trials_folds_and_epochs(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(trials=10, settings=["train.epochs=5", "model.depth=18"]), COMMAND)
    # 10 trials x 48 images x (2 - 1) folds' worth x 5 epochs x 3 s = 2 h.
    text = describe_cost(plan, timing({18: 3.0}))
    assert text.startswith("cost: 10 trials x 2 folds x 5 epochs, on cpu (test)\n")
    assert "\n  ResNet-18: 2.0 device hours if all trials have this depth, 12 device minutes a trial\n" in text
    assert (
        "\nall trials: 2.0 device hours; wall time on this machine's CPU: 2.0 hours, without stopped trials\n" in text
    )
    assert "ResNet-18: 2 device minutes if" in describe_cost(plan, timing({18: 0.03}))
    assert "to take about a day" not in text
    assert plan.image_bytes() == 48 * 32 * 32 * 3
    assert plan.checkpoint_bytes() > plan.model_bytes() > 40_000_000


def timing(seconds: dict[int, float | None], device: str = "cpu (test)", num_devices: int = 1) -> Timing:
    return Timing(seconds=seconds, device=device, num_devices=num_devices)


def test_cost_is_said_by_depth_and_for_the_devices_of_the_machine(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(trials=10, patience=100, settings=["train.epochs=5"]), COMMAND)
    assert sorted(networks_of(plan)) == [18, 50, 152]
    assert networks_of(plan)[0] == plan.space.start.model.depth
    text = describe_cost(plan, timing({18: 3.0, 50: 6.0, 152: 27.0}, "cuda (test)", 4))
    for depth, hours in ((18, 2), (50, 4), (152, 18)):
        assert f"\n  ResNet-{depth}: {hours}.0 device hours if all trials have this depth, " in text
    # The mean is 8 device hours; an epoch of a fold has 24 images.
    together = "all trials: 8.0 device hours (with equally many of each depth); wall time on this machine's 4 devices: "
    assert f"\n{together}2.0 hours, without stopped trials\n" in text
    assert text.endswith("\nan epoch of a fold: 648 device seconds of the slowest depth")
    without = describe_cost(plan, timing({18: 3.0, 50: 6.0, 152: None}))
    assert "\n  ResNet-152: out of memory with the starting recipe's batch size; such trials would fail\n" in without
    assert "\nall trials: 3.0 device hours (with equally many of each depth); " in without


def test_a_long_search_says_what_makes_it_shorter(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(trials=10, patience=100, settings=["train.epochs=5"]), COMMAND)
    slow = timing({18: 30.0, 50: 60.0, 152: 270.0}, "cuda (test)", 2)
    # 20, 40 and 180 device hours: on the mean 80, for two devices.
    assert (
        "\nto take about a day on this machine: --budget-hours 48 (no trial starts later), or --trials 6, or --set "
        "model.depth=18 (then 10.0 hours), or --set train.epochs=3\n" in describe_cost(plan, slow)
    )
    limited = dataclasses.replace(plan, info=dataclasses.replace(plan.info, budget_hours=40))
    assert "to take about a day" not in describe_cost(limited, slow)


def test_limits_that_may_end_the_search_earlier_are_estimated(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(trials=10, patience=6, settings=["train.epochs=5", "model.depth=18"]), COMMAND)
    assert "\nit ends earlier after 1.2 device hours without an improvement (--patience)\n" in describe_cost(
        plan, timing({18: 3.0})
    )
    changes = {"pausing": True, "budget_hours": 1.5}
    plan = dataclasses.replace(plan, info=dataclasses.replace(plan.info, **changes))
    assert (
        "\nit ends earlier after 1.5 device hours (--budget-hours), or after 24 device minutes without an improvement "
        "(--patience)\n" in describe_cost(plan, timing({18: 3.0}))
    )


@pytest.mark.parametrize(("batch_size", "num_images"), [(2, 8), (16, 24)])
def test_the_timed_epoch_has_no_more_images_than_a_fold(
    request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, batch_size: int, num_images: int
) -> None:
    timed: list[int] = []

    def fit(recipe: Recipe, split: Split, **options: Any) -> list[SimpleNamespace]:
        timed.append(len(split.images))
        return [SimpleNamespace(images_per_second=1.0)]

    monkeypatch.setattr("search.planning.timing.fit", fit)
    plan = plan_new(request_for(settings=[f"train.batch_size={batch_size}"]), COMMAND)
    estimate.print_estimate(Console(), plan, "cpu")
    assert timed == [num_images] * 3, "for each depth"


@pytest.mark.parametrize("message", ["CUDA out of memory", "device-side assert triggered"])
def test_a_depth_that_does_not_fit_is_said_and_other_errors_are_raised(
    request_for: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    message: str,
) -> None:
    def fit(recipe: Recipe, split: Split, **options: Any) -> list[SimpleNamespace]:
        if recipe.model.depth == 152:
            raise (torch.OutOfMemoryError if "memory" in message else RuntimeError)(message)
        return [SimpleNamespace(images_per_second=1.0)]

    monkeypatch.setattr("search.planning.timing.fit", fit)
    plan = plan_new(request_for(), COMMAND)
    if "memory" in message:
        estimate.print_estimate(Console(), plan, "cpu")
        assert "ResNet-152: out of memory with the starting" in capsys.readouterr().out
    else:
        with pytest.raises(RuntimeError, match=message):
            estimate.print_estimate(Console(), plan, "cpu")


def test_fields_name_only_the_optimizers_that_the_search_tries(request_for: Callable[..., Request]) -> None:
    def with_field(key: str, *settings: str) -> list[str]:
        space = plan_new(request_for(settings=list(settings)), COMMAND).space
        return estimate._with_field(next(each for each in space.dimensions if each.key == key), space)

    assert with_field("optimizer.restart_epochs") == ["adamw", "ranger21_cosine"]
    assert with_field("optimizer.learning_rate") == []
    assert with_field("optimizer.weight_decay", "optimizer.name=adamw") == [], "all trials have it"


def test_images_that_were_excluded_are_in_the_study_without_their_folders(
    request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "cells"
    training = Path(shutil.copytree(tiny_folder, data / "C-NMC_training_data"))
    shutil.copytree(training / "fold_0" / "all", data / "of Smith")
    plan = plan_new(request_for(data=str(data)), COMMAND)
    assert any("of Smith" in remark for remark in plan.catalog.remarks)
    (note,) = [note for note in plan.info.data.notes if note.startswith("excluded")]
    assert re.fullmatch(r"excluded \d+ images outside the training folders, never used for training", note)


def test_checkpoint_size_is_that_of_the_largest_network(request_for: Callable[..., Request]) -> None:
    fixed = plan_new(request_for(settings=["model.depth=18", "model.shortcut=add"]), COMMAND)
    assert fixed.checkpoint_bytes() == 5 * 4 * 11_177_538
    assert plan_new(request_for(), COMMAND).checkpoint_bytes() > 5 * 4 * 58_147_906
    settings = ["model.depth=18", "model.shortcut=add", "optimizer.name=ranger21_package"]
    assert plan_new(request_for(settings=settings), COMMAND).checkpoint_bytes() == 6 * 4 * 11_177_538


@pytest.mark.parametrize("where", ["runs", "fold_0", "."])
def test_a_study_among_the_images_is_refused(tiny_folder: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pictures would be images of the next study."""
    monkeypatch.chdir(tiny_folder)
    before = sorted(tiny_folder.rglob("*"))
    request = Request(runs=Path(where), study="leukemia", data=".")
    with pytest.raises(
        UserError, match=r"^--runs: expected a folder outside the images in .*, got .*leukemia; choose another --runs$"
    ):
        plan_new(request, "python -m search.run")
    assert sorted(tiny_folder.rglob("*")) == before


def test_a_cache_among_the_images_is_refused(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKEMIA_CACHE", str(tiny_folder / "cache"))
    with pytest.raises(UserError, match=r"^LEUKEMIA_CACHE: expected a folder outside the images in .*cache; choose"):
        plan_new(Request(runs=tmp_path, data=str(tiny_folder)), "python -m search.run")
    assert not (tiny_folder / "cache").exists()


def test_a_circle_of_links_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    runs, loop = tmp_path / "runs", tmp_path / "a"
    for action in (
        lambda: plan_new(Request(runs=runs, data=str(loop)), "python -m search.run"),
        lambda: plan_new(Request(runs=loop, data=str(tmp_path)), "python -m search.run"),
        lambda: settings_of([f"model.pretrained={loop}"]),
    ):
        with pytest.raises(UserError, match=r"^[^\n]*/a[^\n]*$"):
            action()
    assert not runs.exists()


@pytest.mark.parametrize("name", ["-x", "--", ".x.tmp", "...", "_x", "a" * 201])
def test_a_new_study_needs_a_name_that_every_command_accepts(request_for: Callable[..., Request], name: str) -> None:
    with pytest.raises(UserError, match=r"^--study: expected a letter or digit first, and at most 200 characters, got"):
        plan_new(request_for(study=name), COMMAND)
