"""Accuracy over epochs by depth, and the confusion matrices of the best trial of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.compared import EPOCHS, compared_study, recipes_of
from helpers.studies import info_of
from helpers.worlds import waiting_world

from leukemia.data.catalog import Catalog
from leukemia.reporting.depth_figure import means_of
from leukemia.reporting.depths import COLUMNS, curves_of, depth_sections
from leukemia.reporting.page import Section
from leukemia.reporting.study_report import write_study_report
from leukemia.scoring.metrics import confusion_matrix
from leukemia.study.best import Best
from leukemia.study.finished import finished_trials
from leukemia.study.folder import Study

NONE = {
    f"augment.{name}": 0.0
    for name in ("horizontal_flip", "vertical_flip", "transpose", "rotate", "blur", "noise", "cutout")
}
SETTINGS = [{"model.depth": depth, **augment} for depth in (152, 18, 50) for augment in ({}, NONE)]


@pytest.fixture
def study(tmp_path: Path, tiny_catalog: Catalog) -> Study:
    """Three depths with and without augmentation, and one more trial each that was stopped or failed."""
    more = [{"model.depth": 18, "augment.blur": 0.4}, {"model.depth": 50, "augment.blur": 0.4}]
    ends = {6: ("stopped", 1), 7: ("failed", 1)}
    skills = [0.6, 0.7, 0.65, 0.8, 0.7, 0.9, 0.95, 0.95]
    return compared_study(tmp_path / "study", tiny_catalog, recipes_of(*SETTINGS, *more), skills=skills, ends=ends)


def by_title(study: Study) -> dict[str, Section]:
    return {section.title: section for section in depth_sections(study)}


def test_curves_are_means_over_the_folds_of_the_own_seed(study: Study) -> None:
    trials = finished_trials(study)
    curves = curves_of(study, trials, [0, 1])
    assert tuple(curves.columns) == COLUMNS
    assert list(dict.fromkeys(curves["network"])) == ["ResNet-18", "ResNet-50", "ResNet-152"]
    epochs = study.epochs(2)
    expected = epochs.groupby("epoch")["validation_accuracy"].mean()
    found = curves[curves["trial"] == 2].set_index("epoch")["accuracy"]
    assert found.to_dict() == pytest.approx(expected.to_dict())
    assert curves.groupby("trial")["augmented"].first().to_dict() == {
        number: number % 2 == 0 or number > 5 for number in range(7)
    }


def test_the_curves_are_of_the_folds_that_all_have_finished(study: Study) -> None:
    section = by_title(study)["Accuracy by depth"]
    (figure,) = section.figures
    assert figure.caption.startswith(
        "Validation accuracy of 7 trials over the epochs of fold 1, which all of them have finished, first seed only."
    )
    assert figure.caption.endswith(
        "Without 1 trial that failed, still ran, or had no epoch, or whose network has no depth."
    )
    groups = list(dict.fromkeys(row["group"] for row in figure.rows["means"]))
    assert set(groups) == {
        "ResNet-18, augmented (2)",
        *(f"ResNet-{depth}, augmented (1)" for depth in (50, 152)),
        *(f"ResNet-{depth}, not augmented (1)" for depth in (18, 50, 152)),
    }
    assert "No trial was trained" not in section.text
    assert len(figure.rows["means"]) == 6 * EPOCHS
    # The mean of the two trials, in fold 1 alone.
    last = [
        row for row in figure.rows["means"] if row["group"] == "ResNet-18, augmented (2)" and row["epoch"] == EPOCHS
    ]
    accuracies = [
        study.epochs(number).query(f"fold == 0 and epoch == {EPOCHS}")["validation_accuracy"] for number in (2, 6)
    ]
    assert last[0]["accuracy"] == pytest.approx(float(np.mean(np.concatenate(accuracies))))
    assert last[0]["trials"] == 2


def test_no_trial_leaves_a_mean(study: Study) -> None:
    curves = curves_of(study, finished_trials(study), [0]).assign(group="all")
    assert means_of(curves)["epoch"].tolist() == [1, 2, 3]
    short = curves[~((curves["trial"] == 1) & (curves["epoch"] == EPOCHS))]
    means = means_of(short)
    assert means["epoch"].tolist() == [1, 2], "trial 1 has come to its second epoch"
    assert means["trials"].tolist() == [7, 7]
    assert means["accuracy"].tolist() == pytest.approx(curves.groupby("epoch")["accuracy"].mean().tolist()[:2])


def test_trials_that_wait_in_the_first_fold_are_drawn_as_far_as_they_have_come(
    tmp_path: Path, tiny_catalog: Catalog
) -> None:
    _, study = waiting_world(tmp_path / "study", tiny_catalog)
    trials = finished_trials(study)
    assert sum(not trial.own_folds for trial in trials) > 1
    section = by_title(study)["Accuracy by depth"]
    (figure,) = section.figures
    assert "over the epochs of fold 1, as far as each has come" in figure.caption
    assert {row["trial"] for row in figure.rows["curves"]} == {trial.number for trial in trials}


def test_a_study_with_one_kind_of_augmentation_says_so(tmp_path: Path, tiny_catalog: Catalog) -> None:
    recipes = recipes_of(*({"augment.blur": blur} for blur in (0.1, 0.2)))
    study = compared_study(tmp_path / "study", tiny_catalog, recipes)
    (section,) = depth_sections(study)
    assert section.title == "Accuracy by depth"
    assert section.text.endswith(" No trial was trained without augmentation.")
    caption = section.figures[0].caption
    assert "the epochs of folds 1 to 2, which all of them have finished" in caption
    assert "Without" not in caption


def test_a_single_trial_has_no_curves_of_its_own(tmp_path: Path, tiny_catalog: Catalog) -> None:
    assert depth_sections(compared_study(tmp_path / "study", tiny_catalog, recipes_of({}))) == []
    assert depth_sections(Study.create(tmp_path / "empty", info_of())) == []


def test_confusion_matrices_are_of_the_best_complete_trial_of_each_depth(study: Study) -> None:
    section = by_title(study)["The best trial of each depth"]
    assert [figure.name for figure in section.figures] == [f"confusion-resnet-{depth}" for depth in (18, 50, 152)]
    # Of each depth, the later trial is better; the stopped one of depth 18 would be the best.
    for figure, number in zip(section.figures, (3, 5, 1), strict=True):
        assert f"trial {number:04d}, best of 2 complete trials: 48 images out of fold, accuracy 0." in figure.caption
        table = study.out_of_fold(number, 0)
        expected = confusion_matrix(table["label"], table["probability_leukemic"])
        counts = [int(cell["count"]) for cell in figure.rows["cells"]]
        assert counts == expected.ravel().tolist()
        assert sum(cell["share"] for cell in figure.rows["cells"]) == pytest.approx(2)
        assert figure.spec(300)["title"] == figure.name.removeprefix("confusion-").replace("resnet", "ResNet")
    assert "called leukemic from a probability of 0.5" in section.text
    assert "Not enough trials" not in section.text


def test_a_depth_without_a_complete_trial_is_named(tmp_path: Path, tiny_catalog: Catalog) -> None:
    recipes = recipes_of(
        {"model.depth": 18}, {"model.depth": 50}, {"model.depth": 152}, {"model.depth": 152, "augment.blur": 0}
    )
    ends = {1: ("stopped", 1), 2: ("stopped", 1), 3: ("stopped", 1)}
    study = compared_study(tmp_path / "study", tiny_catalog, recipes, ends=ends)
    section = by_title(study)["The best trial of each depth"]
    assert [figure.name for figure in section.figures] == ["confusion-resnet-18"]
    assert "the only complete trial: 48 images" in section.figures[0].caption
    assert section.text.endswith(
        "Not enough trials: ResNet-50 (none of 1 trial is complete), ResNet-152 (none of 2 trials is complete)."
    )


def test_the_report_has_the_sections_in_their_order(study: Study) -> None:
    page = write_study_report(study, Best.of(study)).read_text()
    titles = ("Parameters", "Accuracy by depth", "The best trial of each depth", "One setting against another")
    places = [page.index(f"<h3>{title}</h3>") for title in titles]
    assert places == sorted(places)
    for name in ("accuracy-by-depth", "confusion-resnet-18", "confusion-resnet-152"):
        assert page.count(f'id="figure-{name}"') == 1
