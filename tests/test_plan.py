"""What a search is about to do: each refusal in one clear line, and nothing written before all is decided."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from leukemia.config import Recipe
from leukemia.files import write_json
from leukemia.mistakes import MissingFile, Mistake
from leukemia.model import ResNet
from leukemia.study import Study
from search.plan import Plan, Request, describe_cost, new_name, plan_new, plan_resumed

COMMAND = "python -m search.run"


@pytest.fixture
def request_for(tmp_path: Path, tiny_folder: Path) -> Callable[..., Request]:
    def make(**changes: Any) -> Request:
        given: dict[str, Any] = {field.name: None for field in dataclasses.fields(Request)}
        given |= {"data": str(tiny_folder), "runs": tmp_path / "runs", "study": "one", "settings": [], "folds": 2}
        return Request(**{**given, **changes})

    return make


@pytest.fixture
def begun(request_for: Callable[..., Request]) -> Callable[..., Plan]:
    """Begin a study as the command does."""

    def begin(**changes: Any) -> Plan:
        plan = plan_new(request_for(**changes), COMMAND)
        plan.folder.mkdir(parents=True)
        plan.splits.save(plan.folder / "splits.json")
        Study.create(plan.folder, plan.info)
        return plan

    return begin


def bare(request: Request, **changes: Any) -> Request:
    """The same command with ``--resume`` and little else."""
    nothing = {"data": None, "folds": None}
    return dataclasses.replace(request, **{**nothing, **changes})


def test_a_plan_holds_all_decisions_and_writes_nothing(request_for: Callable[..., Request], tmp_path: Path) -> None:
    plan = plan_new(request_for(trials=7, settings=["data.size_px=32", "train.epochs=3"], seed=5), COMMAND)
    assert (plan.num_trials, plan.view.crop_px, plan.view.size_px) == (7, 32, 32)
    assert plan.info["settings"] == {"data.size_px": 32, "train.epochs": 3}
    assert (plan.info["seed"], plan.splits.seed, len(plan.splits.folds)) == (5, 5, 2)
    assert plan.info["protocol"] == "grouped"
    assert Recipe.from_flat(plan.info["start"]) == plan.space.start
    assert plan.info["space"] == plan.space.describe()
    assert json.loads(json.dumps(plan.info)) == plan.info
    assert list(tmp_path.iterdir()) == []


def test_defaults_are_those_of_the_help(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(folds=None), COMMAND)
    assert [plan.info[key] for key in ("folds", "seed", "trials", "preset", "objective")] == [
        5,
        0,
        50,
        "seed",
        "tta_accuracy",
    ]


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
        ({"settings": ["train.epochs=many"]}, r"train.epochs: expected a whole number, got 'many'"),
        ({"settings": ["train.epochs=1", "train.epochs=2"]}, r"train.epochs is set twice"),
        ({"settings": ["augment.blur=2"]}, r"augment.blur: expected a value from 0 to 1"),
        ({"settings": ["data.crop_px=64"]}, r"crop is 64 px, but the smallest image's side is 32 px"),
        ({"settings": ["optimizer.restart_epochs=0"]}, r"optimizer.restart_epochs: expected a value from 1"),
        ({"settings": ["model.pretrained=absent.pt"]}, r"model.pretrained: no file at .*absent.pt"),
        ({"subjects_from": Path("x")}, r"--subjects-from has no effect: .* names its subjects itself"),
        ({"data": "/nowhere/at/all"}, r"/nowhere/at/all"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line_and_nothing_is_written(
    request_for: Callable[..., Request], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Mistake, match=message) as refusal:
        plan_new(request_for(**changes), COMMAND)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_one_class_only_is_refused(request_for: Callable[..., Request], tmp_path: Path) -> None:
    data = tmp_path / "data" / "fold_0" / "all"
    data.mkdir(parents=True)
    for subject in range(4):
        Image.fromarray(np.full((32, 32, 3), subject, np.uint8)).save(data / f"UID_{subject}_1_1_all.png")
    with pytest.raises(Mistake, match=r"expected images of both classes, found 4 of class 1 \(all\) only"):
        plan_new(request_for(data=str(tmp_path / "data")), COMMAND)
    assert not (tmp_path / "runs").exists()


def test_data_without_subjects_are_split_by_cell_and_not_by_group(
    request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    rows = [f"{path.relative_to(tiny_folder)},{int(path.parent.name == 'all')}" for path in tiny_folder.rglob("*.png")]
    table = tmp_path / "images.csv"
    table.write_text("\n".join(["Path,label", *sorted(rows)]))
    request = request_for(data=str(table), base=tiny_folder)
    assert plan_new(request, COMMAND).info["protocol"] == "random-cell"
    with pytest.raises(Mistake, match=r"--protocol grouped: no subject is known"):
        plan_new(dataclasses.replace(request, protocol="grouped"), COMMAND)


def test_weights_that_do_not_fit_are_refused_before_any_trial(
    request_for: Callable[..., Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(ResNet(18, num_classes=1000).state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    plan = plan_new(request_for(settings=["model.pretrained=w.pt"]), COMMAND)
    assert plan.info["settings"]["model.pretrained"] == str(tmp_path / "w.pt")
    assert plan.space.start.model.pretrained_sha256 is not None
    with pytest.raises(Mistake, match=r"does not fit: expected ResNet-50"):
        plan_new(request_for(settings=["model.pretrained=w.pt", "model.depth=50"]), COMMAND)


def test_a_study_that_exists_is_refused(begun: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    begun()
    with pytest.raises(Mistake, match=r"study one exists in .*runs; go on with --resume"):
        plan_new(request_for(), COMMAND)


def test_a_name_is_made_where_none_is_given(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(study=None), COMMAND)
    assert plan.folder.parent == request_for().runs
    assert plan.folder.name[:8].isdigit()
    assert len({new_name() for _ in range(40)}) > 3


def test_resuming_takes_everything_from_the_study(
    begun: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = begun(settings=["data.size_px=32"], seed=3, trials=4, objective="tta_auroc")
    again = plan_resumed(bare(request_for()))
    assert again.info == {"schema": 1, **plan.info}
    assert (again.space, again.splits) == (plan.space, plan.splits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 3}, r"--folds: the study was begun with 2, got 3; leave it out to resume"),
        ({"seed": 1}, r"--seed: the study was begun with 0, got 1"),
        ({"preset": "debug"}, r"--preset: the study was begun with 'seed', got 'debug'"),
        ({"objective": "tta_auroc"}, r"--objective: the study was begun with 'tta_accuracy', got 'tta_auroc'"),
        ({"protocol": "random-cell"}, r"--protocol: the study was begun with 'grouped', got 'random-cell'"),
        ({"settings": ["train.epochs=9"]}, r"--set: the study was begun with .*32.*, got .*9"),
        ({"trials": 0}, r"--trials: expected at least 1, got 0"),
        ({"study": "two"}, r"no study at .*two"),
    ],
)
def test_other_arguments_are_refused_on_resume(
    begun: Callable[..., Plan], request_for: Callable[..., Request], changes: dict[str, Any], message: str
) -> None:
    begun(settings=["data.size_px=32"])
    with pytest.raises(Mistake, match=message):
        plan_resumed(bare(request_for(), **changes))


def test_the_same_arguments_are_accepted_on_resume(
    begun: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    arguments = {"settings": ["data.size_px=32"], "seed": 0, "preset": "seed", "trials": 3}
    begun(**arguments)
    assert plan_resumed(request_for(**arguments)).num_trials == 3


def test_trials_may_be_added_but_not_taken_back(
    begun: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    plan = begun(trials=2)
    assert plan_resumed(bare(request_for(), trials=9)).num_trials == 9
    for number in range(2):
        Study(plan.folder).begin_trial(number, plan.space.start)
    assert plan_resumed(bare(request_for(), trials=1)).num_trials == 2


def test_other_data_are_refused_on_resume(
    begun: Callable[..., Plan], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    begun()
    data = tmp_path / "other"
    for label, name in enumerate(("hem", "all")):
        for subject in range(3):
            path = data / "fold_0" / name / f"UID_{subject + 9 * label}_1_1_{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((32, 32, 3), 50 * label + subject, np.uint8)).save(path)
    with pytest.raises(Mistake, match=r"study one was run on other data: fingerprint \w{16}, .* has \w{16}"):
        plan_resumed(bare(request_for(), data=str(data)))


def test_data_that_moved_are_found_where_the_user_says_and_remembered(
    begun: Callable[..., Plan], request_for: Callable[..., Request], tiny_folder: Path, tmp_path: Path
) -> None:
    begun()
    moved = tmp_path / "moved"
    moved.symlink_to(tiny_folder)
    assert plan_resumed(bare(request_for(), data=str(moved))).info["data"]["uri"] == str(moved.resolve())


def test_another_split_is_refused_on_resume(begun: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    plan = begun()
    path = plan.folder / "splits.json"
    content = json.loads(path.read_text())
    first = content["folds"][0]
    first["training"][0], first["validation"][0] = first["validation"][0], first["training"][0]
    path.write_text(json.dumps(content))
    with pytest.raises(Mistake, match=r"splits.json is not the split that the study began with; restore it"):
        plan_resumed(bare(request_for()))


def test_another_space_is_refused_on_resume(begun: Callable[..., Plan], request_for: Callable[..., Request]) -> None:
    plan = begun()
    space = plan.info["space"] | {"augment.blur": {"low": 0.0, "high": 0.9, "log": False}}
    write_json(plan.folder / "study.json", {"schema": 1, **plan.info, "space": space})
    with pytest.raises(Mistake, match=r"study one searches another space than this version.*version \d+\.\d+"):
        plan_resumed(bare(request_for()))


def test_weights_that_changed_are_refused_on_resume(
    begun: Callable[..., Plan], request_for: Callable[..., Request], tmp_path: Path
) -> None:
    weights = tmp_path / "w.pt"
    torch.save(ResNet(18, num_classes=1000).state_dict(), weights)
    begun(settings=[f"model.pretrained={weights}"])
    plan_resumed(bare(request_for()))
    torch.save({"conv1.weight": torch.zeros(1)}, weights)
    with pytest.raises(Mistake, match=r"has SHA-256 .* but this recipe was run with"):
        plan_resumed(bare(request_for()))


def test_resuming_without_a_name_takes_the_newest(
    begun: Callable[..., Plan], request_for: Callable[..., Request]
) -> None:
    for name, created in (("a", "2026-01-02T00:00:00Z"), ("b", "2026-03-01T00:00:00Z"), ("c", "2026-02-01T00:00:00Z")):
        plan = begun(study=name)
        write_json(plan.folder / "study.json", {"schema": 1, **plan.info, "created": created})
    assert plan_resumed(bare(request_for(), study=None)).folder.name == "b"


def test_resuming_without_any_study_is_refused(request_for: Callable[..., Request]) -> None:
    with pytest.raises(Mistake, match=r"--resume: no study in .*runs; start one without --resume"):
        plan_resumed(bare(request_for(), study=None))
    with pytest.raises(MissingFile, match=r"no study at .*runs/one"):
        plan_resumed(bare(request_for()))


def test_cost_counts_trials_folds_and_epochs(request_for: Callable[..., Request]) -> None:
    plan = plan_new(request_for(trials=10, settings=["train.epochs=5", "model.depth=18"]), COMMAND)
    # 10 trials x 48 images x (2 - 1) folds' worth x 5 epochs x 3 s = 2 h.
    words = describe_cost(plan, 3.0, "cpu (test)")
    assert "10 trials x 2 folds x 5 epochs" in words
    assert "2.0 device hours" in words
    assert describe_cost(plan, 0.03, "cpu (test)").count("2 device minutes") == 1
    assert plan.image_bytes() == 48 * 32 * 32 * 3


def test_checkpoint_size_is_that_of_the_largest_network(request_for: Callable[..., Request]) -> None:
    fixed = plan_new(request_for(settings=["model.depth=18", "model.shortcut=add"]), COMMAND)
    assert fixed.checkpoint_bytes() == 6 * 4 * 11_177_538
    assert plan_new(request_for(), COMMAND).checkpoint_bytes() > 6 * 4 * 58_147_906
