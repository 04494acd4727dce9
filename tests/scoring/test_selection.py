"""Selection-bias corrections: small cases by hand, plain loops as reference, and simulations of pure luck."""

import math
import re

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from leukemia.scoring.bootstrap import Interval, Tally
from leukemia.scoring.metrics import point_scores, scores
from leukemia.scoring.selection import CORRECTED, Candidates, Correction, corrected

NAN = math.nan


def candidates_of(labels, trials, folds, groups=None) -> Candidates:
    """Candidates from trials (n,) of one seed or (seeds, n); by default each image is its own group."""
    return Candidates(
        labels=np.asarray(labels),
        groups=list(range(len(labels))) if groups is None else list(groups),
        folds=np.asarray(folds),
        probabilities=[np.atleast_2d(np.asarray(trial, dtype=float)) for trial in trials],
    )


def right_on(labels, correct):
    """Probabilities 0 or 1 that are correct where ``correct`` is true."""
    return np.where(np.asarray(correct, dtype=bool), labels, 1 - np.asarray(labels)).astype(float)


def simulated(num_trials: int = 6, num_images: int = 240, num_groups: int = 30, seed: int = 0, num_seeds: int = 1):
    """Candidates with groups inside folds; probabilities are rounded, to have ties."""
    generator = np.random.default_rng(seed)
    groups = np.arange(num_images) % num_groups
    labels = (generator.random(num_images) < 0.6).astype(int)
    logits = 0.5 + 0.2 * (2 * labels - 1) + 0.25 * generator.normal(size=(num_trials, num_seeds, num_images))
    return candidates_of(labels, np.round(np.clip(logits, 0, 1), 2), groups % 5, groups)


def test_leave_fold_out_by_hand():
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
    folds = np.repeat([0, 1, 2], 4)
    # Correct out of 4 in folds 0, 1, 2: trial 0: 4, 2, 3; trial 1: 1, 4, 3; trial 2: 2, 3, 3.
    right = [
        [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0],
        [1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0],
    ]
    found = corrected(candidates_of(labels, [right_on(labels, each) for each in right], folds), "accuracy")
    assert found.winner == 0
    assert found.raw.value == pytest.approx(9 / 12)
    # Best without fold 0: trial 1 (7 of 8), which has 1 of 4 there; without fold 1: trial 0 (7), 2 of 4; without
    # fold 2: trial 0 (6), 3 of 4.
    assert found.leave_fold_out.value == pytest.approx((1 + 2 + 3) / 12)


def test_leave_fold_out_scored_on_some_folds_by_hand():
    """The example above: every fold takes part in the choices, and the scored ones alone in the score."""
    labels, folds = np.arange(12) % 2, np.repeat([0, 1, 2], 4)
    right = [
        [1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0],
        [1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0],
    ]
    candidates = candidates_of(labels, [right_on(labels, each) for each in right], folds)
    for scored_folds, own, stand_ins in (([1, 2], 2 + 3, 2 + 3), ([0, 2], 4 + 3, 1 + 3), ([0], 4, 1)):
        found = corrected(candidates, "accuracy", scored_folds=scored_folds)
        num_images = 4 * len(scored_folds)
        assert (found.winner, found.raw.value) == (0, pytest.approx(9 / 12))
        assert found.scored.value == pytest.approx(own / num_images)
        assert found.leave_fold_out.value == pytest.approx(stand_ins / num_images)
    assert corrected(candidates, "accuracy", scored_folds=[0, 1, 2]) == corrected(candidates, "accuracy")


def test_the_only_complete_trial_of_those_that_ran_fold_0_is_scored_on_the_others():
    labels, folds = np.arange(8) % 2, np.repeat([0, 1], 4)
    only = candidates_of(labels, [right_on(labels, [1, 1, 1, 1, 1, 0, 0, 1])], folds)
    found = corrected(only, "accuracy", scored_folds=[1])
    assert found.raw.value == 0.75
    assert found.scored == found.bootstrap == found.leave_fold_out == found.headline
    assert found.headline.value == 0.5


def test_leave_fold_out_with_unequal_folds_averages_losses_per_fold():
    labels = np.array([0, 1, 0, 1, 0, 1])
    folds = np.array([0, 0, 1, 1, 1, 1])
    right = [[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0]]
    found = corrected(candidates_of(labels, [right_on(labels, each) for each in right], folds), "accuracy")
    # Means over folds 5/8 and 3/8. Without fold 0 trial 1 is best and loses 1 there, without fold 1 trial 0 is.
    assert found.winner == 0
    assert found.raw.value == pytest.approx(1 / 2)
    assert found.leave_fold_out.value == pytest.approx(1 / 2 - (1 + 0) / 2)


@pytest.mark.parametrize("scored_folds", [None, [1, 2, 3, 4], [2]])
def test_bootstrap_equals_a_plain_loop_over_resampled_groups(scored_folds):
    candidates = simulated(num_trials=3, num_seeds=2)
    labels, groups, folds = candidates.labels, np.array(candidates.groups), candidates.folds
    draws = np.random.default_rng(4).integers(30, size=(10, 30))
    for metric, score in {
        "accuracy": lambda y, p: np.mean(y == (p >= 0.5)),
        "weighted_f1": lambda y, p: f1_score(y, p >= 0.5, average="weighted"),
        "auroc": roc_auc_score,
    }.items():
        outside = []
        for draw in draws:
            rows = np.concatenate([np.flatnonzero(groups == group) for group in draw])
            in_folds = [rows[folds[rows] == fold] for fold in np.unique(folds[rows])]
            means = [
                np.mean([score(labels[part], each[part]) for part in in_folds for each in trial])
                for trial in candidates.probabilities
            ]
            left_out = ~np.isin(groups, draw) & np.isin(folds, range(5) if scored_folds is None else scored_folds)
            best = candidates.probabilities[int(np.argmax(means))]
            outside.append(np.mean([score(labels[left_out], each[left_out]) for each in best]))
        found = corrected(candidates, metric, scored_folds=scored_folds, seed=4, num_resamples=10).bootstrap
        low, high = np.quantile(outside, [0.025, 0.975])
        assert (found.value, found.low, found.high) == pytest.approx((np.mean(outside), low, high), abs=1e-12), metric


@pytest.mark.parametrize("metric", CORRECTED)
def test_raw_is_the_winners_own_score_with_its_interval(metric):
    candidates = simulated()
    found = corrected(candidates, metric, seed=2, num_resamples=200)
    fold_means = [
        np.mean([point_scores(candidates.labels[rows], trial[0][rows])[metric] for rows in folds_of(candidates)])
        for trial in candidates.probabilities
    ]
    assert found.winner == np.argmax(fold_means)
    own = candidates.probabilities[found.winner][0]
    assert found.raw == scores(candidates.labels, own, candidates.groups, seed=2, num_resamples=200)[metric]


def folds_of(candidates):
    return [candidates.folds == fold for fold in np.unique(candidates.folds)]


@pytest.mark.parametrize("metric", CORRECTED)
@pytest.mark.parametrize("seed", range(3))
def test_headline_is_the_lower_correction_and_never_above_raw(metric, seed):
    found = corrected(simulated(seed=seed), metric, num_resamples=100)
    assert found.leave_fold_out.value <= found.raw.value
    assert found.headline.value == min(found.raw.value, found.bootstrap.value, found.leave_fold_out.value)
    assert all(each.low <= each.value <= each.high for each in (found.raw, found.bootstrap, found.leave_fold_out))


def test_headline_ignores_undefined_corrections():
    low, high, undefined = Interval(0.7, 0.6, 0.8), Interval(0.8, 0.7, 0.9), Interval(NAN, NAN, NAN)
    both = {"winner": 0, "raw": Interval(0.9, 0.8, 1.0), "scored": high}
    assert Correction(**both, bootstrap=undefined, leave_fold_out=low).headline == low
    assert Correction(**both, bootstrap=low, leave_fold_out=undefined).headline == low
    assert Correction(**both, bootstrap=Interval(0.9, 0.8, 1.0), leave_fold_out=undefined).headline == high
    assert math.isnan(Correction(**both, bootstrap=undefined, leave_fold_out=undefined).headline.value)


@pytest.mark.parametrize("metric", CORRECTED)
def test_a_single_trial_is_not_corrected(metric):
    found = corrected(simulated(num_trials=1, num_seeds=3), metric, num_resamples=50)
    assert found.raw == found.bootstrap == found.leave_fold_out == found.headline
    assert found.raw.low < found.raw.value < found.raw.high


def test_duplicates_of_a_trial_change_nothing():
    candidates = simulated()
    trials = list(candidates.probabilities)
    repeated = candidates_of(candidates.labels, [*trials, *trials], candidates.folds, candidates.groups)
    assert corrected(repeated, "accuracy", num_resamples=50) == corrected(candidates, "accuracy", num_resamples=50)
    alone = candidates_of(candidates.labels, [trials[2]] * 3, candidates.folds, candidates.groups)
    found = corrected(alone, "auroc", num_resamples=50)
    assert found.winner == 0
    assert found.raw == found.bootstrap == found.leave_fold_out


def test_the_earliest_of_ties_wins():
    labels, folds = np.array([0, 1, 0, 1]), [0, 0, 1, 1]
    trials = [right_on(labels, each) for each in ([1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1])]
    assert corrected(candidates_of(labels, trials, folds), "accuracy").winner == 1


def test_the_order_of_the_images_does_not_matter():
    candidates, generator = simulated(), np.random.default_rng(1)
    # Groups are numbered by appearance: this order draws the same groups, any other order draws different ones.
    same_draws = np.concatenate([np.arange(30), 30 + generator.permutation(210)])
    for order, tolerance in ((same_draws, 1e-12), (generator.permutation(240), 0.01)):
        shuffled = candidates_of(
            candidates.labels[order],
            [trial[:, order] for trial in candidates.probabilities],
            candidates.folds[order],
            np.array(candidates.groups)[order],
        )
        for metric in CORRECTED:
            a, b = (corrected(each, metric, num_resamples=300) for each in (candidates, shuffled))
            assert a.winner == b.winner
            assert a.raw.value == pytest.approx(b.raw.value, abs=1e-12)
            assert a.leave_fold_out.value == pytest.approx(b.leave_fold_out.value, abs=1e-12)
            assert a.bootstrap.value == pytest.approx(b.bootstrap.value, abs=tolerance)


def test_images_of_a_group_stay_together():
    generator = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 50)
    labels, folds = np.arange(1000) % 2, groups % 5
    # Each trial is right or wrong on whole groups: only groups that were not drawn show how well it generalizes.
    trials = [right_on(labels, (generator.random(20) < 0.7)[groups]) for _ in range(30)]
    grouped = corrected(candidates_of(labels, trials, folds, groups), "accuracy", num_resamples=300)
    single = corrected(candidates_of(labels, trials, folds), "accuracy", num_resamples=300)
    assert grouped.raw.value == single.raw.value > 0.8
    assert grouped.bootstrap.value < 0.75 < single.raw.value - 0.01 < single.bootstrap.value
    assert grouped.raw.high - grouped.raw.low > 3 * (single.raw.high - single.raw.low)


def test_the_score_of_a_trial_is_the_mean_over_seeds():
    labels, folds = np.array([0, 1, 0, 1]), [0, 0, 1, 1]
    lucky = [right_on(labels, [1, 1, 1, 1]), right_on(labels, [0, 0, 0, 1])]
    steady = right_on(labels, [1, 0, 1, 1])
    found = corrected(candidates_of(labels, [lucky, steady], folds), "accuracy")
    # 5 of 8 against 3 of 4.
    assert (found.winner, found.raw.value) == (1, 0.75)
    # Without fold 1 the lucky and the steady trial tie at 1/2, and the earlier one scores 3/4 there against 1.
    assert found.leave_fold_out.value == pytest.approx(0.75 - (0 + 0.25) / 2)


def test_a_winner_selected_by_another_rule_has_its_own_raw_score():
    candidates = simulated()
    best = corrected(candidates, "accuracy", num_resamples=50)
    other = (best.winner + 1) % 6
    found = corrected(candidates, "accuracy", winner=other, num_resamples=50)
    assert found.winner == other
    assert found.raw.value == point_scores(candidates.labels, candidates.probabilities[other][0])["accuracy"]
    assert found.bootstrap == best.bootstrap
    assert found.headline.value <= found.raw.value


def test_a_single_group_has_no_intervals_and_no_out_of_bag_score():
    labels, folds = np.array([0, 1, 0, 1]), [0, 0, 1, 1]
    trials = [right_on(labels, each) for each in ([1, 1, 1, 0], [0, 1, 0, 1])]
    found = corrected(candidates_of(labels, trials, folds, ["a"] * 4), "accuracy", num_resamples=20)
    assert found.raw.to_dict() == {"value": 0.75, "low": None, "high": None}
    assert found.bootstrap.to_dict() == {"value": None, "low": None, "high": None}
    assert found.headline == found.leave_fold_out
    assert math.isnan(found.headline.low)


def test_a_single_fold_has_no_leave_fold_out_correction():
    candidates = simulated()
    single = candidates_of(candidates.labels, candidates.probabilities, [0] * 240, candidates.groups)
    found = corrected(single, "accuracy", num_resamples=50)
    assert math.isnan(found.leave_fold_out.value)
    assert found.headline == found.bootstrap


def test_folds_and_resamples_without_a_class_are_skipped():
    labels, folds = np.array([0, 1, 0, 1, 1, 1]), [0, 0, 1, 1, 2, 2]
    trials = [[0.1, 0.9, 0.6, 0.4, 0.2, 0.3], [0.7, 0.6, 0.2, 0.8, 0.9, 0.9], [0.1, 0.8, 0.3, 0.2, 0.9, 0.9]]
    for metric in ("balanced_accuracy", "auroc"):
        found = corrected(candidates_of(labels, trials, folds), metric, num_resamples=300)
        # Fold 2 has one class. In folds 0 and 1 the trials score 1, 0 and 1/2, 1 (for AUROC 0, 1) and 1, 1/2 (1, 0).
        assert math.isfinite(found.headline.value)
        assert all(0 <= each.low <= each.high <= 1 for each in (found.raw, found.bootstrap, found.leave_fold_out))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auroc"])
def test_an_absent_class_makes_all_scores_undefined(metric):
    labels, folds = np.ones(4, dtype=int), [0, 0, 1, 1]
    found = corrected(candidates_of(labels, [[0.9, 0.8, 0.2, 0.7], [0.1] * 4], folds), metric, num_resamples=20)
    for each in (found.raw, found.bootstrap, found.leave_fold_out, found.headline):
        assert each.to_dict() == {"value": None, "low": None, "high": None}


def test_intervals_are_reproducible_by_seed():
    found = [corrected(simulated(), "accuracy", seed=seed, num_resamples=50) for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


def test_memory_chunks_do_not_change_the_result(monkeypatch):
    whole = corrected(simulated(), "auroc", num_resamples=60)
    monkeypatch.setattr("leukemia.scoring.bootstrap._CHUNK_CELLS", 240 * 7)
    assert corrected(simulated(), "auroc", num_resamples=60) == whole


def test_every_trial_is_scored_on_all_resamples_together(monkeypatch):
    """With two hundred trials, one resample at a time would take minutes."""
    calls, weighted = [], Tally.weighted
    monkeypatch.setattr(Tally, "weighted", lambda *given: calls.append(len(given[1])) or weighted(*given))
    counts = []
    for num_resamples in (10, 1000):
        calls.clear()
        corrected(simulated(), "accuracy", num_resamples=num_resamples)
        counts.append(len(calls))
    assert 0 < counts[1] < 2 * counts[0]


@pytest.mark.parametrize("recipe_sd", [0.0, 0.02])
def test_the_headline_has_little_selection_bias_left_and_the_raw_score_much(recipe_sd):
    """Twenty equal recipes with 85 % expected accuracy and luck per recipe and fold, as in benchmarks/racing."""
    left, truth = [], 0.756 / 0.889
    folds = np.repeat(np.arange(5), 200)
    for study in range(60):
        generator = np.random.default_rng(study)
        difficulty = generator.beta(0.756, 0.133, size=1000)
        luck = np.clip(recipe_sd * generator.normal(size=(20, 5)), -0.1, 0.1)[:, folds]
        turned = np.where(luck > 0, (1 - difficulty) * luck / (1 - truth), difficulty * luck / truth)
        correct = generator.random((20, 1000)) < difficulty + turned
        labels = np.arange(1000) % 2
        trials = [right_on(labels, each) for each in correct]
        found = corrected(candidates_of(labels, trials, folds), "accuracy", num_resamples=50)
        # The mean over all recipes is unbiased and shares the study's easy and hard images.
        left.append([100 * (each.value - correct.mean()) for each in (found.raw, found.bootstrap, found.headline)])
    raw, bootstrap, headline = np.mean(left, axis=0)
    assert raw > 1.2
    assert -1.0 < headline < 0.5
    # Luck of whole folds is both in and out of bag: only leaving the fold out removes it.
    assert bootstrap > 0.8 if recipe_sd else abs(bootstrap) < 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": []}, r"probabilities: expected an array \(seeds, n\) for each trial, got no trial"),
        (
            {"probabilities": [np.full((1, 2), 0.5), np.array([0.1, 0.9])]},
            r"trial 1: expected probabilities \(seeds, 2\), got shape \(2,\)",
        ),
        ({"probabilities": [np.empty((0, 2))]}, r"trial 0: expected probabilities \(seeds, 2\), got shape \(0, 2\)"),
        (
            {"probabilities": [np.full((2, 3), 0.5)]},
            r"trial 0, seed 0: probabilities: expected shape \(2,\), like the labels, got \(3,\)",
        ),
        (
            {"probabilities": [np.array([[0.1, 0.9], [0.1, NAN]])]},
            r"trial 0, seed 1: probabilities: expected values in 0..1, got nan at row 1",
        ),
        ({"labels": np.array([0, 2])}, r"labels: expected 0 or 1, got 2 at row 1"),
        ({"labels": np.array([])}, r"labels: expected a non-empty array"),
        ({"groups": ["a"]}, r"groups: expected 2 values, one per label, got 1"),
        ({"groups": ["a", None]}, r"groups: expected a group for every image, got None at row 1"),
        ({"folds": np.array([0])}, r"folds: expected 2 integers, one per label, got int64 of shape \(1,\)"),
        ({"folds": np.array([0.0, NAN])}, r"folds: expected 2 integers, one per label, got float64 of shape"),
    ],
)
def test_invalid_candidates_are_rejected(changes, message):
    good = {
        "labels": np.array([0, 1]),
        "groups": [0, 1],
        "folds": np.array([0, 1]),
        "probabilities": [np.full((1, 2), 0.5)],
    }
    with pytest.raises(ValueError, match=message):
        Candidates(**(good | changes))


def test_an_unknown_metric_or_winner_is_rejected():
    with pytest.raises(ValueError, match=r"metric: expected one of accuracy, .*, auroc, got 'ece'"):
        corrected(simulated(), "ece")
    with pytest.raises(ValueError, match=r"winner: expected 0..5, got 6"):
        corrected(simulated(), "accuracy", winner=6)
    with pytest.raises(ValueError, match=r"winner: expected 0..5, got -1"):
        corrected(simulated(), "accuracy", winner=-1)


@pytest.mark.parametrize("scored_folds", [[], [1, 5]])
def test_no_or_an_unknown_scored_fold_is_rejected(scored_folds):
    with pytest.raises(
        ValueError, match=rf"scored_folds: expected some of 0, 1, 2, 3, 4, got {re.escape(str(scored_folds))}"
    ):
        corrected(simulated(), "accuracy", scored_folds=scored_folds)
