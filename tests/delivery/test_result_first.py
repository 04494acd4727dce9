"""What every output of a model has first: whether it is no better than a constant answer, and the score to quote."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from helpers.cells import draw_cells
from helpers.deliveries import deliver, metrics_of

from leukemia import load
from leukemia.base.record import read_content, read_record, write_record
from leukemia.delivery.caveats import kept_verdicts
from leukemia.evaluate import main as evaluate
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.best_score import IntervalRecord
from leukemia.study.folder import Study
from leukemia.study.model_metrics import MetricsRecord
from leukemia.study.models import ModelRecord

EXAMPLE = Path(__file__).parents[1] / "example_study"


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def outputs(study: Study, printed: str) -> dict[str, str]:
    """All outputs of a delivery, as text."""
    folder = study.folder / "final"
    names = (layout.CARD, layout.REPORT, layout.METRICS)
    return {"terminal": printed, **{name: (folder / name).read_text() for name in names}}


@pytest.mark.usefixtures("untrained")
def test_a_model_that_only_guesses_says_so_first(
    study: Study, patients: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    deliver(study, "--test", patients)
    printed = capsys.readouterr().out
    (verdict,) = metrics_of(study)["verdict"]
    assert "better than always answering leukemic, on the test set: balanced accuracy " in verdict
    for name, text in outputs(study, printed).items():
        assert 0 < text.index(verdict) < text.index("accuracy", text.index(verdict) + len(verdict)), name
    assert printed.index(f"warning: {verdict}\n") < printed.index("test accuracy: ")
    assert (study.folder / "final" / layout.CARD).read_text().splitlines()[2] == f"**{verdict}**"
    assert next(iter(metrics_of(study))) == "verdict"
    # Also when nothing is done again, when the model is used, and for a file that an earlier version wrote.
    deliver(study, "--test", patients)
    assert f"warning: {verdict}\n" in capsys.readouterr().out
    evaluate(["--model", str(study.folder / "final"), "--test", str(patients), "--device", "cpu"])
    assert f"warning: {verdict}\n" in capsys.readouterr().out
    model = load(study.folder / "final", device="cpu")
    assert model.evaluate(patients).verdict() == verdict
    assert verdict not in caplog.messages
    model.predict(patients)
    assert caplog.messages[0] == verdict
    assert kept_verdicts(dataclasses.replace(model.metrics, verdict=[])) == [verdict]


@pytest.mark.usefixtures("untrained")
def test_the_corrected_score_is_quoted_everywhere(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    path, best = study.folder / layout.BEST, Best.of(study)
    lower = IntervalRecord(value=0.701, low=0.652, high=0.803)
    score = dataclasses.replace(best.score, bootstrap=lower, headline=lower)
    dataclasses.replace(best, score=score).save(path)
    deliver(study)
    printed = capsys.readouterr().out
    quote = "accuracy 0.701 (95 % interval 0.652 to 0.803), out of fold, of the only complete trial"
    assert f"score to quote: {quote}\n" in printed
    for name, text in outputs(study, printed).items():
        assert quote.removeprefix("accuracy ") in text, name
    metrics = metrics_of(study)
    assert metrics["quote"] == quote
    assert metrics["out_of_fold"]["headline"] == {
        "metric": "accuracy",
        **dataclasses.asdict(lower),
        "num_complete": 1,
        "scored_on": None,
    }
    # The others are called what they are.
    assert metrics["out_of_fold"]["uncorrected"] == list(best.scores)
    assert "## Scores out of fold, not corrected for selection\n" in (study.folder / "final" / layout.CARD).read_text()
    assert "Out of fold, not corrected" in (study.folder / "final" / layout.REPORT).read_text()
    assert "has only the out-of-fold scores of the search, not corrected\n" in printed


@pytest.mark.usefixtures("untrained")
def test_a_changed_recipe_has_no_score_to_quote(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    deliver(study, "--set", "train.seed=5")
    assert metrics_of(study)["quote"] == ""
    assert "score to quote" not in capsys.readouterr().out


@pytest.mark.usefixtures("untrained")
def test_a_shift_of_the_class_share_is_said(delivered: Study, tmp_path: Path) -> None:
    test = draw_cells(tmp_path / "test", seed=7, subjects=range(11, 14), per_subject=2)
    for path in sorted(test.rglob("hem/*.png"))[:4]:
        path.unlink()
    deliver(delivered, "--test", test)
    (caveat,) = metrics_of(delivered)["caveats"]
    assert caveat.startswith(
        "The class shares differ: 50.0 % of the training images are leukemic, 75.0 % of the test images. Accuracy, "
    )
    folder = delivered.folder / "final"
    assert f"- {caveat}\n" in (folder / layout.CARD).read_text()
    assert metrics_of(delivered)["test"]["share_leukemic"] == 0.75
    # A model of an earlier version has no record of its training images' share.
    record = ModelRecord.read(folder)
    assert record is not None
    content = read_content(folder / layout.MODEL)
    assert content.pop("share_leukemic") == 0.5
    write_record(folder / layout.MODEL, content)
    (test / "fold_2" / "all" / "UID_11_1_1_all.png").unlink()
    assert evaluate(["--model", str(folder), "--test", str(test), "--device", "cpu"]) == 0
    (caveat,) = metrics_of(delivered)["caveats"]
    assert caveat.startswith("The share of leukemic images in the training data is not recorded, since an earlier ")


def test_the_metrics_of_an_earlier_version_have_no_verdict_and_nothing_to_quote() -> None:
    metrics = read_record(MetricsRecord, EXAMPLE / "final" / layout.METRICS)
    assert (kept_verdicts(metrics), metrics.quote) == ([], "")
    assert metrics.test is not None
    guessing = metrics.test | {"balanced_accuracy": {"value": 0.5, "low": 0.5, "high": 0.5}}
    (verdict,) = kept_verdicts(dataclasses.replace(metrics, test=guessing))
    assert verdict.startswith("No better than always answering the more frequent class, on the test set: ")
