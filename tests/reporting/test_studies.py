"""``python -m leukemia.report A B``: the page and the table that compare studies."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.compared import compared_study, recipes_of

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import write_record
from leukemia.data.catalog import Catalog
from leukemia.report import main
from leukemia.reporting.compared_study import compared_studies
from leukemia.reporting.winner_differences import winner_differences
from leukemia.reporting.words import describe_interval
from leukemia.scoring.independent import independent_difference
from leukemia.scoring.jackknife import paired_jackknife, student_interval
from leukemia.scoring.metrics import describe_difference
from leukemia.study.best import Best
from leukemia.study.folder import Study

UIDS = {"first": "11111111", "second": "22222222", "third": "33333333"}


def study_of(runs: Path, catalog: Catalog, name: str, *settings: dict[str, Any], **options: Any) -> Study:
    return compared_study(runs / name, catalog, recipes_of(*settings), study_uid=UIDS[name], **options)


@pytest.fixture
def runs(tmp_path: Path, tiny_catalog: Catalog) -> Path:
    """Two studies on the same folds; the winner of the first one has a repeat."""
    runs = tmp_path / "runs"
    study_of(runs, tiny_catalog, "first", {}, {"model.depth": 50}, skills=[0.6, 0.75], repeats={1: [4]})
    study_of(runs, tiny_catalog, "second", {"data.grayscale": True}, skills=[0.9])
    return runs


def rows_of(runs: Path, *names: str) -> list[tuple[str, str, str]]:
    return winner_differences(compared_studies(runs, names))


def test_winners_on_the_same_folds_are_compared_image_by_image(runs: Path) -> None:
    ((compared, difference, source),) = rows_of(runs, "first", "second")
    assert compared == "second against first"
    assert source == (
        "paired: folds 1 to 2, 48 images of 12 groups, 1 against 2 seeds, not corrected for the choice of the winners"
    )
    first, second = Study.open(runs / "first"), Study.open(runs / "second")
    table = first.out_of_fold(1, 0)
    sides = [
        np.stack([study.out_of_fold(number, seed)["probability_leukemic"] for seed in seeds])
        for study, number, seeds in ((second, 0, (0,)), (first, 1, (0, 4)))
    ]
    codes = np.unique(table["group"], return_inverse=True)[1]
    expected = paired_jackknife(table["label"].to_numpy(), *sides, codes, "accuracy")
    noises = [Best.of(study).noise.fold_noise or 0.0 for study in (second, first)]
    assert min(noises) > 0
    variance = expected.variance + noises[0] ** 2 / 2 + noises[1] ** 2 / 4
    interval = student_interval(expected.value, variance, 11)
    assert difference == f"accuracy: {describe_difference(interval)}"
    ((compared, turned, _),) = rows_of(runs, "second", "first")
    assert compared == "first against second"
    assert turned.split()[1] == "worse"


def test_unrecorded_noise_is_stated(runs: Path) -> None:
    path = runs / "second" / "best.json"
    content = json.loads(path.read_text())
    del content["noise"]["fold_noise"]
    write_record(path, content)
    ((_, _, source),) = rows_of(runs, "first", "second")
    assert "1 against 2 seeds, without the noise of training, which was not recorded" in source


def test_folds_that_chose_the_trials_are_left_out_of_the_difference(tmp_path: Path, tiny_catalog: Catalog) -> None:
    study_of(tmp_path, tiny_catalog, "first", {}, folds=3)
    study_of(tmp_path, tiny_catalog, "second", {"data.grayscale": True}, folds=3, paused_before=True)
    ((_, _, source),) = rows_of(tmp_path, "first", "second")
    assert source.startswith("paired: folds 2 to 3, 32 images of 8 groups, ")


def test_studies_with_other_scores_are_compared_by_both(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {}, skills=[0.7], objective="tta_auroc")
    rows = rows_of(runs, "second", "third")
    assert [row[1].partition(":")[0] for row in rows] == ["AUROC", "accuracy"]
    assert all(row[0] == "third against second" and row[2].startswith("paired: ") for row in rows)
    assert all(row[2].endswith("1 against 1 seed") for row in rows), "nothing was chosen"


def test_other_folds_of_the_same_data_are_not_paired(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {}, skills=[0.7], seed=1)
    ((_, difference, source),) = rows_of(runs, "second", "third")
    assert source == (
        "not paired: the same data, but other folds (2 folds of seed 1 against 2 folds of seed 0); scores to quote on "
        "48 against 48 images"
    )
    scores = [Best.of(Study.open(runs / name)).score.headline.interval for name in ("third", "second")]
    assert difference == f"accuracy: {describe_difference(independent_difference(*scores))}"


def test_another_number_of_folds_is_not_paired(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {}, folds=3)
    ((_, _, source),) = rows_of(runs, "second", "third")
    assert "the same data, but other folds (3 folds of seed 0 against 2 folds of seed 0)" in source


def test_other_data_are_not_paired(runs: Path, tiny_catalog: Catalog) -> None:
    study = study_of(runs, tiny_catalog, "third", {})
    for path in (study.folder / "study.json", study.folder / "best.json"):
        content = json.loads(path.read_text())
        write_record(path, {**content, "data": {**content["data"], "fingerprint": "0" * 64}})
    ((_, difference, source),) = rows_of(runs, "second", "third")
    assert source.startswith("not paired: other data, so the difference is one of data and recipes together; ")
    assert difference.startswith("accuracy: ")


def test_other_scores_on_other_folds_are_not_compared(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {}, seed=1, objective="tta_auroc")
    ((_, difference, source),) = rows_of(runs, "second", "third")
    assert difference == "not compared"
    assert source.endswith("other scores were maximized (AUROC against accuracy)")


def test_other_protocols_are_not_compared(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {}, protocol="random-cell")
    assert rows_of(runs, "second", "third") == [
        (
            "third against second",
            "not compared",
            "scores of different protocols do not measure the same (random-cell against grouped)",
        )
    ]


def test_a_study_without_a_winner_is_shown_but_not_compared(
    runs: Path, tiny_catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    study_of(runs, tiny_catalog, "third", {}, {"model.depth": 50}, ends={0: ("stopped", 1), 1: ("failed", 1)})
    assert rows_of(runs, "second", "third") == [("third against second", "not compared", "no winner in third")]
    assert main(["second", "third", "--runs", str(runs)]) == 0
    page = (runs / "comparison.html").read_text()
    assert "Fewer than two of these studies have a winner." in page
    assert "no winner" in capsys.readouterr().out


def test_scores_without_an_interval_are_not_subtracted(runs: Path, tiny_catalog: Catalog) -> None:
    study = study_of(runs, tiny_catalog, "third", {}, seed=1)
    path = study.folder / "best.json"
    content = json.loads(path.read_text())
    without = {**content["score"]["pooled"], "low": None, "high": None}
    names = ("headline", "pooled", "scored", "bootstrap", "leave_fold_out")
    write_record(path, {**content, "score": {**content["score"], **dict.fromkeys(names, without)}})
    ((_, difference, _),) = rows_of(runs, "second", "third")
    assert difference == "accuracy: no interval, too few groups of images"


def test_the_page_and_the_terminal_compare_two_studies(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["first", "second", "--runs", str(runs)]) == 0
    page, output = (runs / "comparison.html").read_text(), capsys.readouterr().out
    lines = output.splitlines()
    assert lines[-1] == str(runs / "comparison.html")
    assert lines[-2].startswith("second against first: accuracy: better by ")
    assert lines[-2].endswith("1 against 2 seeds, not corrected for the choice of the winners)")
    text = re.sub(r"\s+", " ", re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))
    assert "Studies first and second" in text
    for heading in ("What to quote", "Which is better?", "What differs", "What was searched", "What it cost"):
        assert f"<h2>{heading}</h2>" in page
    for name, trial, recipe in (("first", 1, "ResNet-50 add, color"), ("second", 0, "ResNet-18 add, gray")):
        interval = Best.of(Study.open(runs / name)).score.headline.interval
        assert f"accuracy {describe_interval(interval)}" in text
        assert f"{trial:04d}, {recipe}" in text
        assert any(line.split()[:1] == [name] and f" {trial:04d}, ResNet-" in line for line in lines)
    assert "model.depth 50 18" in text
    assert "data.grayscale no yes" in text
    assert "optimizer.name ranger21" not in text, "it is the same"
    assert "complete trials 2 1" in text
    assert "seed of the folds 0 0" in text
    assert page.count('id="figure-scores-by-study-accuracy"') == 1
    assert f"python -m leukemia.report first second --runs {runs}" in text


def test_the_same_recipe_is_said_to_be_the_same(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {"data.grayscale": True}, seed=1)
    assert main(["second", "third", "--runs", str(runs)]) == 0
    assert "The winners have the same recipe." in (runs / "comparison.html").read_text()


def test_three_studies_are_compared_pair_by_pair(runs: Path, tiny_catalog: Catalog) -> None:
    study_of(runs, tiny_catalog, "third", {}, skills=[0.8])
    found = [row[0] for row in rows_of(runs, "first", "second", "third")]
    assert found == ["second against first", "third against first", "third against second"]


def test_a_page_can_have_another_name(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a page.html"
    assert main(["first", "second", "--runs", str(runs), "--out", str(out)]) == 0
    assert out.is_file()
    assert not (runs / "comparison.html").exists()
    with pytest.raises(UserError, match=r"--out .*a page.html: exists already; give another name, or remove it"):
        main(["first", "second", "--runs", str(runs), "--out", str(out)])


def test_a_page_in_the_folder_of_the_studies_is_no_study(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["first", "second", "--runs", str(runs)]) == 0
    assert main(["first", "second", "--runs", str(runs)]) == 0, "it is replaced"
    capsys.readouterr()
    assert main(["--runs", str(runs)]) == 0
    assert capsys.readouterr().out.endswith("report.html\n")


def test_what_cannot_be_compared_is_refused(runs: Path, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        with pytest.raises(UserError) as error:
            main([*arguments, "--runs", str(runs)])
        assert not (runs / "comparison.html").exists()
        return str(error.value)

    assert refused("first", "first") == "study first is given twice; expected different studies: leave one out"
    (runs / "empty").mkdir()
    with pytest.raises(MissingFile, match=r"no study at .*empty; --runs and the study's name must point to a folder"):
        main(["first", "empty", "--runs", str(runs)])
    shutil.copytree(runs / "first", runs / "copy")
    assert refused("first", "copy") == (
        f"{runs / 'first'} and {runs / 'copy'} are copies of one study (study_uid 11111111); expected different "
        "studies: leave one out"
    )
    out = str(tmp_path / "page.html")
    assert refused("first", "--out", out) == (
        f"--out {out}: is for the page that compares two or more studies, got 1; name them, or leave it out"
    )
    assert "got 0; name them" in refused("--out", out)
    assert "no folder at" in refused("first", "second", "--out", str(tmp_path / "absent" / "page.html"))


def test_a_damaged_study_is_refused_before_anything_is_written(runs: Path) -> None:
    path = runs / "second" / "trials" / "0000" / "seed_0" / "fold_1.csv"
    path.write_text(path.read_text().replace("0.8", "0.7", 1))
    with pytest.raises(UserError, match=r"fold_1.csv: the file was changed"):
        main(["first", "second", "--runs", str(runs)])
    assert not (runs / "comparison.html").exists()
