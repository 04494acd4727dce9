"""The report of a study, drawn from its folder alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.studies import change_info
from rich.console import Console

from leukemia.base.errors import NO_WINNER, MissingFile, UserError
from leukemia.base.files import write_json
from leukemia.config.protocol import RANDOM_CELL_WARNING
from leukemia.config.recipe import Recipe
from leukemia.report import main
from leukemia.reporting.study_report import _hindsight_sections, pareto_front
from leukemia.reporting.study_report import write_study_report as write_report
from leukemia.reporting.winner import _noise
from leukemia.scoring.metrics import METRICS
from leukemia.study.best import SCHEMA, Best, Noise
from leukemia.study.folder import Study
from leukemia.study.ledger import duration, ledger_of
from leukemia.study.table import trial_table
from search.trials.outcome import print_outcome

EXAMPLE = Path(__file__).parents[1] / "example_study"


class Text(HTMLParser):
    """The words of a page, its tags and the items of its lists."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.tags, self.items = "", set[str](), list[str]()
        self.is_item = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.is_item = tag == "li"

    def handle_data(self, data: str) -> None:
        self.words += data + "\n"
        if self.is_item:
            self.items.append(data)
            self.is_item = False


BLOCK = {
    "raw": 0.9791,
    "pooled": {"value": 0.9712, "low": 0.9, "high": 1.0},
    "bootstrap": {"value": 0.9534, "low": 0.89, "high": 0.99},
    "leave_fold_out": {"value": 0.9623, "low": None, "high": None},
    "headline": {"value": 0.9534, "low": 0.89, "high": 0.99},
}

WINNER_VS_START = "better by 1.2 points, 95 % interval -0.3 to 2.6: not significant"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study.open(Path(shutil.copytree(EXAMPLE, tmp_path / "runs" / "example")))
    change_best(study, score=BLOCK, noise={}, num_complete=2, schema=SCHEMA)
    return study


def change_best(study: Study, **changes: object) -> None:
    path = study.folder / "best.json"
    write_json(path, {**json.loads(path.read_text()), **changes})


def write_study_report(study: Study) -> Path:
    opened = Study.open(study.folder)
    return write_report(opened, Best.found_in(opened))


def read(path: Path) -> Text:
    return Text(path.read_text(encoding="utf-8"))


def test_report_of_a_finished_study(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(study.folder.parent)]) == 0
    path = study.folder / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    text, best = read(path), Best.load(study.folder / "best.json")
    assert "Study example" in text.words
    assert "2 complete, 0 stopped, 0 failed, 0 running" in text.words
    quoted = "corrected for a choice among 2 complete trials: 0.953 (0.890 to 0.990). That is the number to quote"
    maximized = f"{best.score.raw:.3f}. The table below is over the 48 out-of-fold images"
    assert 0 < text.words.index(quoted) < text.words.index(maximized)
    assert "The winner was chosen for its score, which therefore flatters it" in text.words
    assert best.data.fingerprint in text.words
    for name in ("accuracy", "balanced accuracy", "AUROC", "majority rate"):
        assert name in text.words
    assert RANDOM_CELL_WARNING not in text.words.lower()
    assert "Score and cost" not in text.words
    assert "script" not in text.tags
    pictures = {picture.name for picture in study.folder.glob("*.png")}
    drawn = {"confusion.png", "roc.png", "calibration.png", "curves.png", "search.png", "device_time.png"}
    assert pictures == drawn
    assert set(best.scores) == set(METRICS)


def test_random_cell_is_said_aloud(study: Study) -> None:
    change_info(study, protocol="random-cell")
    change_best(study, protocol="random-cell")
    assert RANDOM_CELL_WARNING in read(write_study_report(study)).words.lower()


def test_study_without_a_winner_is_reported_by_name(study: Study) -> None:
    (study.folder / "best.json").unlink()
    for number, state in ((0, "failed"), (1, "stopped")):
        shutil.rmtree(study.trial_folder(number) / "seed_0")
        study.end_trial(number, state, "NonFiniteLoss: <non-finite> & co", None)
    with pytest.raises(MissingFile, match=r"^no study with a best.json in "):
        main(["--runs", str(study.folder.parent)])
    assert main([study.name, "--runs", str(study.folder.parent)]) == 0
    text = read(study.folder / "report.html")
    assert "0 complete, 1 stopped, 1 failed, 0 running" in text.words
    assert "NonFiniteLoss: <non-finite> & co" in text.words
    assert "Winner" not in text.words


def test_search_without_a_winner_believes_no_best_json(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    change_best(study, study_uid="00000000")
    assert print_outcome(Console(width=120), study, has_winner=False) == NO_WINNER == 3
    said = capsys.readouterr().out
    assert "no winner: none of 2 trials finished all folds" in said
    assert f"warning: {study.folder / 'best.json'} is not of this search, which has no winner; remove it" in said
    assert "Winner" not in read(study.folder / "report.html").words
    with pytest.raises(UserError, match=r"best.json: field 'study_uid': expected 'e71e6287'"):
        print_outcome(Console(width=120), study, has_winner=True)


def test_study_that_has_just_begun(tmp_path: Path) -> None:
    text = read(write_study_report(Study.create(tmp_path / "new", Study.open(EXAMPLE).info)))
    assert "0 complete, 0 stopped, 0 failed, 0 running" in text.words


def test_winner_without_epochs_is_named(study: Study) -> None:
    (study.trial_folder(0) / "epochs.csv").unlink()
    with pytest.raises(UserError, match=r"0000/epochs.csv: the winner has no epochs there; restore"):
        write_study_report(study)


def test_only_complete_trial_was_chosen_among_no_others(study: Study) -> None:
    change_best(study, num_complete=1)
    assert (
        "Its tta_accuracy, of the only complete trial: 0.953 (0.890 to 0.990)" in read(write_study_report(study)).words
    )


def test_number_that_is_not_defined_is_none_to_quote(study: Study) -> None:
    nothing = dict.fromkeys(("value", "low", "high"))
    change_best(study, score={**dict.fromkeys(BLOCK, nothing), "raw": 0.5})
    words = read(write_study_report(study)).words
    assert "is not defined: a class is absent; there is no number to quote." in words


def test_names_are_escaped(study: Study) -> None:
    evil = "<script>alert(1)</script>&<b>"
    change_info(study, data={**dataclasses.asdict(study.info.data), "uri": evil}, command=f"python {evil}")
    text = read(write_study_report(study))
    assert not text.tags & {"script", "b"}
    assert f"python {evil}" in text.words


def test_score_is_read_in_every_way_that_is_known(study: Study) -> None:
    words = read(write_study_report(study)).words
    rows = {
        "raw": "0.979",
        "pooled": "0.971 (0.900 to 1.000)",
        "bootstrap": "0.953 (0.890 to 0.990)",
        "leave fold out": "0.962 (no interval: too few groups)",
        "headline": "0.953 (0.890 to 0.990)",
    }
    for name, value in rows.items():
        assert f"{name}\n{value}\n" in words
    assert "Stopped trials are absent from the corrections: they lack folds." in words
    assert "the one to quote: the lower correction, never above pooled" in words


def test_noise_is_told_in_sentences(study: Study) -> None:
    noise = {
        "winner_vs_start": WINNER_VS_START,
        "winner_vs_second": "no difference to 0.1 points, no interval: too few groups",
        "fold_noise": 0.0123,
        "seeds": {"0000": [0, 1, 2], "0001": [0, 1]},
    }
    change_best(study, noise=noise, seeds=[0, 1, 2])
    text = read(write_study_report(study))
    assert text.items == [
        f"Against the starting recipe: {WINNER_VS_START}.",
        "Against the runner-up: no difference to 0.1 points, no interval: too few groups.",
        "A fold's score varies by 1.2 points (standard deviation) with the seed alone.",
        "Trials repeated, with their seeds: 0000 (0, 1, 2), 0001 (0, 1).",
    ]
    assert "the mean over folds and seeds, is 0.979. The table below is of seed 0 alone, over the 48" in text.words


def test_noise_without_repeats_is_an_assumption_and_not_told(study: Study) -> None:
    best = Best.load(study.folder / "best.json")
    noise = Noise(winner_vs_start=WINNER_VS_START, fold_noise=0.01)
    assert _noise(replace(best, noise=noise)) == [f"Against the starting recipe: {WINNER_VS_START}."]
    assert _noise(best) == []


def test_device_time_is_told_by_kind(study: Study) -> None:
    (study.folder / "best.json").unlink()
    words = read(write_study_report(study)).words
    ledger = ledger_of(study)
    assert f"Device time: {duration(ledger.total)}, of it {duration(ledger.total)} useful." in words
    assert f"A finished fold took {duration(ledger.total / 4)} on average." in words
    assert f"useful\n{duration(ledger.total)}\n100 %\n" in words
    study.end_trial(1, "stopped", "cannot win", None)
    shutil.rmtree(study.trial_folder(1) / "seed_0")
    assert "stopping early left out 2 of 4 folds" in read(write_study_report(study)).words


def test_hindsight_is_told_where_it_was_written(study: Study) -> None:
    (study.folder / "best.json").unlink()
    path, picture = study.folder / "hindsight.json", study.folder / "importances.png"
    assert _hindsight_sections(study) == []
    lines = ["of 2 trials 2 are complete", "optimizer.learning_rate 0.0097 lies at the upper end", "<b>"]
    write_json(path, {"lines": lines, "importances": {}})
    assert read(write_study_report(study)).items == [
        "Of 2 trials 2 are complete.",
        "optimizer.learning_rate 0.0097 lies at the upper end.",
        "<b>.",
    ]
    assert not picture.exists()
    write_json(path, {"lines": [], "importances": {"model.depth": 0.8, "data.grayscale": 0.2}})
    (section,) = _hindsight_sections(study)
    assert section.pictures == [(picture, "what the score depends on, among complete trials")]
    assert picture.is_file()
    write_json(path, {"lines": []})
    with pytest.raises(
        UserError, match=r"hindsight.json: expected a field 'importances', found none; restore the file"
    ):
        _hindsight_sections(study)


@pytest.mark.parametrize("share", ['"much"', "NaN", "-0.1", "1.5", "true", "null", "[]"])
def test_importances_that_are_none_are_named(study: Study, share: str) -> None:
    (study.folder / "hindsight.json").write_text(f'{{"lines": [], "importances": {{"model.depth": {share}}}}}')
    with pytest.raises(
        UserError,
        match=r"hindsight.json: field 'importances.model.depth': expected (a|at)",
    ):
        write_study_report(study)


@pytest.mark.parametrize("name", ["$x^$", "a\x1b[31m\nb", "", "x" * 5000])
def test_parameters_that_are_none_are_named(study: Study, name: str) -> None:
    write_json(study.folder / "hindsight.json", {"lines": [], "importances": {name: 0.5}})
    with pytest.raises(
        UserError, match=r"hindsight.json: field 'importances..*: expected a field of a recipe"
    ) as refusal:
        write_study_report(study)
    line = str(refusal.value)
    assert line.isprintable()
    assert len(line) < 300 + len(str(study.folder))


def test_lines_that_are_no_sentences_are_refused(study: Study) -> None:
    write_json(study.folder / "hindsight.json", {"lines": [3], "importances": {}})
    with pytest.raises(UserError, match=r"hindsight.json: field 'lines.0': expected text, got 3; restore the file"):
        write_study_report(study)


def test_predictions_of_the_winner_that_are_missing_are_noticed(study: Study) -> None:
    (study.trial_folder(0) / "seed_0" / "fold_1.json").unlink()
    with pytest.raises(UserError, match=r"seed_0: trial 0000 has \d+ predictions of 48 images; restore the folder"):
        main([study.name, "--runs", str(study.folder.parent)])


def test_best_json_of_another_study_is_not_reported(study: Study) -> None:
    change_best(study, study_uid="00000000")
    with pytest.raises(
        UserError, match=r"best.json: field 'study_uid': expected 'e71e6287' .*: it belongs to another study"
    ):
        main([study.name, "--runs", str(study.folder.parent)])


def test_score_and_cost_are_weighed_where_both_were_sought(study: Study) -> None:
    change_info(study, objective="tta_accuracy,cost")
    change_best(study, objective="tta_accuracy,cost")
    words = read(write_study_report(study)).words
    assert "The winner is by the one-standard-error rule: the cheapest complete trial" in words
    assert "The winner was not chosen for its score alone: it is the cheapest trial within one standard error" in words
    assert "so they tell of the best trials by score, not of this winner" in words
    assert "The winner was chosen for its score" not in words
    # The winner, trial 0, is on the front, whatever the other one cost: it scores at least as much.
    table = trial_table(study).set_index("trial")
    cost = {f"{trial.number:04d}": trial.cost for trial in ledger_of(study).trials}
    assert table["score"]["0000"] >= table["score"]["0001"]
    is_front = table["score"]["0000"] > table["score"]["0001"] or cost["0000"] <= cost["0001"]
    assert f"{duration(cost['0000'])}\n{'front, winner' if is_front else 'winner'}\n" in words
    assert "tta_accuracy\n" in words
    assert "tta_accuracy,cost" not in words
    assert (study.folder / "front.png").is_file()


def test_front_is_not_dominated() -> None:
    scores, costs = np.array([0.9, 0.8, 0.8, 0.7, 0.9, 0.6]), np.array([5.0, 3.0, 4.0, 1.0, 5.0, 2.0])
    # Equals in both stay together; as good but dearer, and cheaper than the front but worse than a cheaper one, fall.
    assert pareto_front(scores, costs).tolist() == [True, True, False, True, True, False]


def test_seeds_have_a_column_once_a_trial_was_repeated(study: Study) -> None:
    (study.folder / "best.json").unlink()
    text = read(write_study_report(study))
    assert "seeds" not in text.words.split("\n")
    first = study.trial_folder(0) / "seed_0"
    shutil.copytree(first, study.trial_folder(0) / "seed_1")
    words = read(write_study_report(study)).words
    assert "2/2\n2\n" in words
    assert "2/2\n1\n" in words
    assert "A complete trial has the mean over its seeds." in words
    assert "repeats with other seeds" in words


def test_trial_taken_over_is_marked(study: Study) -> None:
    (study.folder / "best.json").unlink()
    origin = {"study": "old", "study_uid": "00000000", "trial": "0003", "seeds": [0]}
    write_json(study.trial_folder(1) / "origin.json", origin)
    words = read(write_study_report(study)).words
    assert "taken over\n" in words
    assert "trials taken over from an earlier study: 1." in words


def test_running_trial_is_counted(study: Study) -> None:
    study.begin_trial(2, Recipe())
    assert "2 complete, 0 stopped, 0 failed, 1 running" in read(write_study_report(study)).words
