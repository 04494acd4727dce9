"""The content of figures, and their rendering."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from leukemia.reporting import search_figures
from leukemia.reporting.calibration_figures import calibration, scaling
from leukemia.reporting.columns import time_unit
from leukemia.reporting.curve_figures import training_curves
from leukemia.reporting.depth_figure import accuracy_by_depth
from leukemia.reporting.figure import NARROW, PANEL, WIDE, Figure
from leukemia.reporting.ladder_figure import FATES, ladder
from leukemia.reporting.model_figures import confusion, precision_recall, roc
from leukemia.reporting.parameter_figures import MOST_LINES, parallel_coordinates, slices
from leukemia.reporting.parameters import Parameter
from leukemia.reporting.patient_figure import patients_by_probability
from leukemia.reporting.polyline import TOLERANCE, simplified
from leukemia.reporting.search_figures import (
    SPENDING,
    STATES,
    device_time,
    importance,
    score_and_cost,
    score_over_time,
    scores_by_trial,
)
from leukemia.reporting.studies_figure import scores_by_study
from leukemia.scoring.calibration import leukemic_bins
from leukemia.scoring.metrics import Interval, precision_recall_points, roc_points
from leukemia.scoring.patients import Patient, patients_of

SCORES = {0: 0.7, 1: 0.6, 3: 0.8, 4: 0.75, 5: 0.9}
DEPTH = Parameter(key="model.depth", values=dict.fromkeys((0, 1, 3), 18) | dict.fromkeys((2, 4, 5), 152), is_log=False)
RATE = Parameter(key="optimizer.learning_rate", values={0: 1e-4, 1: 1e-3, 3: 1e-2, 4: 1e-3, 5: 1e-2}, is_log=True)
DECAY = Parameter(key="optimizer.weight_decay", values={1: 0.1, 3: 0.2, 5: 0.3}, is_log=False)
OBJECTIVE = "tta_balanced_accuracy"
NAMES = {kind: f"the {kind}" for kind in SPENDING}


def predictions(num_images: int = 200) -> tuple[Any, Any]:
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
    return pd.DataFrame({"trial": range(6), "state": states, "score": scores, "recipe": "ResNet-18"})


def spending() -> pd.DataFrame:
    """Seconds, some hours each, of a complete trial with repeats, a stopped and a failed trial."""
    table = pd.DataFrame(0.0, index=range(3), columns=[*SPENDING, "left_out"]).assign(trial=range(3))
    table.loc[0, ["useful", "repeats"]] = 3600.0, 7200.0
    table.loc[1, ["stopped", "left_out"]] = 1800.0, 5400.0
    table.loc[2, "failed"] = 900.0
    return table


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
    fates = ["went on to other folds", "waits", "ended in fold 1"]
    return table.assign(accuracy=0.5 + table["share"] / 4, fate=table["trial"].map(dict(enumerate(fates))))


def depths() -> pd.DataFrame:
    """Six networks, with and without augmentation; trial 1 has come to its second epoch."""
    rows = [
        (trial, f"ResNet-{18 + trial // 2}", trial % 2 == 0, epoch, 0.5 + trial / 100 + epoch / 50)
        for trial in range(12)
        for epoch in range(1, 3 if trial == 1 else 5)
    ]
    return pd.DataFrame(rows, columns=["trial", "network", "augmented", "epoch", "accuracy"])


def shares() -> pd.DataFrame:
    rows = [("b", 0.2, 0.1, 0.4), ("a", 0.2, 0.1, 0.3), ("c", 0.6, 0.4, 0.8)]
    return pd.DataFrame(rows, columns=["parameter", "share", "low", "high"])


def patients(threshold: float = 0.5) -> tuple[Patient, ...]:
    """20 of each class, of 5 images each."""
    labels, probabilities = np.arange(200) // 5 % 2, np.sort(predictions()[1])
    names = [f"p{row // 5:02d}" for row in range(200)]
    return patients_of(names, labels, probabilities, names, [None] * 200, threshold=threshold)


def all_figures() -> list[Figure]:
    labels, probabilities = predictions()
    bins = leukemic_bins(labels, probabilities)
    parameters = [DEPTH, RATE, DECAY]
    return [
        scores_by_trial(trials(), majority_rate=0.68, score="accuracy"),
        score_over_time(trials().assign(seconds=range(6)), majority_rate=None, score="accuracy"),
        device_time(spending(), names=NAMES),
        importance(shares(), "from 24 trials"),
        score_and_cost(complete(), score="accuracy"),
        parallel_coordinates(parameters, SCORES, score="accuracy"),
        *slices(parameters, SCORES, score="accuracy"),
        ladder(curves(), rungs={"15 %: 2 of 3 went on": 0.15, "the end: 1 of 1 went on": 1.0}),
        accuracy_by_depth(depths(), caption="By depth."),
        scores_by_study(
            [("first", Interval(0.8, 0.7, 0.9)), ("x" * 80, Interval(0.9, math.nan, math.nan))], objective=OBJECTIVE
        ),
        confusion([[90, 10], [20, 80]], "out of fold"),
        confusion([[90, 10], [20, 80]], "out of fold", name="confusion-resnet-18", title="ResNet-18"),
        roc(labels, probabilities, "out of fold"),
        precision_recall(labels, probabilities, "out of fold"),
        *calibration(bins, "out of fold"),
        *scaling(leukemic_bins(labels, np.round(probabilities)), bins, "out of fold"),
        patients_by_probability(patients(), 0.5, "test set"),
        *training_curves(epochs(), "fold"),
    ]


FIGURES = {figure.name: figure for figure in all_figures()}


def encodings(figure: Figure) -> list[dict[str, Any]]:
    """Of each layer."""
    spec = figure.spec(WIDE)
    return [each.get("encoding", {}) for each in spec.get("layer", [spec])]


def title(figure: Figure) -> str:
    found: str = figure.spec(WIDE)["title"]
    return found


def test_names_are_unique() -> None:
    assert len(FIGURES) == len(all_figures())


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_in_its_widths_in_the_colours_of_the_page(name: str) -> None:
    figure = FIGURES[name]
    drawn = figure.svgs()
    assert set(drawn) == ({"wide", "narrow"} if figure.is_wide else {"panel"})
    for width, svg in drawn.items():
        found = re.match(r'<svg [^>]*width="(\d+)" height="(\d+)"', svg)
        assert found, svg[:200]
        assert int(found[1]) == {"wide": WIDE, "narrow": NARROW, "panel": PANEL}[width]
        assert int(found[2]) == figure.height
        # A colour of its own would not follow the scheme.
        assert not re.findall(r'(?:fill|stroke)="(?:#[0-9a-fA-F]+|rgb[^"]*|black|white)"', svg)
        assert "var(--" in svg
        assert "NaN" not in svg


def test_figures_share_no_identifiers_in_a_page() -> None:
    found: list[str] = []
    for figure in FIGURES.values():
        for svg in figure.svgs().values():
            ids = re.findall(r'\bid="([^"]+)"', svg)
            assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(ids)
            found += ids
    assert len(found) == len(set(found))


def test_a_png_has_the_colours_of_the_light_scheme(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        FIGURES["confusion"].write_png(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 2, "temporary files are left behind"
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.size == (2 * PANEL, 2 * FIGURES["confusion"].height)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}
    # The ground, and the highest and the lowest step of the scale.
    assert {(255, 255, 255), (10, 60, 107), (201, 214, 227)} <= colours


def test_text_of_users_cannot_leave_a_specification() -> None:
    evil = "</script><script>alert(1)</script>\x1b\u202e"
    figure = scores_by_trial(trials().assign(recipe=evil), majority_rate=None, score="accuracy")
    assert (
        json.loads(figure.json())["datasets"]["trials"][0]["recipe"] == r"</script><script>alert(1)</script>\x1b\u202e"
    )
    assert "<script" not in figure.svgs()["wide"]


def test_depths_have_colours_and_augmentation_has_dashes() -> None:
    figure = FIGURES["accuracy-by-depth"]
    scales = {channel: encodings(figure)[1][channel]["scale"] for channel in ("color", "strokeDash")}
    assert scales["color"]["domain"] == scales["strokeDash"]["domain"]
    looks = dict(
        zip(
            scales["color"]["domain"],
            zip(scales["color"]["range"], map(tuple, scales["strokeDash"]["range"]), strict=True),
            strict=True,
        )
    )
    assert len(looks) == 6 * 2 == len({*looks.values()}), "each group looks different"
    assert looks["ResNet-18, augmented (1)"][1] != looks["ResNet-18, not augmented (1)"][1]
    assert looks["ResNet-18, augmented (1)"][0] == looks["ResNet-18, not augmented (1)"][0]
    ends = {}
    for row in figure.rows["means"]:
        ends[row["group"]] = max(row["epoch"], ends.get(row["group"], 0))
    assert ends.pop("ResNet-18, not augmented (1)") == 2
    assert set(ends.values()) == {4}


def test_a_study_without_an_interval_is_a_point() -> None:
    rows = FIGURES["scores-by-study-balanced-accuracy"].rows["scores"]
    assert rows[0] == {"study": "first", "value": 0.8, "low": 0.7, "high": 0.9}
    assert rows[1]["low"] is rows[1]["high"] is None


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: training_curves(epochs().drop(columns="fold"), ""), "epochs: expected the columns .*; fold missing"),
        (lambda: training_curves(epochs().head(0), ""), "epochs: expected at least one row, got none"),
        (
            lambda: scores_by_trial(trials().drop(columns="score"), majority_rate=None, score=""),
            "trials: expected .*; score missing",
        ),
        (
            lambda: scores_by_trial(trials().assign(state="PRUNED"), majority_rate=None, score=""),
            "a state of complete, .*, got PRUNED",
        ),
        (lambda: device_time(spending().drop(columns="redone"), names=NAMES), "expected .*; redone missing"),
        (lambda: ladder(curves().drop(columns="fate"), rungs={}), "expected the columns .*; fate missing"),
        (lambda: importance(shares().head(0), ""), "shares: expected at least one row, got none"),
        (lambda: score_and_cost(complete().head(0), score=""), "trials: expected at least one row, got none"),
        (lambda: confusion(np.eye(3), ""), r"matrix: expected shape \(2, 2\), got \(3, 3\)"),
    ],
)
def test_invalid_tables_are_rejected(draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()


def test_the_line_of_the_best_score_follows_complete_trials_only() -> None:
    figure = scores_by_trial(trials().sample(frac=1, random_state=0), majority_rate=0.68, score="accuracy")
    assert [(row["at"], row["score"]) for row in figure.rows["best"]] == [(0, 0.7), (3, 0.8), (4, 0.8), (5, 0.8)]
    assert figure.rows["majority"] == [{"score": 0.68}]
    assert title(figure) == "Accuracy by trial"


def test_every_trial_is_shown_with_the_shape_of_its_state() -> None:
    figure = scores_by_trial(trials(), majority_rate=None, score="accuracy")
    assert [row["trial"] for row in figure.rows["trials"]] == [0, 1, 3, 4, 5]
    assert [row["trial"] for row in figure.rows["unscored"]] == [2], "the failed trial is drawn on the lower edge"
    scale = encodings(figure)[-1]["shape"]["scale"]
    assert scale == {"domain": ["complete", "stopped", "failed"], "range": ["circle", "triangle-down", "cross"]}
    assert len({shape for _, shape in STATES.values()}) == len(STATES)


def test_a_search_of_failed_trials_only_is_drawn() -> None:
    figure = scores_by_trial(trials().assign(state="failed", score=math.nan), majority_rate=0.7, score="accuracy")
    assert figure.rows["best"] == []
    assert figure.svgs()


def test_device_time_is_stacked_in_the_unit_of_the_highest_bar() -> None:
    figure = device_time(spending(), names=NAMES)
    assert {(row["trial"], row["use"]): row["time"] for row in figure.rows["parts"]} == {
        (0, "the useful"): 1,
        (0, "the repeats"): 2,
        (1, "the stopped"): 0.5,
        (1, search_figures.SAVED): 1.5,
        (2, "the failed"): 0.25,
    }
    assert title(figure) == "Device time by trial (hours)"
    domain = encodings(figure)[0]["color"]["scale"]["domain"]
    assert domain == ["the useful", "the repeats", "the stopped", "the failed", search_figures.SAVED]


@pytest.mark.parametrize(("seconds", "unit"), [(119, "seconds"), (120, "minutes"), (7199, "minutes"), (7200, "hours")])
def test_time_unit_suits_the_longest_span(seconds: float, unit: str) -> None:
    assert time_unit(seconds)[1] == unit


def test_importances_are_ranked_from_the_top_with_their_intervals() -> None:
    figure = importance(shares(), "from 24 trials")
    assert encodings(figure)[0]["y"]["sort"] == ["c", "a", "b"]
    assert figure.rows["shares"][0] == {"parameter": "b", "share": 0.2, "low": 0.1, "high": 0.4}
    assert importance(shares().assign(low=math.nan, high=math.nan), "").rows["shares"][0]["low"] is None
    assert figure.caption == "from 24 trials"


def test_the_front_is_connected_and_the_winner_is_circled() -> None:
    figure = score_and_cost(complete().iloc[[1, 2, 0]], score="accuracy")
    rows = [(row["trial"], row["at"], row["role"], row["label"], row["winner"]) for row in figure.rows["trials"]]
    assert rows == [
        ("0000", 60.0, "Pareto front", "0000", True),
        ("0002", 80.0, "complete trial", "", False),
        ("0001", 90.0, "Pareto front", "0001", False),
    ]
    filters = [each.get("transform") for each in figure.spec(WIDE)["layer"]]
    assert filters == [[{"filter": "datum.front"}], None, [{"filter": "datum.winner"}], None]


def test_the_ladder_shows_each_trial_its_fate_and_the_rungs() -> None:
    figure = ladder(curves(), rungs={"15 %: 2 of 3 went on": 0.15, "the end: 1 of 1 went on": 1.0})
    assert figure.rows["rungs"][0] == {"rung": "15 %: 2 of 3 went on", "share": 0.15}
    ends = {row["fate"]: (row["trial"], row["share"], row["accuracy"]) for row in figure.rows["ends"]}
    assert ends == {
        "waits (1)": (1, 0.45, 0.6125),
        "ended in fold 1 (1)": (2, 0.15, 0.5375),
        "went on to other folds (1)": (0, 1.0, 0.75),
    }
    # Those that went on are drawn last.
    assert [row["trial"] for row in figure.rows["curves"]] == [1, 1, 1, 2, 2, 0, 0, 0, 0]
    assert len({style.shape for style in FATES.values()}) == len(FATES)


def test_parallel_coordinates_place_values_on_the_scale_of_their_search() -> None:
    figure = parallel_coordinates([DEPTH, RATE, DECAY], SCORES, score="accuracy")
    places = {(row["trial"], row["row"]): row["at"] for row in figure.rows["lines"]}
    assert places[0, "learning rate"] == 0
    assert places[1, "learning rate"] == pytest.approx(0.5), "on a logarithmic scale"
    assert (places[0, "depth"], places[4, "depth"]) == pytest.approx((0, 1), abs=0.026), "spread a little"
    assert places[0, "weight decay"] is None, "its optimizer lacks the parameter"
    assert (places[1, "accuracy"], places[5, "accuracy"]) == (0, 1)
    assert [row["trial"] for row in figure.rows["lines"]][-1] == 5, "the best trial is drawn last"
    marks = [(row["row"], row["text"]) for row in figure.rows["marks"]]
    assert marks[:4] == [("accuracy", "0.600"), ("accuracy", "0.900"), ("depth", "18"), ("depth", "152")]


def test_parallel_coordinates_keep_the_best_of_many_trials() -> None:
    many = {trial: trial / 1000 for trial in range(MOST_LINES + 5)}
    rate = Parameter(key="augment.rotate", values=many, is_log=False)
    figure = parallel_coordinates([rate], many, score="accuracy")
    assert {row["trial"] for row in figure.rows["lines"]} == set(range(5, MOST_LINES + 5))
    assert "The 5 trials with the lowest scores are left out." in figure.caption


def test_a_slice_has_the_scale_of_its_parameter() -> None:
    depth, rate, decay = slices([DEPTH, RATE, DECAY], SCORES, score="accuracy")
    assert encodings(rate)[0]["x"]["scale"]["type"] == "log"
    assert "type" not in encodings(decay)[0]["x"]["scale"]
    assert encodings(depth)[0]["x"]["sort"] == ["18", "152"]
    assert {row["trial"] for row in decay.rows["trials"]} == {1, 3, 5}
    assert [title(each) for each in (depth, rate, decay)] == ["depth", "learning rate", "weight decay"]


def test_a_confusion_matrix_shows_counts_and_shares_of_the_true_class() -> None:
    rows = confusion(np.array([[1500, 500], [0, 0]]), "").rows["cells"]
    assert [(row["true"], row["predicted"], row["count"], row["text"]) for row in rows] == [
        ("normal", "normal", "1,500", "75.0 % of row"),
        ("normal", "leukemic", "500", "25.0 % of row"),
        ("leukemic", "normal", "0", "0.0 % of row"),
        ("leukemic", "leukemic", "0", "0.0 % of row"),
    ]


def test_roc_marks_the_threshold() -> None:
    figure = roc([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], "")
    assert figure.rows["threshold"] == [{"x": 0.5, "y": 1.0}]
    assert title(figure) == "ROC curve, AUROC 1.000"
    other = roc([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9], "", threshold=0.65)
    assert other.rows["threshold"] == [{"x": 0.0, "y": 1.0}]
    assert "the point is the threshold 0.65" in other.caption
    undefined = roc([1, 1], [0.1, 0.6], "")
    assert title(undefined) == "ROC curve: undefined, only one class"
    assert undefined.svgs()


def test_precision_and_recall_mark_threshold_and_chance() -> None:
    figure = precision_recall([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], "")
    assert figure.rows["threshold"] == [{"x": 1.0, "y": 2 / 3}]
    assert [row["y"] for row in figure.rows["chance"]] == [0.5, 0.5]
    # Between two thresholds, precision is that of the next one.
    curve = [(row["x"], round(row["y"], 3)) for row in figure.rows["curve"]]
    assert curve == [(0, 1), (0.5, 1), (0.5, 0.5), (0.5, 0.667), (1, 0.667), (1, 0.5)]
    assert title(figure) == "Precision and recall, average precision 0.833"
    undefined = precision_recall([0, 0], [0.1, 0.6], "")
    assert title(undefined) == "Precision and recall: undefined, no leukemic images"
    assert undefined.svgs()


@pytest.mark.parametrize("points", [roc_points, precision_recall_points])
def test_a_curve_of_many_images_has_few_points_all_within_the_tolerance(points: Any) -> None:
    x, y = points(*predictions(5000))
    kept = simplified(x, y)
    assert len(kept) < len(x) / 5
    assert (kept[0], kept[-1]) == (0, len(x) - 1)
    whole, few = np.column_stack([x, y]), np.column_stack([x, y])[kept]
    starts, along = few[:-1], np.diff(few, axis=0)
    away = whole[:, None] - starts
    shares = np.clip((away * along).sum(axis=2) / np.maximum((along**2).sum(axis=1), 1e-30), 0, 1)
    distances = np.linalg.norm(away - shares[..., None] * along, axis=2).min(axis=1)
    assert distances.max() <= TOLERANCE + 1e-12


def test_calibration_counts_every_image_and_shows_the_error() -> None:
    labels, probabilities = predictions()
    reliability, counts = calibration(leukemic_bins(labels, probabilities), "")
    assert sum(row["images"] for row in counts.rows["bins"]) == len(labels)
    assert re.fullmatch(r"Calibration error of P\(leukemic\) 0\.\d{3}", title(reliability))


def test_calibration_is_that_of_the_probability_of_leukemic() -> None:
    bins = leukemic_bins([0, 0, 1, 0], [0.03, 0.03, 0.03, 0.9])
    reliability, _ = calibration(bins, "")
    assert [(row["images"], round(row["share"], 6)) for row in reliability.rows["bins"]] == [(3, 0.333333), (1, 0.0)]
    # 3 images at 1/3 - 0.03, one at 0.9: both are wrong.
    assert title(reliability) == f"Calibration error of P(leukemic) {(3 * (1 / 3 - 0.03) + 0.9) / 4:.3f}"


def test_calibration_is_shown_before_and_after_scaling() -> None:
    labels, probabilities = predictions()
    before, after = leukemic_bins(labels, np.round(probabilities)), leukemic_bins(labels, probabilities)
    lines, counts = scaling(before, after, "")
    errors = re.fullmatch(r"Error of P\(leukemic\) (0\.\d+) before, (0\.\d+) after", title(lines))
    assert errors
    assert float(errors[1]) > float(errors[2])
    for side in ("before scaling", "after scaling"):
        assert sum(row["images"] for row in counts.rows["steps"] if row["side"] == side) == len(labels)
    assert len([row for row in lines.rows["bins"] if row["side"] == "before scaling"]) == 2, "no empty bins"


def test_patients_are_in_the_row_of_their_class_and_never_on_each_other() -> None:
    figure = patients_by_probability(patients(0.4), 0.4, "test set")
    rows = figure.rows["patients"]
    assert len(rows) == 40
    wrong = [row for row in rows if (row["probability"] >= 0.4) != (row["class"] == "leukemic")]
    assert {row["result"] for row in wrong} == {"wrong"}
    assert 0 < len(wrong) == sum(row["result"] == "wrong" for row in rows) < 40
    assert len({(row["class"], round(row["probability"], 3), row["offset"]) for row in rows}) == 40
    assert all(-1 <= row["offset"] <= 1 for row in rows)
    assert figure.rows["threshold"] == [{"at": 0.4}]
    assert len({*(row["patient"] for row in rows)}) == 40


def test_the_curves_of_one_run_without_validation_have_no_legend_of_it() -> None:
    table = epochs(num_folds=1).assign(validation_loss=math.nan, validation_accuracy=math.nan)
    loss = training_curves(table, "fold")[0]
    assert loss.caption == "Loss over epochs."
    assert loss.spec(PANEL)["layer"][1]["encoding"]["color"]["scale"]["domain"] == ["training"]


def test_curves_have_a_line_per_fold_and_their_mean() -> None:
    loss, accuracy, rate = training_curves(epochs(num_folds=3), "fold")
    for figure, num_series in ((loss, 2), (accuracy, 2), (rate, 1)):
        runs = {(row["side"], row["fold"], row["seed"]) for row in figure.rows["lines"]}
        assert len(runs) == 3 * num_series
    np.testing.assert_allclose([row["value"] for row in rate.rows["means"]], [0.6, 0.35, 0.5 / 3 + 0.1, 0.225])
    assert title(loss) == "Loss (cross-entropy, nats)"


def test_a_diverged_loss_gets_a_logarithmic_axis() -> None:
    table = epochs()
    table.loc[7, "train_loss"] = 1e6
    table.loc[6, "validation_loss"] = math.inf
    loss = training_curves(table, "fold")[0]
    assert encodings(loss)[0]["y"]["scale"] == {"type": "log"}
    assert "log scale" in title(loss)
    assert loss.svgs()


def test_curves_of_one_epoch_without_validation_are_still_visible() -> None:
    table = epochs(num_epochs=1).assign(validation_loss=math.nan, validation_accuracy=math.nan)
    loss = training_curves(table, "fold")[0]
    assert loss.spec(PANEL)["layer"][1]["mark"]["point"]["opacity"] == 1
