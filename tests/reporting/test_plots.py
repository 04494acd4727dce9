"""The content of plots."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from leukemia.reporting import calibration_plots, canvas, ladder_plot, model_plots, search_plots
from leukemia.reporting.calibration_plots import plot_calibration, plot_scaling
from leukemia.reporting.ladder_plot import FATES, plot_ladder
from leukemia.reporting.model_plots import (
    plot_augmented,
    plot_confusion,
    plot_curves,
    plot_precision_recall,
    plot_roc,
)
from leukemia.reporting.search_plots import plot_front, plot_importances, plot_search, plot_spending


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    for module in (calibration_plots, ladder_plot, model_plots, search_plots):
        monkeypatch.setattr(
            module, "save_figure", lambda figure, path: (figures.append(figure), canvas.save_figure(figure, path))
        )
    return figures


def predictions(num_images: int = 200):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, num_images)
    return labels, np.clip(0.5 + 0.2 * (2 * labels - 1) + 0.25 * generator.normal(size=num_images), 0, 1)


def epochs(num_folds: int = 2, num_epochs: int = 4) -> pd.DataFrame:
    rows = [(fold, 0, epoch) for fold in range(num_folds) for epoch in range(1, num_epochs + 1)]
    table = pd.DataFrame(rows, columns=["fold", "seed", "epoch"])
    for column in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
        table[column] = 0.5 / table["epoch"] + 0.1 * table["fold"]
    return table


def trials() -> pd.DataFrame:
    scores = [0.7, 0.6, math.nan, 0.8, 0.75, 0.9]
    states = ["complete", "stopped", "failed", "complete", "complete", "stopped"]
    return pd.DataFrame({"trial": range(6), "state": states, "score": scores})


def spending() -> pd.DataFrame:
    """Seconds, some hours each, of a complete trial with repeats, a stopped and a failed trial."""
    table = pd.DataFrame(0.0, index=range(3), columns=[*search_plots.SPENDING, "left_out"]).assign(trial=range(3))
    table.loc[0, ["useful", "repeats"]] = 3600.0, 7200.0
    table.loc[1, ["stopped", "left_out"]] = 1800.0, 5400.0
    table.loc[2, "failed"] = 900.0
    return table


NAMES = {kind: f"the {kind}" for kind in search_plots.SPENDING}


def complete() -> pd.DataFrame:
    table = pd.DataFrame({"trial": ["0000", "0001", "0002"], "score": [0.8, 0.9, 0.7], "seconds": [60.0, 90.0, 80.0]})
    return table.assign(front=[True, True, False], winner=[True, False, False])


def curves() -> pd.DataFrame:
    """Trial 0 has gone on, trial 1 waits at 45 %, trial 2 ended at 15 %."""
    rows = [
        (trial, share)
        for trial, last in enumerate((1.0, 0.45, 0.15))
        for share in (0.05, 0.15, 0.45, 1.0)
        if share <= last
    ]
    table = pd.DataFrame(rows, columns=["trial", "share"])
    fates = ["went on to other folds", "waits", "ended in fold 0"]
    return table.assign(accuracy=0.5 + table["share"] / 4, fate=table["trial"].map(dict(enumerate(fates))))


def texts(figure: Figure) -> set[str]:
    return {each.get_text() for axes in figure.axes for each in axes.texts}


def test_every_plot_is_a_valid_png_of_readable_size(tmp_path):
    labels, probabilities = predictions()
    plot_confusion([[90, 10], [20, 80]], tmp_path / "confusion.png")
    plot_roc(labels, probabilities, tmp_path / "roc.png")
    plot_calibration(labels, probabilities, tmp_path / "calibration.png")
    plot_scaling(labels, probabilities, probabilities**2, tmp_path / "scaling.png")
    plot_precision_recall(labels, probabilities, tmp_path / "precision_recall.png")
    plot_curves(epochs(), tmp_path / "curves.png")
    plot_search(trials(), tmp_path / "search.png", majority_rate=0.68)
    plot_augmented(np.zeros((2, 3, 32, 32, 3), dtype=np.uint8), tmp_path / "augmented.png")
    plot_spending(spending(), tmp_path / "device_time.png", names=NAMES)
    plot_importances({"a": 0.9, "b": 0.1, "c": 0.0, "d": 0.0}, tmp_path / "importances.png")
    plot_front(complete(), tmp_path / "front.png", objective="tta_accuracy")
    plot_ladder(curves(), tmp_path / "ladder.png", rungs={"15 %: 2 of 3 went on": 0.15, "the end: 1 of 1 went on": 1.0})
    assert len(list(tmp_path.iterdir())) == 12, "temporary files are left behind"
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"
            assert min(image.size) > 300


def test_equal_plots_give_equal_files(tmp_path):
    for name in ("a.png", "b.png"):
        plot_confusion([[9, 1], [2, 8]], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_confusion_shows_counts_and_shares_of_the_true_class(tmp_path, drawn):
    plot_confusion(np.array([[1500, 500], [0, 8]]), tmp_path / "x.png")
    assert texts(drawn[0]) == {
        "1,500",
        "500",
        "0",
        "8",
        "75.0 % of row",
        "25.0 % of row",
        "0.0 % of row",
        "100.0 % of row",
    }
    axes = drawn[0].axes[0]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["normal (hem)", "leukemic (all)"]
    assert axes.get_xlabel() == "predicted class"


def test_confusion_of_an_absent_class_does_not_divide_by_zero(tmp_path, drawn):
    plot_confusion([[0, 0], [1, 3]], tmp_path / "x.png")
    assert "0.0 % of row" in texts(drawn[0])


def test_confusion_rejects_another_shape(tmp_path):
    with pytest.raises(ValueError, match=r"matrix: expected shape \(2, 2\), got \(3, 3\)"):
        plot_confusion(np.eye(3), tmp_path / "x.png")


def test_roc_marks_the_threshold(tmp_path, drawn):
    plot_roc([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], tmp_path / "x.png")
    lines = {line.get_label(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines}
    assert lines["threshold 0.5"] == [[0.5, 1.0]]
    assert "AUROC 1.000" in lines


def test_roc_of_one_class_is_undefined(tmp_path, drawn):
    plot_roc([1, 1], [0.1, 0.6], tmp_path / "x.png")
    assert texts(drawn[0]) == {"undefined: only one class"}


def test_calibration_is_that_of_the_probability_of_leukemic(tmp_path, drawn):
    plot_calibration([0, 0, 1, 0], [0.03, 0.03, 0.03, 0.9], tmp_path / "x.png")
    upper, lower = drawn[0].axes
    counts = [bar.get_height() for bar in lower.patches]
    assert (counts[0], counts[13], sum(counts)) == (3, 1, 4)
    assert upper.patches[0].get_height() == pytest.approx(1 / 3)
    assert upper.get_ylabel() == "share of leukemic images"
    # 3 images at 1/3 - 0.03, one at 0.9: both are wrong.
    error = (3 * (1 / 3 - 0.03) + 0.9) / 4
    assert upper.get_title("left") == f"calibration error of P(leukemic) {error:.3f} (15 bins)"


def test_calibration_is_shown_before_and_after_scaling(tmp_path, drawn):
    labels, probabilities = predictions()
    plot_scaling(labels, np.round(probabilities), probabilities, tmp_path / "x.png")
    upper, lower = drawn[0].axes
    (_, before, after) = [line.get_label() for line in upper.lines]
    errors = [
        float(re.fullmatch(rf"{name} scaling, error (0\.\d+)", text)[1])
        for name, text in (("before", before), ("after", after))
    ]
    assert errors[0] > errors[1]
    for patch in lower.patches:
        assert patch.get_data().values.sum() == len(labels)


def test_precision_and_recall_mark_threshold_and_chance(tmp_path, drawn):
    plot_precision_recall([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], tmp_path / "x.png", 0.5)
    lines = {line.get_label(): line.get_xydata().tolist() for line in drawn[0].axes[0].lines}
    assert lines["threshold 0.5"] == [[1.0, 2 / 3]]
    assert {"chance 0.500", "average precision 0.833"} <= lines.keys()
    plot_precision_recall([0, 0], [0.1, 0.6], tmp_path / "y.png")
    assert texts(drawn[1]) == {"undefined: no leukemic images"}


def test_curves_have_a_thin_line_per_fold_and_a_thick_mean(tmp_path, drawn):
    plot_curves(epochs(num_folds=3), tmp_path / "x.png")
    loss, accuracy, rate = drawn[0].axes
    for axes, num_series in ((loss, 2), (accuracy, 2), (rate, 1)):
        assert len(axes.lines) == num_series * (3 + 1)
    assert loss.get_yscale() == "linear"
    thick = [line for line in rate.lines if line.get_linewidth() > 2]
    np.testing.assert_allclose(thick[0].get_ydata(), [0.6, 0.35, 0.5 / 3 + 0.1, 0.225])


def test_a_diverged_loss_gets_a_logarithmic_axis(tmp_path, drawn):
    table = epochs()
    table.loc[7, "train_loss"] = 1e6
    table.loc[6, "validation_loss"] = math.inf
    plot_curves(table, tmp_path / "x.png")
    assert drawn[0].axes[0].get_yscale() == "log"
    assert "log" in drawn[0].axes[0].get_ylabel()


def test_curves_of_one_epoch_without_validation_are_still_visible(tmp_path, drawn):
    table = epochs(num_epochs=1).assign(validation_loss=math.nan, validation_accuracy=math.nan)
    plot_curves(table, tmp_path / "x.png")
    assert any(line.get_marker() == "o" for line in drawn[0].axes[0].lines)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda path: plot_curves(epochs().drop(columns="fold"), path),
            "epochs: expected the columns .*; fold missing",
        ),
        (lambda path: plot_curves(epochs().head(0), path), "epochs: expected at least one row, got none"),
        (lambda path: plot_search(trials().drop(columns="score"), path), "trials: expected .*; score missing"),
        (lambda path: plot_search(trials().assign(state="PRUNED"), path), "a state of complete, .*, got PRUNED"),
        (
            lambda path: plot_spending(spending().drop(columns="redone"), path, names=NAMES),
            "expected .*; redone missing",
        ),
        (
            lambda path: plot_ladder(curves().drop(columns="fate"), path, rungs={}),
            "expected the columns .*; fate missing",
        ),
        (lambda path: plot_importances({}, path), "importances: expected at least one parameter, got none"),
        (
            lambda path: plot_front(complete().head(0), path, objective=""),
            "trials: expected at least one row, got none",
        ),
        (lambda path: plot_augmented(np.zeros((1, 2, 8, 8, 3)), path), r"images: expected .* uint8, got .* float64"),
        (lambda path: plot_augmented(np.zeros((2, 8, 8, 3), np.uint8), path), r"got \(2, 8, 8, 3\)"),
    ],
)
def test_invalid_tables_are_rejected_and_nothing_is_written(draw, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_search_line_follows_the_best_complete_trial_only(tmp_path, drawn):
    plot_search(trials().sample(frac=1, random_state=0), tmp_path / "x.png", majority_rate=0.68)
    lines = {line.get_label(): line for line in drawn[0].axes[0].lines}
    best = lines["best complete so far"]
    assert best.get_xdata().tolist() == [0, 3, 4, 5]
    assert best.get_ydata().tolist() == [0.7, 0.8, 0.8, 0.8]
    assert lines["majority 0.680"].get_ydata() == [0.68, 0.68]


def test_search_shows_every_trial_with_the_marker_of_its_state(tmp_path, drawn):
    plot_search(trials(), tmp_path / "x.png")
    points = {each.get_label(): len(each.get_offsets()) for each in drawn[0].axes[0].collections}
    shown = {state: points[state] for state in search_plots.STATES if state in points}
    assert shown == {"complete": 3, "stopped": 2, "failed": 0}
    assert sum(points.values()) == len(trials()), "the failed trial is drawn on the axis"
    plot_search(trials().replace("failed", "waiting"), tmp_path / "x.png")
    legend = [text.get_text() for text in drawn[1].legends[0].get_texts()]
    assert legend == ["best complete so far", "complete", "stopped", "waiting"]


def test_search_of_failed_trials_only(tmp_path):
    plot_search(trials().assign(state="failed", score=math.nan), tmp_path / "x.png", majority_rate=0.7)
    assert (tmp_path / "x.png").stat().st_size > 0


def test_augmented_labels_the_original(tmp_path, drawn):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    plot_augmented(images, tmp_path / "x.png")
    axes = drawn[0].axes
    assert [each.get_title() for each in axes] == ["original", "augmented 1", "augmented 2", "", "", ""]
    np.testing.assert_array_equal(axes[4].images[0].get_array(), images[1, 1])


def test_spending_is_stacked_in_the_unit_of_the_highest_bar(tmp_path, drawn):
    plot_spending(spending(), tmp_path / "x.png", names=NAMES)
    (axes,) = drawn[0].axes
    bars = {each.get_label(): [(bar.get_y(), bar.get_height()) for bar in each] for each in axes.containers}
    assert bars == {
        "the useful": [(0, 1), (0, 0), (0, 0)],
        "the repeats": [(1, 2), (0, 0), (0, 0)],
        "the stopped": [(3, 0), (0, 0.5), (0, 0)],
        "the failed": [(3, 0), (0.5, 0), (0, 0.25)],
        "saved (estimate)": [(0.5, 1.5)],
    }
    assert axes.get_ylabel() == "device time (hours)"
    assert axes.get_ylim() == pytest.approx((0, 3.15))


@pytest.mark.parametrize(("seconds", "unit"), [(119, "seconds"), (120, "minutes"), (7199, "minutes"), (7200, "hours")])
def test_time_unit_suits_the_longest_span(seconds, unit):
    assert canvas.time_unit(seconds)[1] == unit


def test_importances_are_ranked_from_the_top(tmp_path, drawn):
    plot_importances({"b": 0.2, "a": 0.2, "c": 0.6}, tmp_path / "x.png")
    (axes,) = drawn[0].axes
    assert [each.get_text() for each in axes.get_yticklabels()] == ["a", "b", "c"]
    assert [round(bar.get_width()) for bar in axes.patches] == [20, 20, 60]
    assert texts(drawn[0]) == {"20 %", "60 %"}


def test_front_is_connected_and_the_winner_is_circled(tmp_path, drawn):
    plot_front(complete().iloc[[1, 2, 0]], tmp_path / "x.png", objective="tta_accuracy")
    (axes,) = drawn[0].axes
    points = {each.get_label(): each.get_offsets().tolist() for each in axes.collections}
    assert points["Pareto front"] == [[60, 0.8], [90, 0.9]]
    assert points["complete trial"] == [[80, 0.7]]
    assert points["winner"] == [[60, 0.8]]
    assert axes.lines[0].get_xydata().tolist() == [[60, 0.8], [90, 0.9]]
    assert texts(drawn[0]) == {"0000", "0001"}
    assert axes.get_xlabel() == "device time of all folds (seconds)"


def test_ladder_shows_each_trial_its_fate_and_the_rungs(tmp_path, drawn):
    plot_ladder(curves(), tmp_path / "x.png", rungs={"15 %: 2 of 3 went on": 0.15, "the end: 1 of 1 went on": 1.0})
    (axes,) = drawn[0].axes
    assert texts(drawn[0]) == {"15 %: 2 of 3 went on", "the end: 1 of 1 went on"}
    lines = [list(line.get_xdata()) for line in axes.lines]
    assert sorted(lines) == [[5, 15], [5, 15, 45], [5, 15, 45, 100], [15, 15], [100, 100]]
    ends = {each.get_label(): each.get_offsets()[0].tolist() for each in axes.collections}
    assert ends == {
        "waits (1)": [45, 0.6125],
        "ended in fold 0 (1)": [15, 0.5375],
        "went on to other folds (1)": [100, 0.75],
    }


def test_fates_differ_without_colours():
    assert len({style.marker for style in FATES.values()}) == len(FATES)
