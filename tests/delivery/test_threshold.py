"""The threshold and the temperature of a delivered model: chosen out of fold, kept, and used wherever it classifies."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.cells import draw_cells
from helpers.deliveries import deliver, metrics_of

from leukemia import load
from leukemia.base.errors import UserError
from leukemia.base.record import read_content, write_record
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.delivery.evaluation import predict_test_set
from leukemia.delivery.out_of_fold import Choosing, OutOfFold
from leukemia.evaluate import main as evaluate_command
from leukemia.predict import main as predict
from leukemia.scoring.calibration import fit_temperature, tempered
from leukemia.scoring.metrics import point_scores
from leukemia.scoring.thresholds import RULES, choose_threshold
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.decision import Decision
from leukemia.study.folder import Study
from leukemia.study.models import ModelRecord

RULE = "sensitivity=0.9"


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def record_of(folder: Path) -> ModelRecord:
    record = ModelRecord.read(folder)
    assert record is not None
    return record


def evaluate(folder: Path, test: Path, *options: str) -> int:
    return evaluate_command(["--model", str(folder), "--test", str(test), "--device", "cpu", *options])


def test_the_default_is_one_half_and_all_rules_are_compared(delivered: Study) -> None:
    folder, metrics = delivered.folder / "final", metrics_of(delivered)["out_of_fold"]
    seen = delivered.out_of_fold(0, 0)
    temperature = fit_temperature(seen["label"], seen["probability_leukemic"])
    assert record_of(folder).decision == Decision(rule="0.5", threshold=0.5, temperature=temperature)
    scaled = tempered(seen["probability_leukemic"], temperature)
    assert {each["rule"]: each["threshold"] for each in metrics["operating_points"]} == {
        rule: choose_threshold(rule, seen["label"], scaled) for rule in RULES
    }
    assert metrics["prevalence"] is None
    assert metrics["calibration"]["temperature"] == temperature
    card, page = ((folder / name).read_text() for name in (layout.CARD, layout.REPORT))
    (first, *_) = (each for each in metrics["operating_points"] if each["rule"] == "0.5")
    cell = "{value:.3f} ({low:.3f} to {high:.3f})".format(**first["sensitivity"])
    assert f"| fixed (used) | 0.5 | {cell} | " in card
    assert "An image is called leukemic from a probability of 0.5 on (fixed); probabilities are scaled with " in card
    assert "classified by the threshold that its rule chooses on the other folds" in page
    assert "negative log-likelihood" in page
    assert (folder / layout.SCALING).is_file()


@pytest.mark.usefixtures("untrained")
def test_the_chosen_threshold_is_used_everywhere(
    study: Study, patients: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    submission = tmp_path / "submission.csv"
    options = ("--threshold", RULE, "--prevalence", "0.3", "--test", patients, "--submission", submission)
    deliver(study, *options)
    printed, folder = capsys.readouterr().out, study.folder / "final"
    decision = record_of(folder).decision
    assert (decision.rule, decision.threshold == 0.5) == (RULE, False)
    assert f"threshold: {decision.describe()}\n" in printed
    assert "out of fold at this threshold: sensitivity " in printed
    assert f", with classes from 0.5 on (the model's are from {decision.threshold:.3g} on)\n" in printed
    # The network's probabilities are scaled, and then compared.
    model, test = load(folder, device="cpu"), read_catalog(patients)
    of_network = predict_test_set(model.network, model.recipe, test, model.device)
    table = pd.read_csv(folder / layout.PREDICTIONS)
    np.testing.assert_allclose(table["probability_leukemic"], tempered(of_network, decision.temperature), atol=1e-6)
    called = (table["probability_leukemic"] >= decision.threshold).astype(int)
    assert table["predicted"].tolist() == called.tolist()
    assert pd.read_csv(submission)["label"].tolist() == called.tolist()
    metrics = metrics_of(study)["test"]
    assert metrics["accuracy"]["value"] == (called == table["label"]).mean()
    assert metrics["threshold"] == decision.threshold
    assert np.sum(metrics["confusion"], axis=0).tolist() == [int((called == 0).sum()), int((called == 1).sum())]
    # The other thresholds are those of the search, and are not chosen again on the test set.
    points = {each["rule"]: each for each in metrics["operating_points"]}
    kept = {each["rule"]: each["threshold"] for each in metrics_of(study)["out_of_fold"]["operating_points"]}
    assert {rule: each["threshold"] for rule, each in points.items()} == kept
    for rule, point in points.items():
        expected = point_scores(table["label"], table["probability_leukemic"], kept[rule])
        assert point["sensitivity"]["value"] == pytest.approx(expected["sensitivity"]), rule
    ill, sound = 0.3 * points[RULE]["sensitivity"]["value"], 0.7 * points[RULE]["specificity"]["value"]
    assert points[RULE]["npv_at"]["value"] == pytest.approx(sound / (sound + 0.3 - ill))
    before = metrics["calibration"]["before"]["brier"]["value"]
    assert before == pytest.approx(np.mean((of_network - table["label"]) ** 2), abs=1e-6)
    assert "PPV at 30 % leukemic" in (folder / layout.CARD).read_text()
    assert "PPV at 30 % leukemic" in (folder / layout.REPORT).read_text()
    # Another process has only the folder.
    capsys.readouterr()
    assert predict(["--model", str(folder), *map(str, test.table["path"]), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == f"note: {decision.describe()}"
    again = pd.read_csv(io.StringIO(said.out))
    np.testing.assert_allclose(again["probability_leukemic"], table["probability_leukemic"], atol=2e-6)
    assert again["predicted"].tolist() == called.tolist()
    found = model.evaluate(patients, prevalence=0.3)
    assert [each.to_dict() for each in found.operating_points] == metrics["operating_points"]


def test_another_threshold_needs_no_training(
    delivered: Study, patients: Path, tmp_path: Path, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = delivered.folder / "final"
    deliver(delivered, "--test", patients)
    before = record_of(folder).decision
    deliver(delivered, "--threshold", "Youden")
    after = record_of(folder).decision
    assert (after.rule, after.temperature) == ("youden", before.temperature)
    # Results at the earlier threshold are where they were, and no longer called the model's own.
    assert metrics_of(delivered)["test"] is None
    assert not (folder / layout.PREDICTIONS).exists()
    assert record_of(folder / "tests" / "patients").decision == before
    record_of(folder).check_files(folder)
    assert "| patients | " in (folder / layout.CARD).read_text()
    # The model keeps its threshold until another one is asked for.
    capsys.readouterr()
    for options in ((), ("--threshold", "youden")):
        deliver(delivered, *options)
        assert "already delivered: " in capsys.readouterr().out
        assert record_of(folder).decision == after
    for times in range(2):
        evaluate(folder, patients)
        assert ("already tested on these data" in capsys.readouterr().out) == (times == 1)
        assert metrics_of(delivered)["test"]["threshold"] == after.threshold
        assert record_of(folder / "tests" / "patients").decision == after
    deliver(delivered, "--threshold", "0.25", "--test", patients)
    assert (record_of(folder).decision.threshold, metrics_of(delivered)["test"]["threshold"]) == (0.25, 0.25)
    assert untrained == []


def test_predictive_values_for_another_prevalence_are_added(
    delivered: Study, patients: Path, untrained: list[Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = delivered.folder / "final"
    deliver(delivered, "--prevalence", "0.1")
    assert metrics_of(delivered)["out_of_fold"]["operating_points"][0]["ppv_at"]["value"] is not None
    capsys.readouterr()
    deliver(delivered, "--prevalence", "0.1")
    assert "already delivered: " in capsys.readouterr().out
    evaluate(folder, patients)
    assert metrics_of(delivered)["test"]["operating_points"][0]["ppv_at"] is None
    for times in range(2):
        capsys.readouterr()
        evaluate(folder, patients, "--prevalence", "0.2")
        assert ("already tested on these data" in capsys.readouterr().out) == (times == 1)
        assert metrics_of(delivered)["test"]["prevalence"] == 0.2
    assert untrained == []
    # What was chosen out of fold is as before.
    assert metrics_of(delivered)["out_of_fold"]["prevalence"] == 0.1


def test_images_of_a_fold_that_chose_trials_choose_no_threshold(study: Study) -> None:
    """As with pausing."""
    best = Best.of(study)
    on_others = dataclasses.replace(best, score=dataclasses.replace(best.score, scored_folds=[1]))
    seen = study.out_of_fold(0, 0)
    seen = seen[seen["fold"] == 1]
    choosing = Choosing.of(study, on_others)
    assert choosing.probabilities.tolist() == seen["probability_leukemic"].tolist()
    found = OutOfFold.of(study, on_others, recipe_changed=False, rule="youden")
    temperature = fit_temperature(seen["label"], seen["probability_leukemic"])
    expected = choose_threshold("youden", seen["label"], tempered(seen["probability_leukemic"], temperature))
    assert found.decision("youden") == Decision(rule="youden", threshold=expected, temperature=temperature)
    # There is one fold, and no other to judge the choice on.
    assert not found.cross_fitted
    assert OutOfFold.from_dict(found.to_dict()).cross_fitted is False
    assert found.describe_choice() == (
        "Chosen on the out-of-fold images of the winner, fold 2, because fold 1 chose which trials ran on."
    )


@pytest.mark.usefixtures("untrained")
def test_a_model_of_an_earlier_version_has_one_half_and_no_scaling(
    delivered: Study, patients: Path, tmp_path: Path
) -> None:
    folder = delivered.folder / "final"
    content = read_content(folder / layout.MODEL)
    del content["decision"]
    metrics = read_content(folder / layout.METRICS)
    for name in ("operating_points", "calibration", "prevalence", "headline", "uncorrected", "recipe_changed"):
        del metrics["out_of_fold"][name]
    write_record(folder / layout.METRICS, metrics)
    write_record(folder / layout.MODEL, content | {"files": {}})
    model = load(folder, device="cpu")
    assert (model.threshold, model.decision) == (0.5, Decision())
    of_network = predict_test_set(model.network, model.recipe, read_catalog(patients), model.device)
    found = model.evaluate(patients)
    assert found.probabilities.tolist() == of_network.tolist()
    assert [each.rule for each in found.operating_points] == ["0.5"]
    evaluate(folder, patients)
    assert "\n| fixed (used) | 0.5 | " in (folder / layout.CARD).read_text()
    # With the study at hand it gets what it lacks: first at its own scale, then with the threshold that is asked for.
    deliver(delivered, "--test", draw_cells(tmp_path / "more", seed=9, subjects=range(31, 33), per_subject=1))
    assert record_of(folder).decision == Decision()
    assert metrics_of(delivered)["out_of_fold"]["calibration"]["temperature"] == 1
    deliver(delivered, "--threshold", "youden")
    assert record_of(folder).decision.temperature != 1


def test_an_invalid_threshold_or_prevalence_is_refused_in_one_line(
    delivered: Study, patients: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"^--threshold: expected youden, sensitivity=S, or a threshold, .*got '95'$"):
        deliver(delivered, "--threshold", "95")
    with pytest.raises(SystemExit):
        deliver(delivered, "--prevalence", "30")
    assert "argument --prevalence: expected a number between 0 and 1, such as 0.3, got '30'" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"^prevalence: expected a share between 0 and 1, such as 0.3, got 30$"):
        load(delivered.folder / "final", device="cpu").evaluate(patients, prevalence=30)


def test_a_rule_that_lacks_a_class_is_refused(study: Study) -> None:
    found = OutOfFold.of(study, Best.of(study), recipe_changed=False, rule="youden")
    lacking = tuple(dataclasses.replace(each, threshold=float("nan")) for each in found.operating_points)
    with pytest.raises(UserError, match=r"^--threshold youden: the out-of-fold images that it is chosen on lack a cl"):
        dataclasses.replace(found, operating_points=lacking).decision("youden")
