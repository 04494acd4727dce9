"""The report of a study, written from its folder alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.studies import change_info
from rich.console import Console

from leukemia.base.errors import NO_WINNER, MissingFile, UserError
from leukemia.base.files import write_json
from leukemia.base.record import write_record
from leukemia.config.protocol import RANDOM_CELL_WARNING
from leukemia.config.recipe import Recipe
from leukemia.report import main
from leukemia.reporting import folds
from leukemia.reporting.figure import Figure
from leukemia.reporting.folds import folds_sections
from leukemia.reporting.search_sections import pareto_front
from leukemia.reporting.study_report import write_study_report as write_report
from leukemia.reporting.winner import _noise, start_section
from leukemia.scoring.metrics import METRICS
from leukemia.study.best import SCHEMA, Best, Noise
from leukemia.study.duration import duration
from leukemia.study.folder import Study
from leukemia.study.ledger import ledger_of
from leukemia.study.table import trial_table
from search.trials.outcome import print_outcome

EXAMPLE = Path(__file__).parents[1] / "example_study"


class Text(HTMLParser):
    """Text, tags, headings and list items of a page, without its scripts and figures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags, self.items, self.headings = "", set[str](), list[str](), list[str]()
        self.is_item, self.is_heading, self.left_out = False, False, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.is_item, self.is_heading = tag == "li", tag == "h2"
        if tag in ("script", "style", "svg") and not self.left_out:
            self.left_out = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.left_out:
            self.left_out = ""

    def handle_data(self, data: str) -> None:
        if self.left_out:
            return
        self.text += data + "\n"
        if self.is_heading:
            self.headings.append(data)
            self.is_heading = False
        if self.is_item:
            self.items.append(data)
            self.is_item = False


BLOCK = {
    "raw": 47 / 48,
    "pooled": {"value": 47 / 48, "low": 0.9, "high": 1.0},
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
    return write_report(opened, Best.find(opened))


def read(path: Path) -> Text:
    return Text(path.read_text(encoding="utf-8"))


def test_report_of_a_finished_study(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", str(study.folder.parent)]) == 0
    path = study.folder / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    page, best = read(path), Best.load(study.folder / "best.json")
    assert "Study example" in page.text
    assert "2 complete, 0 stopped, 0 failed, 0 running" in page.text
    quoted = "corrected for a choice among 2 complete trials: 0.953 (0.890 to 0.990). This is the score to quote"
    maximized = f"{best.score.raw:.3f}. The table below is over the 48 out-of-fold images"
    assert 0 < page.text.index(quoted) < page.text.index(maximized)
    assert "The winner was chosen for its score, so that score is too optimistic." in page.text
    assert best.data.fingerprint in page.text
    for name in ("accuracy", "balanced accuracy", "AUROC", "majority rate"):
        assert name in page.text
    assert RANDOM_CELL_WARNING not in page.text.lower()
    assert "Score and cost" not in page.text
    assert page.headings == [
        "What to quote",
        "Is it better than guessing?",
        "Is it better than the start?",
        "What decided it",
        "What it cost",
        "What to doubt",
        "How to reproduce it",
    ]
    pictures = {picture.name for picture in study.folder.glob("*.png")}
    drawn = {"confusion.png", "roc.png", "calibration.png", "curves.png", "search.png", "device_time.png"}
    assert pictures == drawn
    assert set(best.scores) == set(METRICS)


def test_the_balance_of_the_folds_is_stated(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(write_study_report(study)).text
    section = page[page.index("Every image is a validation image of one fold.") :].split("\n")
    assert [cell for cell in section[1:] if cell][:12] == [
        *("fold", "images", "subjects", "share of leukemic"),
        *("1", "24", "6", "0.5"),
        *("2", "24", "6", "0.5"),
    ]
    assert "differs by" not in page
    monkeypatch.setattr(folds, "MAX_DIFFERENCE", -1.0)
    assert "The share of leukemic images differs by 0.00" in "".join(part.text for part in folds_sections(study))


def test_images_are_shown_if_the_search_drew_them(study: Study) -> None:
    stated = "A few images of each class as the network sees them"
    assert stated not in read(write_study_report(study)).text
    shutil.copy(write_study_report(study).with_name("roc.png"), study.folder / "contact_sheet.png")
    page = read(write_study_report(study)).text
    assert stated in page
    assert "augmented by the starting recipe" not in page


def test_pretrained_weights_are_stated(study: Study) -> None:
    assert "pretrained weights" not in read(write_study_report(study)).text
    change_info(study, weights="resnet18.pth, ResNet-18: 120 tensors taken; dropped: fc (2)")
    cells = read(write_study_report(study)).text.split("\n")
    assert (
        "resnet18.pth, ResNet-18: 120 tensors taken; dropped: fc (2)" in cells[cells.index("pretrained weights") :][:3]
    )


def test_devices_are_stated(study: Study) -> None:
    cells = [cell for cell in read(write_study_report(study)).text.split("\n") if cell.strip()]
    for name, value in (("device where the search started", "cpu (AMD EPYC)"), ("processors where", "2")):
        assert cells[next(row for row, cell in enumerate(cells) if cell.startswith(name)) + 1] == value
    assert cells[cells.index("device of the winner's folds") + 1] == Best.of(study).hardware["device"]


def test_notes_on_the_data_are_stated(study: Study) -> None:
    assert "note on the data" not in read(write_study_report(study)).text
    note = "3 of 6 paths in the CSV do not exist as written"
    change_info(study, data={**dataclasses.asdict(study.info.data), "notes": [note, "another"]})
    cells = read(write_study_report(study)).text.split("\n")
    found = [cells[number:][:3] for number, cell in enumerate(cells) if cell == "note on the data"]
    assert [any(text in cells for cells in found) for text in (note, "another")] == [True, True]


def test_what_was_searched_is_stated_also_of_an_earlier_version(study: Study) -> None:
    cells = read(write_study_report(study)).text.split("\n")
    assert "What was searched" in cells
    assert "0.001 to 0.3 (log) (only adamw)" in cells
    assert "why" not in cells, "no reasons were stored then"
    epochs = {"distribution": "int_uniform", "min": 1, "max": 3, "reason": "as long as <we> can wait"}
    parameters = {"train": {"parameters": {"epochs": epochs}}}
    asked = {"only": True, "leave": [], "parameters": parameters}
    change_info(study, space=parameters, asked=asked, settings={"model.shortcut": "add"})
    opened = Study.open(study.folder)
    entry = {"low": 1, "high": 3, "log": False, "step": 1, "reason": epochs["reason"]}
    assert opened.info.space == {"train.epochs": entry}
    cells = read(write_study_report(study)).text.split("\n")
    for row in (["train.epochs", "1 to 3", epochs["reason"]], ["model.shortcut", "add", "fixed by the user"]):
        place = cells.index(row[0])
        assert [each for each in cells[place : place + 6] if each.strip()][:3] == row
    assert any("1 of the searched fields are as the user asked" in cell for cell in cells)


def test_random_cell_protocol_is_stated(study: Study) -> None:
    change_info(study, protocol="random-cell")
    change_best(study, protocol="random-cell")
    assert RANDOM_CELL_WARNING in read(write_study_report(study)).text.lower()


def test_study_without_a_winner_can_be_reported_by_name(study: Study) -> None:
    (study.folder / "best.json").unlink()
    for number, state in ((0, "failed"), (1, "stopped")):
        shutil.rmtree(study.trial_folder(number) / "seed_0")
        study.end_trial(number, state, "NonFiniteLoss: <non-finite> & co", None)
    with pytest.raises(MissingFile, match=r"^no study with a best.json in "):
        main(["--runs", str(study.folder.parent)])
    assert main([study.name, "--runs", str(study.folder.parent)]) == 0
    page = read(study.folder / "report.html")
    assert "2 trials, no winner, 2 folds" in page.text
    assert "0 complete, 1 stopped, 1 failed, 0 running" in page.text
    assert "NonFiniteLoss: <non-finite> & co" in page.text
    assert "Winner" not in page.text


def test_search_without_a_winner_ignores_a_foreign_best_json(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    change_best(study, study_uid="00000000")
    assert print_outcome(Console(width=120), study, has_winner=False) == NO_WINNER == 3
    output = capsys.readouterr().out
    assert "no winner: none of 2 trials finished all folds" in output
    assert output.splitlines()[-1].startswith("next: resume the study with more --trials, or start one with another ")
    assert (
        f"warning: {study.folder / 'best.json'} does not belong to this search, which has no winner; remove it"
        in output
    )
    assert "Winner" not in read(study.folder / "report.html").text
    with pytest.raises(UserError, match=r"best.json: field 'study_uid': expected 'e71e6287'"):
        print_outcome(Console(width=120), study, has_winner=True)


def test_a_search_ends_with_the_command_for_the_final_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my runs" / "example"
    shutil.copytree(EXAMPLE, folder)
    study = Study.open(folder)
    write_record(folder / "hindsight.json", {"lines": [], "importances": {}})
    print_outcome(Console(width=120), study, has_winner=True)
    *output, last = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("chosen by cost") for line in output)
    assert last == f"next: python -m leukemia.final --best example --runs '{tmp_path / 'my runs'}'"
    monkeypatch.setenv("LEUKEMIA_FINAL_COMMAND", "sbatch --wrap 'final'")
    print_outcome(Console(width=120), study, has_winner=True)
    assert capsys.readouterr().out.endswith("\nnext: sbatch --wrap 'final'\n")


def test_a_search_by_cost_ends_with_the_rule_that_chose_its_winner(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    change_info(study, objective="tta_accuracy,cost")
    change_best(study, objective="tta_accuracy,cost", noise={"winner_vs_second": WINNER_VS_START})
    write_record(study.folder / "hindsight.json", {"lines": [], "importances": {}})
    print_outcome(Console(width=120), Study.open(study.folder), has_winner=True)
    output = capsys.readouterr().out.splitlines()
    assert output[1].split()[-2:] == ["tta_accuracy", "cost"]
    winner = next(number for number, line in enumerate(output) if line.startswith("winner: "))
    assert output[winner + 1].startswith("chosen by cost: the cheapest complete trial whose score is within one stand")
    assert f"compared with the best of the others by score: {WINNER_VS_START}" in output


def test_study_without_trials(tmp_path: Path) -> None:
    page = read(write_study_report(Study.create(tmp_path / "new", Study.open(EXAMPLE).info)))
    assert "0 trials, no winner, 2 folds" in page.text
    assert "0 complete, 0 stopped, 0 failed, 0 running" in page.text


def test_winner_without_epochs_is_rejected(study: Study) -> None:
    (study.trial_folder(0) / "epochs.csv").unlink()
    with pytest.raises(UserError, match=r"0000/epochs.csv: no epochs of the winner; restore"):
        write_study_report(study)


def test_only_complete_trial_has_no_correction(study: Study) -> None:
    change_best(study, num_complete=1)
    assert (
        "Its accuracy with test-time augmentation, of the only complete trial: 0.953 (0.890 to 0.990)"
        in read(write_study_report(study)).text
    )


def test_undefined_score_cannot_be_quoted(study: Study) -> None:
    nothing = dict.fromkeys(("value", "low", "high"))
    change_best(study, score={**dict.fromkeys(BLOCK, nothing), "raw": 0.5})
    text = read(write_study_report(study)).text
    assert "is undefined: only one class; there is no score to quote." in text


def test_names_are_escaped(study: Study) -> None:
    evil = "<script>alert(1)</script>&<b>"
    change_info(study, data={**dataclasses.asdict(study.info.data), "uri": evil}, command=f"python {evil}")
    page = read(write_study_report(study))
    assert "b" not in page.tags
    assert f"python {evil}" in page.text


def test_score_section_has_all_corrections(study: Study) -> None:
    text = read(write_study_report(study)).text
    rows = {
        "raw": "0.979",
        "pooled": "0.979 (0.900 to 1.000)",
        "bootstrap": "0.953 (0.890 to 0.990)",
        "leave fold out": "0.962 (no interval: too few groups)",
        "headline": "0.953 (0.890 to 0.990)",
    }
    for name, value in rows.items():
        assert f"{name}\n{value}\n" in text
    assert "The corrections exclude stopped trials, which lack folds." in text
    assert "the score to quote: the lower correction, at most pooled" in text


def test_folds_on_which_the_corrections_are_scored_are_stated(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"value": 0.9581, "low": 0.88, "high": 0.98}
    change_best(study, score={**BLOCK, "scored": own, "scored_folds": [1]})
    reason = "fold 2, because fold 1 chose which trials ran on"
    text = read(write_study_report(study)).text
    assert f"corrected for a choice among 2 complete trials, scored on {reason}: 0.953" in text
    assert f"They choose by all folds, but are scored on {reason}; raw and pooled are over all folds and not" in text
    assert f"scored\n0.958 (0.880 to 0.980)\nas pooled, on {reason}\n" in text
    assert "the score to quote: the lower correction, at most scored" in text
    write_record(study.folder / "hindsight.json", {"lines": [], "importances": {}})
    print_outcome(Console(width=1000), Study.open(study.folder), has_winner=True)
    assert (
        f"corrected for being the best of 2 complete trials (scored on {reason}); raw 0.9581 over the images of the "
        "same fold 2; 0.9792 as the mean over all 2 folds and 1 seed; 48 images"
    ) in capsys.readouterr().out
    assert "is 0.979, and 0.958 over the images of fold 2, on which the score to quote is corrected, because " in text
    change_best(study, num_complete=1)
    assert f"of the only complete trial, scored on {reason}: 0.953" in read(write_study_report(study)).text


def test_a_winner_that_was_not_chosen_among_several_says_so(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    change_best(study, num_complete=1)
    write_record(study.folder / "hindsight.json", {"lines": [], "importances": {}})
    print_outcome(Console(width=1000), Study.open(study.folder), has_winner=True)
    assert (
        "of the only complete trial: nothing was chosen; raw 0.9792 (mean over 2 folds and" in capsys.readouterr().out
    )


def test_why_the_winner_is_not_compared_with_the_start(study: Study) -> None:
    best = Best.of(study)
    assert start_section(study, best).text == f"The winner, trial {best.trial}, is the starting recipe itself."
    other = change_info(study, start=best.recipe.with_settings({"train.seed": 7}).flat())
    assert start_section(other, best).text.startswith("The starting recipe did not finish all folds, so the winner")


def test_noise_is_described(study: Study) -> None:
    noise = {
        "winner_vs_start": WINNER_VS_START,
        "winner_vs_second": "no difference to 0.1 points, no interval: too few groups",
        "fold_noise": 0.0123,
        "seeds": {"0000": [0, 1, 2], "0001": [0, 1]},
    }
    change_best(study, noise=noise, seeds=[0, 1, 2])
    page = read(write_study_report(study))
    assert page.items == [
        f"Against the starting recipe: {WINNER_VS_START}.",
        "Against the runner-up: no difference to 0.1 points, no interval: too few groups.",
        "The seed alone changes a fold's score by 1.2 points (standard deviation).",
        "Repeated trials and their seeds: 0000 (0, 1, 2), 0001 (0, 1).",
    ]
    assert "the mean over folds and seeds, is 0.979. The table below is for seed 0 only, over the 48" in page.text


def test_noise_without_repeats_is_not_reported(study: Study) -> None:
    best = Best.load(study.folder / "best.json")
    noise = Noise(winner_vs_start=WINNER_VS_START, fold_noise=0.01)
    assert _noise(replace(best, noise=noise)) == [f"Against the starting recipe: {WINNER_VS_START}."]
    assert _noise(best) == []


def test_device_time_is_listed_by_kind(study: Study) -> None:
    (study.folder / "best.json").unlink()
    text = read(write_study_report(study)).text
    ledger = ledger_of(study)
    assert f"Device time: {duration(ledger.total)} ({duration(ledger.total)} useful)." in text
    assert f"A finished fold took {duration(ledger.total / 4)} on average." in text
    assert f"useful\n{duration(ledger.total)}\n100 %\n" in text
    study.end_trial(1, "stopped", "cannot win", None)
    shutil.rmtree(study.trial_folder(1) / "seed_0")
    assert "early stopping saved 2 of 4 folds" in read(write_study_report(study)).text


def test_hindsight_is_reported_if_present(study: Study) -> None:
    (study.folder / "best.json").unlink()
    path = study.folder / "hindsight.json"
    assert "in hindsight" not in read(write_study_report(study)).text
    lines = ["of 2 trials 2 are complete", "optimizer.learning_rate 0.0097 lies at the upper end", "<b>"]
    write_json(path, {"lines": lines, "importances": {}})
    assert read(write_study_report(study)).items == [
        "Of 2 trials 2 are complete.",
        "optimizer.learning_rate 0.0097 lies at the upper end.",
        "<b>.",
    ]


def test_importances_are_drawn_from_twenty_complete_trials_on(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier version wrote them for any number of trials, and drew them."""
    (study.folder / "best.json").unlink()
    content = {"lines": [], "importances": {"model.depth": 0.8, "data.grayscale": 0.2}}
    write_json(study.folder / "hindsight.json", content)
    picture = study.folder / "importances.png"
    picture.write_bytes(b"of an earlier report")
    assert "mportance of recipe fields" not in write_study_report(study).read_text()
    assert not picture.exists()
    for number in range(2, 20):
        shutil.copytree(study.trial_folder(0), study.trial_folder(number))
    write_record(study.folder / "hindsight.json", {**content, "stage": "all folds", "num_trials": 20})
    page = write_study_report(study).read_text()
    assert "Importance of recipe fields for the score, from the 20 trials that finished all folds." in page
    assert picture.is_file()
    # Another process, which has drawn it, too, may be reading it.
    present: list[bool] = []
    monkeypatch.setattr(Figure, "write_png", lambda figure, path: present.append(path.is_file()))
    write_study_report(study)
    assert present
    assert all(present)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"importances": {"model.depth": 0.8, "data.grayscale": 0.3}}, "field 'importances': expected shares that add"),
        ({"num_trials": -1}, "field 'num_trials': expected at least 0, got -1"),
        ({"num_trials": 30}, "field 'num_trials': expected at most 2, the complete trials, got 30"),
        ({"importances": None}, "field 'importances': expected an object"),
    ],
)
def test_impossible_hindsight_is_refused_before_a_picture_is_drawn(
    study: Study, changes: dict[str, Any], message: str
) -> None:
    content = {"lines": [], "importances": {"model.depth": 0.8, "data.grayscale": 0.2}, "num_trials": 2}
    write_json(study.folder / "hindsight.json", {**content, **changes})
    with pytest.raises(UserError, match=rf"hindsight.json: {message}"):
        write_study_report(study)
    assert not list(study.folder.glob("*.png"))


@pytest.mark.parametrize("share", ['"much"', "NaN", "-0.1", "1.5", "true", "null", "[]"])
def test_invalid_importances_are_rejected(study: Study, share: str) -> None:
    (study.folder / "hindsight.json").write_text(f'{{"lines": [], "importances": {{"model.depth": {share}}}}}')
    with pytest.raises(
        UserError,
        match=r"hindsight.json: field 'importances.model.depth': expected (a|at)",
    ):
        write_study_report(study)


@pytest.mark.parametrize("name", ["$x^$", "a\x1b[31m\nb", "", "x" * 5000])
def test_unknown_parameters_are_rejected(study: Study, name: str) -> None:
    write_json(study.folder / "hindsight.json", {"lines": [], "importances": {name: 0.5}})
    with pytest.raises(
        UserError, match=r"hindsight.json: field 'importances..*: expected a field of a recipe"
    ) as refusal:
        write_study_report(study)
    line = str(refusal.value)
    assert line.isprintable()
    assert len(line) < 300 + len(str(study.folder))


def test_hindsight_from_fewer_trials_says_so(study: Study) -> None:
    content = {"lines": ["2 trials ended"], "importances": {}}
    write_json(study.folder / "hindsight.json", {**content, "num_trials": 1})
    assert "space. From 1 of 2 complete trials, before the search was int" in read(write_study_report(study)).text
    write_json(study.folder / "hindsight.json", {**content, "num_trials": 2})
    assert "before the search was interrupted" not in read(write_study_report(study)).text


def test_hindsight_lines_must_be_text(study: Study) -> None:
    write_json(study.folder / "hindsight.json", {"lines": [3], "importances": {}})
    with pytest.raises(UserError, match=r"hindsight.json: field 'lines.0': expected text, got 3; restore the file"):
        write_study_report(study)


def test_missing_predictions_of_the_winner_are_reported(study: Study) -> None:
    (study.trial_folder(0) / "seed_0" / "fold_1.json").unlink()
    with pytest.raises(UserError, match=r"seed_0/fold_1.json: is missing, but trial 0000 is complete; restore"):
        main([study.name, "--runs", str(study.folder.parent)])


def test_best_json_of_another_study_is_rejected(study: Study) -> None:
    change_best(study, study_uid="00000000")
    with pytest.raises(
        UserError, match=r"best.json: field 'study_uid': expected 'e71e6287' .*: it belongs to another study"
    ):
        main([study.name, "--runs", str(study.folder.parent)])


def test_score_and_cost_are_reported_if_both_were_optimized(study: Study) -> None:
    change_info(study, objective="tta_accuracy,cost")
    change_best(study, objective="tta_accuracy,cost")
    text = read(write_study_report(study)).text
    assert "The winner is chosen by the one-standard-error rule: the cheapest complete trial" in text
    assert "The winner was not chosen for its score alone: it is the cheapest trial within one standard error" in text
    assert "describe the best trials by score, not this winner" in text
    assert "The winner was chosen for its score" not in text
    # Trial 0 wins. It is on the front unless the other trial is at least as good and cheaper.
    table = trial_table(study).set_index("trial")
    cost = {f"{trial.number:04d}": trial.cost for trial in ledger_of(study).trials}
    assert table["score"]["0000"] >= table["score"]["0001"]
    is_front = table["score"]["0000"] > table["score"]["0001"] or cost["0000"] <= cost["0001"]
    assert f"{duration(cost['0000'])}\n{'front, winner' if is_front else 'winner'}\n" in text
    assert "accuracy\n" in text
    assert "tta_accuracy,cost" not in text
    assert (study.folder / "front.png").is_file()


def test_front_is_not_dominated() -> None:
    scores, costs = np.array([0.9, 0.8, 0.8, 0.7, 0.9, 0.6]), np.array([5.0, 3.0, 4.0, 1.0, 5.0, 2.0])
    # Ties in both values stay on the front; equally good but more expensive trials, and dominated cheap ones, do not.
    assert pareto_front(scores, costs).tolist() == [True, True, False, True, True, False]


def test_seeds_have_a_column_if_a_trial_was_repeated(study: Study) -> None:
    (study.folder / "best.json").unlink()
    page = read(write_study_report(study))
    assert "seeds" not in page.text.split("\n")
    first = study.trial_folder(0) / "seed_0"
    second = Path(shutil.copytree(first, study.trial_folder(0) / "seed_1"))
    for path in second.glob("*.json"):
        write_json(path, {**json.loads(path.read_text()), "seed": 1})
    text = read(write_study_report(study)).text
    assert "2/2\n2\n" in text
    assert "2/2\n1\n" in text
    assert "The score of a complete trial is the mean over its seeds." in text
    assert "repeats with other seeds" in text


def test_reused_trial_is_marked(study: Study) -> None:
    (study.folder / "best.json").unlink()
    origin = {"study": "old", "study_uid": "00000000", "trial": "0003", "seeds": [0]}
    write_json(study.trial_folder(1) / "origin.json", origin)
    text = read(write_study_report(study)).text
    assert "reused\n" in text
    assert "trials reused from earlier studies: 1." in text


def test_running_trial_is_counted(study: Study) -> None:
    study.begin_trial(2, Recipe())
    assert "2 complete, 0 stopped, 0 failed, 1 running" in read(write_study_report(study)).text
