"""A study is checked against itself: one changed digit is refused before a result is shown."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers.studies import change_info, with_checksums

from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.report import main
from leukemia.study.folder import Study
from leukemia.study.verification import verify

EXAMPLE = Path(__file__).parents[1] / "example_study"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A study of an earlier version, without checksums."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "runs" / "example"))


@pytest.fixture
def folder(old: Path) -> Path:
    """A study with checksums."""
    return with_checksums(old)


def change(path: Path, pattern: str, new: str) -> None:
    """Replace the first match of a pattern."""
    text = path.read_text()
    changed = re.sub(pattern, new, text, count=1)
    assert changed != text
    path.write_text(changed)


def test_studies_with_and_without_checksums_are_verified(old: Path) -> None:
    verify(Study.open(old))
    verify(Study.open(with_checksums(old)))
    assert json.loads((old / "best.json").read_text())["sha256"]


SCORES = [
    ("trials/0001/seed_0/fold_1.json", '"tta_accuracy": [0-9.]+', '"tta_accuracy": 0.999', "scores.tta_accuracy"),
    ("trials/0001/seed_0/fold_1.json", '"tta_ece": 0.0', '"tta_ece": 0.1', "scores.tta_ece"),
    ("trials/0000/state.json", '"score": 0.97', '"score": 0.87', "'score': the 2 folds of the trial give 0.97"),
    ("best.json", '"raw": 0.97', '"raw": 0.98', "'score.raw': the folds give 0.97"),
    ("best.json", '"majority_rate": 0.5', '"majority_rate": 0.6', "'majority_rate': the predictions give 0.5"),
    ("best.json", '("auroc": {\\s+"value": [0-9.]+,\\s+"low": 0.)9', "\\g<1>8", "'scores.auroc.low': the predictions"),
    ("best.json", '("pooled": {\\s+"value": 0.)97', "\\g<1>98", "'score.pooled.value': the predictions give 0.97"),
    ("best.json", '"num_complete": 2', '"num_complete": 9', "'num_complete': expected at most 2, the complete"),
    ("best.json", '"seeds": \\[\\s+0\\s+\\]', '"seeds": [0, 1]', "'seeds': expected seeds of trial 0000 with all 2"),
    ("trials/0001/seed_0/fold_1.json", '"fold": 1', '"fold": 0', "'fold': expected 1, as in its path, got 0"),
    ("trials/0001/seed_0/fold_1.json", '"seed": 0', '"seed": 7', "'seed': expected 0, as in its path, got 7"),
    ("trials/0001/seed_0/fold_1.json", '"n": 24', '"n": -4', "'n': expected at least 1, got -4"),
    ("study.json", '"model.depth": 18', '"model.deptb": 18', "unknown recipe field 'model.deptb'"),
    ("study.json", '"train.epochs": 3,\n    "train.batch', '"train.epochs": 0,\n    "train.batch', "train.epochs"),
]


@pytest.mark.parametrize(("name", "pattern", "new", "message"), SCORES)
def test_a_score_that_contradicts_its_source_is_refused(
    old: Path, name: str, pattern: str, new: str, message: str
) -> None:
    change(old / name, pattern, new)
    with pytest.raises(UserError, match=rf"{name}: .*{re.escape(message)}.*restore the file from a backup$"):
        main(["example", "--runs", str(old.parent)])
    assert not [*old.glob("*.png"), *old.glob("*.html")]


@pytest.mark.parametrize("name", ["recipe.json", "state.json", "epochs.csv", "seed_0", ""])
@pytest.mark.parametrize("other_study", [False, True])
def test_a_file_of_another_trial_or_study_is_refused(folder: Path, name: str, other_study: bool) -> None:
    """As after a backup that was restored into the wrong folder: each file is intact."""
    source, number = folder, 1
    if other_study:
        source, number = Path(shutil.copytree(EXAMPLE, folder.parent / "other")), 0
        change(source / "study.json", '"study_uid": "[0-9a-f]{8}"', '"study_uid": "00000001"')
        (source / "best.json").unlink()
        with_checksums(source)
        verify(Study.open(source))
    target = folder / "trials" / "0000" / name
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    original = source / "trials" / f"{number:04d}" / name
    (shutil.copytree if original.is_dir() else shutil.copy)(original, target)
    with pytest.raises(UserError, match=r"0000/.*was changed after it was written, or belongs to another trial or st"):
        verify(Study.open(folder))


@pytest.mark.parametrize(
    ("kept", "found"), [(0, r"fold 1 \(0 in the file\), seed 0, which is finished, found 0"), (-1, "fold 2.* found 2")]
)
def test_epochs_of_a_finished_fold_must_exist(folder: Path, kept: int, found: str) -> None:
    """Without its last lines, the file is intact."""
    path = folder / "trials" / "0001" / "epochs.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:kept])) if kept else path.unlink()
    with pytest.raises(UserError, match=rf"0001/epochs.csv: expected 3 epochs of {found}; restore the file from"):
        verify(Study.open(folder))


def test_the_split_of_another_study_is_refused(folder: Path) -> None:
    """Intact, and of the same data."""
    content = json.loads((folder / "splits.json").read_text())
    write_record(folder / "splits.json", {**content, "seed": content["seed"] + 1})
    with pytest.raises(UserError, match=r"splits.json is not the split that the study was started with; restore"):
        verify(Study.open(folder))
    change_info(Study.open(folder), splits_sha256="")
    verify(Study.open(folder))


def test_a_trial_in_place_of_two_is_refused(folder: Path) -> None:
    shutil.copytree(folder / "trials" / "0001", folder / "trials" / "0002")
    with pytest.raises(UserError, match=r"0002/.*belongs to another trial or study"):
        verify(Study.open(folder))


def test_a_moved_study_is_verified(folder: Path) -> None:
    verify(Study.open(folder.rename(folder.with_name("renamed"))))


def test_a_repeat_that_the_winner_was_compared_with_must_exist(folder: Path) -> None:
    study = Study.open(folder)
    content = json.loads((folder / "best.json").read_text())
    content["noise"]["seeds"] = {"0001": [0, 1]}
    write_record(folder / "best.json", content)
    with pytest.raises(UserError, match=r"0001/seed_1: has 0 of 2 folds, but is complete according to best.json; "):
        verify(study)


def test_a_probability_that_contradicts_its_score_is_refused(old: Path) -> None:
    path = old / "trials" / "0001" / "seed_0" / "fold_0.csv"
    change(path, ",1,0\\.9", ",1,0.1")
    with pytest.raises(UserError, match=r"0001/seed_0/fold_0.json: field 'scores.tta_.*': the predictions give"):
        verify(Study.open(old))


def test_one_changed_digit_of_any_file_is_refused(folder: Path) -> None:
    paths = [path for path in folder.rglob("*") if path.suffix in (".json", ".csv") and "final" not in path.parts]
    assert len(paths) == 17
    for path in paths:
        whole = path.read_bytes()
        place = [index for index, byte in enumerate(whole) if 48 <= byte <= 57][-20]
        path.write_bytes(whole[:place] + bytes([48 + (whole[place] - 47) % 10]) + whole[place + 1 :])
        with pytest.raises(UserError, match=rf"{path.name}: .*was changed after it was written.*; restore"):
            verify(Study.open(folder))
        path.write_bytes(whole)
    verify(Study.open(folder))
