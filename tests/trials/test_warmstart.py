"""Warm start: reuse of finished trials of earlier studies on the same data, folds and space, one per recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.studies import SOURCE, info_of, without_checksums

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.recipe import Recipe
from leukemia.config.results import Epoch, FoldResult
from leukemia.study.folder import Study
from leukemia.study.schema import Origin, State
from search.policy.space import make_space
from search.sampling.journal import Prior
from search.trials.warmstart import copy_priors, find_priors, priors_of

SPACE = make_space(Recipe().resolved([(64, 64)]), {})
TABLE = pd.DataFrame(
    {"image_id": list("abcdefgh"), "subject": list("12345678"), "group": list("12345678"), "label": [0, 0, 1, 0] * 2}
)
INFO = info_of(splits_sha256="0" * 64)


def recipe_of(rotate: float) -> Recipe:
    return SPACE.start.with_settings({"augment.rotate": rotate})


def fold_of(fold: int, seed: int = 0, auroc: float = 1.0) -> FoldResult:
    """A fold with an accuracy of 0.75 or 0.875."""
    probabilities = np.where(np.arange(8) < 2 - fold, 0.6, np.where(TABLE["label"] == 1, 0.9, 0.2))
    return FoldResult(
        seed=seed,
        fold=fold,
        rows=np.arange(8),
        probabilities=probabilities,
        scores={"tta_accuracy": 0.75 + fold / 8, "tta_auroc": auroc},
        seconds=20.0,
        device="cpu (test)",
        precision="float32",
    )


def epoch_of(fold: int, seed: int, seconds: float = 1 / 3) -> Epoch:
    return Epoch(
        seed=seed,
        fold=fold,
        epoch=1,
        train_loss=0.1 + 0.2,
        train_accuracy=0.5,
        validation_loss=0.5,
        validation_accuracy=0.5,
        learning_rate=0.1,
        seconds=seconds,
        images_per_second=1.0,
        device_memory_mb=0.0,
    )


def add(study: Study, recipe: Recipe, state: State | None = "complete", folds: int = 2, auroc: float = 1.0) -> None:
    """Add a trial to the study."""
    number = len(study.trials())
    study.begin_trial(number, recipe)
    for fold in range(folds):
        study.write_fold(number, fold_of(fold, auroc=auroc), TABLE)
    if state is not None:
        study.end_trial(number, state, "reason", 0.8125 if state == "complete" else None)


@pytest.fixture
def study_in(tmp_path: Path) -> Callable[..., Study]:
    return lambda name="old", **changes: Study.create(tmp_path / name, replace(INFO, **changes))


def test_complete_and_stopped_trials_are_reused_with_scores_and_cost(study_in: Callable[..., Study]) -> None:
    study = study_in()
    add(study, SPACE.start)
    add(study, recipe_of(0.1), "failed", folds=1)
    add(study, recipe_of(0.2), None, folds=1)
    add(study, recipe_of(0.3), "stopped", folds=1)
    first, second = find_priors([study.folder], INFO, SPACE)
    assert first.prior == Prior(
        recipe=SPACE.start,
        state="complete",
        fold_scores={0: 0.75, 1: 0.875},
        cost=40.0,
        origin="abcd1234-0000",
    )
    assert first.origin == Origin(study="old", study_uid="abcd1234", trial="0000", seeds=[0])
    assert (second.prior.state, second.prior.fold_scores, second.prior.cost) == ("stopped", {0: 0.75}, 20.0)
    assert (second.study.folder, second.number) == (study.folder, 3)


@pytest.mark.parametrize("objective", ["tta_auroc", "tta_auroc,cost"])
def test_scores_are_those_of_the_new_objective(study_in: Callable[..., Study], objective: str) -> None:
    study = study_in()
    add(study, SPACE.start)
    (reused,) = find_priors([study.folder], replace(INFO, objective=objective), SPACE)
    assert reused.prior.fold_scores == {0: 1.0, 1: 1.0}


def test_a_trial_with_an_undefined_new_objective_is_not_reused(study_in: Callable[..., Study]) -> None:
    study = study_in()
    add(study, SPACE.start, auroc=float("nan"))
    add(study, recipe_of(0.1))
    assert len(find_priors([study.folder], INFO, SPACE)) == 2
    (reused,) = find_priors([study.folder], replace(INFO, objective="tta_auroc"), SPACE)
    assert reused.prior.origin == "abcd1234-0001"


def test_each_recipe_is_reused_once_in_the_order_given(study_in: Callable[..., Study]) -> None:
    one, two = study_in("one"), study_in("two", study_uid="00000002")
    for study, rotations in ((one, (0.1, 0.2)), (two, (0.2, 0.3))):
        for rotate in rotations:
            add(study, recipe_of(rotate))
    reused = find_priors([one.folder, two.folder], INFO, SPACE)
    assert [each.prior.recipe.augment.rotate for each in reused] == [0.1, 0.2, 0.3]
    assert [each.prior.origin for each in reused] == ["abcd1234-0000", "abcd1234-0001", "00000002-0001"]
    assert find_priors([], INFO, SPACE) == ()


def test_recipes_outside_the_space_are_not_reused_and_a_study_without_others_is_refused(
    study_in: Callable[..., Study],
) -> None:
    study = study_in()
    add(study, SPACE.start.with_settings({"train.epochs": 7}))
    add(study, SPACE.start.with_settings({"optimizer.learning_rate": 0.5}))
    message = (
        r"^--warm-start: none of the 2 finished trials of study old fits this space; "
        r"give both searches the same --preset and --set, and spaces that overlap; one "
        r"of these trials fits with --set train.epochs=7$"
    )
    with pytest.raises(UserError, match=message):
        find_priors([study.folder], INFO, SPACE)
    add(study, recipe_of(0.5))
    assert [each.prior.origin for each in find_priors([study.folder], INFO, SPACE)] == ["abcd1234-0002"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data": replace(SOURCE, fingerprint="e" * 64)},
            r"^--warm-start: study old was run on other data: fingerprint e{16}, here f{16}$",
        ),
        (
            {"splits_sha256": "1" * 64, "folds": 3, "seed": 5},
            r"^--warm-start: study old has other folds; use its --folds, --seed and --protocol \(3, 5, grouped\)$",
        ),
    ],
)
def test_other_data_and_other_folds_are_refused(
    study_in: Callable[..., Study], changes: dict[str, Any], message: str
) -> None:
    study = study_in(**changes)
    add(study, SPACE.start)
    with pytest.raises(UserError, match=message):
        find_priors([study.folder], INFO, SPACE)


def test_a_missing_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^no study at .*nowhere"):
        find_priors([tmp_path / "nowhere"], INFO, SPACE)


def test_trials_are_copied_with_their_finished_seeds_and_origin(study_in: Callable[..., Study], tmp_path: Path) -> None:
    old = study_in()
    add(old, recipe_of(0.1), "failed")
    add(old, SPACE.start)
    for seed, fold in ((1, 0), (1, 1), (2, 0), (3, 0)):
        old.write_fold(1, fold_of(fold, seed=seed), TABLE)
        old.write_epoch(1, epoch_of(fold, seed))
    old.write_epoch(1, epoch_of(0, 2, seconds=7.0))
    old.fail_repeat(1, 3, "NonFiniteLoss")
    reused = find_priors([old.folder], INFO, SPACE)
    new = Study.create(tmp_path / "new", replace(INFO, study_uid="00000002"))
    copy_priors(reused, new)
    assert new.trials() == [0]
    assert (new.recipe(0), new.end(0), new.seeds(0)) == (old.recipe(1), old.end(1), [0, 1, 3])
    assert new.folds_done(0, 0) == [0, 1]
    # An unfinished repeat is not copied, so that the new study runs it completely.
    assert new.epochs(0)["seed"].tolist() == [1, 1, 3]
    assert new.repeated(0).empty
    assert not old.repeated(1).empty
    assert new.origin(0) == Origin(study="old", study_uid="abcd1234", trial="0001", seeds=[0, 1, 3])
    pd.testing.assert_frame_equal(new.out_of_fold(0, 0), old.out_of_fold(1, 0))
    assert old.origin(1) is None, "the earlier study is unchanged"
    # Its own trials are not priors.
    add(new, recipe_of(0.4))
    assert [each.prior for each in priors_of(new)] == [each.prior for each in reused]


def test_trials_of_a_read_only_study_are_copied_without_foreign_files(
    study_in: Callable[..., Study], tmp_path: Path
) -> None:
    old = study_in()
    add(old, SPACE.start)
    old.write_fold(0, fold_of(0, seed=1), TABLE)
    os.mkfifo(old.trial_folder(0) / "pipe")
    (old.trial_folder(0) / "notes.txt").touch()
    everything = [old.folder, *old.folder.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        copy_priors(find_priors([old.folder], INFO, SPACE), Study.create(tmp_path / "new", INFO))
    finally:
        for path in everything:
            path.chmod(0o755)
    copies = list((tmp_path / "new").rglob("*"))
    assert all(path.stat().st_mode & 0o200 for path in copies)
    folds = [f"fold_{fold}.{kind}" for fold in (0, 1) for kind in ("csv", "json")]
    names = sorted(path.name for path in copies if path.is_file())
    assert names == sorted(["study.json", "recipe.json", "state.json", "origin.json", *folds])


def test_a_trial_reused_twice_keeps_its_first_origin(study_in: Callable[..., Study], tmp_path: Path) -> None:
    old = study_in()
    add(old, recipe_of(0.1), "failed")
    add(old, SPACE.start)
    new = Study.create(tmp_path / "new", replace(INFO, study_uid="00000002"))
    copy_priors(find_priors([old.folder], INFO, SPACE), new)
    (reused,) = find_priors([new.folder], INFO, SPACE)
    assert reused.origin == Origin(study="old", study_uid="abcd1234", trial="0001", seeds=[0])
    assert reused.prior.origin == "abcd1234-0001"


def test_a_reused_trial_with_an_undefined_objective_is_refused(study_in: Callable[..., Study], tmp_path: Path) -> None:
    old = study_in()
    add(old, SPACE.start, "stopped", folds=1)
    new = Study.create(tmp_path / "new", INFO)
    copy_priors(find_priors([old.folder], INFO, SPACE), new)
    assert len(priors_of(new)) == 1
    path = without_checksums(new.trial_folder(0)) / "seed_0" / "fold_0.json"
    path.write_text(path.read_text().replace("0.75", "null"))
    with pytest.raises(UserError, match=r"0000: tta_accuracy is undefined in a fold, but the trial is reused from "):
        priors_of(new)


def test_a_damaged_trial_is_refused_before_anything_is_written(study_in: Callable[..., Study]) -> None:
    study, validation = study_in(), [TABLE, TABLE]
    add(study, SPACE.start)
    assert len(find_priors([study.folder], INFO, SPACE, validation)) == 1
    table = without_checksums(study.trial_folder(0)) / "seed_0" / "fold_1.csv"
    whole = table.read_text()
    table.write_text(whole.replace("a,1,1,0", "z,1,1,0"))
    with pytest.raises(
        UserError, match=r"seed_0/fold_1.csv: row 0 does not match the data: expected image_id a, got z; restore"
    ):
        find_priors([study.folder], INFO, SPACE, validation)
    table.write_text(whole)
    path = table.with_suffix(".json")
    record = path.read_text()
    path.write_text(record.replace("0.875", "null"))
    with pytest.raises(UserError, match=r"fold_1.json: tta_accuracy is undefined, but trial 0000 is complete; restore"):
        find_priors([study.folder], INFO, SPACE)
    path.write_text(record.replace("0.875", "87.5"))
    with pytest.raises(UserError, match=r"fold_1.json: field 'scores.tta_accuracy': expected at most 1, got 87"):
        find_priors([study.folder], INFO, SPACE)
    path.write_text(record.replace("tta_auroc", "auroc"))
    with pytest.raises(UserError, match=r"fold_1.json: expected a field 'scores.tta_auroc', found none; restore"):
        find_priors([study.folder], replace(INFO, objective="tta_auroc"), SPACE)
    path.unlink()
    with pytest.raises(MissingFile, match=r"fold_1.json: is missing, but trial 0000 is complete; restore"):
        find_priors([study.folder], INFO, SPACE)


def test_a_reused_trial_without_its_end_is_refused(study_in: Callable[..., Study], tmp_path: Path) -> None:
    study = study_in()
    add(study, SPACE.start)
    new = Study.create(tmp_path / "new", replace(INFO, study_uid="00000002"))
    copy_priors(find_priors([study.folder], INFO, SPACE), new)
    (new.trial_folder(0) / "state.json").unlink()
    with pytest.raises(
        MissingFile, match=r"0000/state.json: is missing, but the trial is reused from an earlier study; restore"
    ):
        priors_of(new)
