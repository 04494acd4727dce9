"""``best.json``: written and read back; invalid files are rejected."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.studies import SOURCE, without_checksums

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import Optimizer
from leukemia.scoring.metrics import METRICS
from leukemia.study.best import SCHEMA, Best, Noise
from leukemia.study.best_score import BestScore, IntervalRecord
from leukemia.study.folder import Study

INTERVALS = ("pooled", "bootstrap", "leave_fold_out", "headline")

EXAMPLE = Path(__file__).parents[1] / "example_study"

BEST = Best(
    study="one",
    study_uid="abcd1234",
    trial="0007",
    recipe=Recipe(optimizer=Optimizer(name="adamw", learning_rate=0.1 + 0.2)).resolved([(64, 64)]),
    objective="tta_accuracy",
    score=BestScore(
        raw=1 / 3,
        pooled=IntervalRecord(value=0.32, low=0.2, high=0.5),
        bootstrap=IntervalRecord(value=0.31, low=0.2, high=0.5),
        leave_fold_out=IntervalRecord(value=0.3, low=None, high=0.4),
        headline=IntervalRecord(value=0.3, low=None, high=0.4),
        scored=IntervalRecord(value=0.32, low=0.2, high=0.5),
        scored_folds=[0, 1, 2],
    ),
    scores=dict.fromkeys(METRICS, IntervalRecord(value=0.3, low=None, high=0.4)),
    noise=Noise(winner_vs_start="better by 1.0 points", fold_noise=0.01, seeds={"0007": [0, 1]}),
    num_complete=5,
    majority_rate=2 / 3,
    folds=3,
    folds_done=3,
    seeds=[0],
    n=12,
    protocol="grouped",
    data=SOURCE,
    splits_sha256="0" * 64,
    versions={"torch": "2"},
    commit="unknown",
    hardware={"device": "cpu"},
    command="python -m search.run",
)

SCORE = dataclasses.asdict(BEST.score)
SCORES = {name: dataclasses.asdict(record) for name, record in BEST.scores.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "best.json"
    BEST.save(path)
    without_checksums(tmp_path)
    return path


def change(path: Path, **values: Any) -> None:
    """Overwrite fields of the file; None removes one."""
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_best_round_trip(path: Path) -> None:
    assert Best.load(path) == BEST
    content = json.loads(path.read_text())
    assert content["recipe"] == BEST.recipe.flat()
    assert content["schema"] == SCHEMA == 2


def test_corrections_of_earlier_versions_are_scored_on_all_folds(path: Path) -> None:
    earlier = {name: value for name, value in SCORE.items() if name not in ("scored", "scored_folds")}
    change(path, score=earlier)
    best = Best.load(path)
    assert (best.score.scored, best.score.scored_folds, best.scored_on, BEST.scored_on) == (None, None, None, None)


def test_the_headline_is_at_most_the_winners_score_on_the_scored_folds(path: Path) -> None:
    """Not on all folds: if fold 0 has chosen which trials ran on, the winner was lucky there."""
    own = {"value": 0.29, "low": 0.2, "high": 0.4}
    score = {**SCORE, "scored": own, "scored_folds": [1, 2]}
    change(path, score=score)
    with pytest.raises(
        UserError, match=r"field 'score.headline': expected {'value': 0.29.*}, the lowest of the others"
    ):
        Best.load(path)
    change(path, score={**score, "headline": own})
    assert Best.load(path).scored_on == "folds 2 to 3, because fold 1 chose which trials ran on"
    two = dataclasses.replace(BEST, folds=2, score=dataclasses.replace(BEST.score, scored_folds=[1]))
    assert two.scored_on == "fold 2, because fold 1 chose which trials ran on"


@pytest.mark.parametrize("folds", [[], [0], [0, 1], [1, 2, 3], [2, 1], [-1]])
def test_corrections_scored_on_other_folds_are_rejected(path: Path, folds: list[int]) -> None:
    change(path, score={**SCORE, "scored_folds": folds})
    with pytest.raises(UserError, match=r"best.json: field 'score.scored_folds"):
        Best.load(path)


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^no .*best.json: this study has no complete trial; let the search finish"):
        Best.load(tmp_path / "best.json")


def test_incomplete_trial_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    dataclasses.replace(BEST, folds_done=2).save(path)
    with pytest.raises(UserError, match=r"best.json: trial 0007 finished 2 of 3 folds; only a complete trial can win"):
        Best.load(path)


def test_other_schema_is_rejected(path: Path) -> None:
    change(path, schema=1)
    with pytest.raises(UserError, match=r"best.json: expected schema 2, got 1; use the version that wrote it"):
        Best.load(path)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"schema": "1"}'])
def test_other_json_is_rejected(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=r"best.json: (expected a JSON|expected a field|field .schema.)"):
        Best.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trial", "../../etc"),
        ("trial", 5),
        ("scores", []),
        ("scores", {"accuracy": {"value": "good", "low": None, "high": None}}),
        ("score", {}),
        ("score", {"raw": 0.5}),
        ("score", {"raw": 0.5, **{name: {"value": 0.5, "low": 0.4} for name in INTERVALS}}),
        ("score", {"raw": "good", **dict.fromkeys(INTERVALS, SCORE["pooled"])}),
        ("noise", []),
        ("num_complete", 1.5),
        ("majority_rate", "x"),
        ("folds", "3"),
        ("data", {}),
    ],
)
def test_field_of_wrong_type_is_rejected(path: Path, field: str, value: Any) -> None:
    change(path, **{field: value})
    with pytest.raises(UserError, match=r"best.json: (field '|expected a field ').*; restore the file from a backup$"):
        Best.load(path)


def test_missing_and_unknown_fields_are_rejected(path: Path) -> None:
    whole = path.read_text()
    change(path, luck=1)
    with pytest.raises(UserError, match=r"best.json: field 'luck' is unknown; restore the file from a backup$"):
        Best.load(path)
    path.write_text(whole)
    change(path, trial=None)
    with pytest.raises(UserError, match=r"best.json: expected a field 'trial', found none; restore"):
        Best.load(path)


@pytest.mark.parametrize("recipe", [{"train.epoch": 3}, {"train.epochs": 0}])
def test_invalid_recipe_is_rejected(path: Path, recipe: Any) -> None:
    change(path, recipe=recipe)
    with pytest.raises(UserError, match=r"best.json: (unknown recipe field|train.epochs)"):
        Best.load(path)


def test_damaged_file_is_rejected(path: Path) -> None:
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match=r"best.json: expected JSON .*; restore the file from a backup"):
        Best.load(path)


def interval(value: Any, low: Any, high: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("score", {**SCORE, "raw": float("nan")}, "score.raw"),
        ("score", {**SCORE, "raw": 2.5}, "score.raw"),
        ("score", {**SCORE, "raw": True}, "score.raw"),
        ("score", {**SCORE, "headline": interval(0.999, 0.2, 1.0)}, "score.headline"),
        ("score", {**SCORE, "pooled": interval(0.5, 0.6, 0.4)}, "score.pooled"),
        ("score", {**SCORE, "bootstrap": interval(None, 0.4, 0.6)}, "score.bootstrap"),
        ("scores", {**SCORES, "auroc": interval(0.5, -0.1, 0.6)}, "scores.auroc.low"),
        (
            "scores",
            {**SCORES, "ece": interval(float("inf"), None, None)},
            "scores.ece.value",
        ),
        ("majority_rate", 7, "majority_rate"),
        ("majority_rate", 0.4, "majority_rate"),
        ("folds", 1, "folds"),
        ("n", -4, "n"),
        ("n", True, "n"),
        ("num_complete", -1, "num_complete"),
        ("objective", "foo", "objective"),
        ("objective", "tta_accuracy,", "objective"),
        ("protocol", "none", "protocol"),
        ("seeds", 3, "seeds"),
        ("seeds", [], "seeds"),
        ("seeds", ["0"], "seeds.0"),
        ("seeds", [1, 0], "seeds"),
        ("versions", {"torch": 2}, "versions.torch"),
        ("versions", [], "versions"),
        ("hardware", {"device": []}, "hardware.device"),
        ("commit", 5, "commit"),
        ("command", [], "command"),
        ("noise", {"winner_vs_start": 1}, "noise.winner_vs_start"),
        ("noise", {"winner_vs_third": "better"}, "noise.winner_vs_third"),
        ("noise", {"fold_noise": "loud"}, "noise.fold_noise"),
        ("noise", {"fold_noise": float("nan")}, "noise.fold_noise"),
        ("noise", {"fold_noise": float("inf")}, "noise.fold_noise"),
        ("noise", {"seeds": []}, "noise.seeds"),
        ("noise", {"seeds": {"0007": 3}}, "noise.seeds.0007"),
        ("noise", {"seeds": {"seven": [0]}}, "noise.seeds.seven"),
    ],
)
def test_invalid_value_is_rejected(path: Path, field: str, value: Any, name: str) -> None:
    change(path, **{field: value})
    with pytest.raises(UserError, match=rf"best.json: field '{name}'.*; restore the file from a backup$"):
        Best.load(path)


def test_two_objectives_are_recognized(path: Path) -> None:
    assert not Best.load(path).by_cost
    change(path, objective="tta_auroc,cost")
    assert Best.load(path).by_cost


def test_mean_of_skewed_resamples_may_be_outside_the_interval(path: Path) -> None:
    # Five groups of three images: nearly every resample scores 1, so both percentiles are 1.
    skewed, sure = interval(0.9966145833333333, 1.0, 1.0), interval(1.0, 1.0, 1.0)
    score = {"raw": 1.0, "pooled": sure, "bootstrap": skewed, "leave_fold_out": sure, "headline": skewed}
    change(path, score=score)
    assert dataclasses.asdict(Best.load(path).score) == {**score, "scored": None, "scored_folds": None}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.open(Path(shutil.copytree(EXAMPLE, tmp_path / "example")))


def test_best_of_a_study(study: Study) -> None:
    assert Best.of(study) == Best.find(study) == Best.load(study.folder / "best.json")
    (study.folder / "best.json").unlink()
    assert Best.find(study) is None
    with pytest.raises(MissingFile, match="this study has no complete trial"):
        Best.of(study)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("study_uid", "00000000"),
        ("objective", "tta_auroc"),
        ("protocol", "random-cell"),
    ],
)
def test_best_of_another_study_is_rejected(study: Study, field: str, value: str) -> None:
    change(study.folder / "best.json", **{field: value})
    with pytest.raises(UserError, match=rf"field '{field}': expected '.*' as in study.json, got '{value}': it belon"):
        Best.of(study)


def test_best_of_other_folds_or_data_is_rejected(study: Study) -> None:
    path = study.folder / "best.json"
    data = json.loads(path.read_text())["data"]
    change(path, folds=99, folds_done=99)
    with pytest.raises(UserError, match=r"field 'folds': expected 2 as in study.json, got 99"):
        Best.of(study)
    change(path, folds=2, folds_done=2, data={**data, "fingerprint": "0" * 64})
    with pytest.raises(UserError, match=r"field 'data.fingerprint': expected '.*' as in study.json, got '0000"):
        Best.of(study)


def test_best_with_a_missing_or_different_trial_is_rejected(study: Study) -> None:
    path = study.folder / "best.json"
    change(path, trial="0099")
    with pytest.raises(UserError, match=r"field 'trial': the study has no trial 0099; restore the file from a backup"):
        Best.of(study)
    change(path, trial="0001")
    with pytest.raises(
        UserError, match=r"field 'recipe': differs from the recipe of trial 0001 \(.*recipe.json\); restore the file"
    ):
        Best.of(study)


def test_predictions_of_the_winner(study: Study) -> None:
    best = Best.of(study)
    assert len(best.out_of_fold(study)) == best.n == 48
    with pytest.raises(
        UserError, match=r"seed_0: trial 0000 has 48 predictions for 4 images; restore the folder from a"
    ):
        dataclasses.replace(best, n=4).out_of_fold(study)
