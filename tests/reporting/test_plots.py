"""The content of plots."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from leukemia.reporting import calibration_plots, canvas, model_plots
from leukemia.reporting.calibration_plots import plot_calibration, plot_scaling
from leukemia.reporting.model_plots import (
    plot_augmented,
    plot_confusion,
    plot_curves,
    plot_precision_recall,
    plot_roc,
)


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved."""
    figures: list[Figure] = []
    for module in (calibration_plots, model_plots):
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
    plot_augmented(np.zeros((2, 3, 32, 32, 3), dtype=np.uint8), tmp_path / "augmented.png")
    assert len(list(tmp_path.iterdir())) == 7, "temporary files are left behind"
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
        (lambda path: plot_augmented(np.zeros((1, 2, 8, 8, 3)), path), r"images: expected .* uint8, got .* float64"),
        (lambda path: plot_augmented(np.zeros((2, 8, 8, 3), np.uint8), path), r"got \(2, 8, 8, 3\)"),
    ],
)
def test_invalid_tables_are_rejected_and_nothing_is_written(draw, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_augmented_labels_the_original(tmp_path, drawn):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    plot_augmented(images, tmp_path / "x.png")
    axes = drawn[0].axes
    assert [each.get_title() for each in axes] == ["original", "augmented 1", "augmented 2", "", "", ""]
    np.testing.assert_array_equal(axes[4].images[0].get_array(), images[1, 1])
