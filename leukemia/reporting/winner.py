"""What a study's report says of the winner: its scores, what they are worth, its recipe."""

from __future__ import annotations

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.config.results import score_name
from leukemia.reporting.model_plots import plot_calibration, plot_confusion, plot_curves, plot_roc
from leukemia.reporting.page import Section, describe_interval, metrics_table
from leukemia.scoring.metrics import confusion_matrix
from leukemia.study import layout
from leukemia.study.best import Best, IntervalRecord
from leukemia.study.folder import Study

_SCORES = {
    "headline": "the one to quote: the lower correction, never above pooled",
    "raw": "mean over folds and seeds: what was maximized",
    "pooled": "over all out-of-fold images at once, mean over seeds",
    "bootstrap": "a winner chosen on drawn groups, scored on the groups not drawn",
    "leave_fold_out": "less what winners chosen without a fold lose in that fold",
}
"""Entries of ``score`` in ``best.json`` and what each is, the honest one first."""

_COMPARED = {
    "winner_vs_start": "Against the starting recipe",
    "winner_vs_second": "Against the runner-up",
}
"""Comparisons in ``noise`` of ``best.json`` as a person reads them."""

_SCORES_BY_COST = {
    "bootstrap": "the best by score on drawn groups, scored on the groups not drawn",
    "leave_fold_out": "what the best by score without a fold score in that fold",
    "headline": "the one to quote: the lowest of pooled and the two corrections",
}
"""The same where cost was the second objective, as far as it differs."""

_BY_SCORE = (
    " The winner was chosen for its score, which therefore flatters it; the two corrections repeat the choice "
    "and judge it where it did not look."
)
_BY_COST = (
    " The winner was not chosen for its score alone: it is the cheapest trial within one standard error of the best "
    "score. The two corrections repeat a choice by score alone and judge it where it did not look, so they tell of the "
    "best trials by score, not of this winner; the headline is never above the winner's own pooled score."
)


def winner_section(study: Study, best: Best) -> Section:
    """The winner: its scores over all out-of-fold images, what other seeds say of it, and its pictures."""
    number, seed = int(best.trial), best.recipe.train.seed
    seen = best.out_of_fold(study)
    labels, probabilities = seen["label"].to_numpy(), seen["probability_leukemic"].to_numpy()
    folder, epochs = study.folder, study.epochs(number)
    if epochs.empty:
        raise UserError(f"{study.trial_folder(number) / layout.EPOCHS}: the winner has no epochs there; {RESTORE}")
    plot_confusion(confusion_matrix(labels, probabilities), folder / layout.CONFUSION)
    plot_roc(labels, probabilities, folder / layout.ROC)
    plot_calibration(labels, probabilities, folder / layout.CALIBRATION)
    plot_curves(epochs, folder / layout.CURVES)
    scores = {name: record.interval for name, record in best.scores.items()}
    alone = f"of seed {seed} alone, " if len(best.seeds) > 1 else ""
    text = (
        f"Trial {best.trial}: {best.recipe.describe()}. Its {score_name(best.objective)}, {_quoted(best)} What was "
        f"maximized, the mean over folds{' and seeds' if len(best.seeds) > 1 else ''}, is {best.score.raw:.3f}. The "
        f"table below is {alone}over the {best.n} out-of-fold images under test-time "
        "augmentation, with 95 % intervals from a bootstrap over groups. It is not corrected, and the best of many "
        "trials is a little lucky: expect less on new patients."
    )
    several = epochs["seed"].nunique() > 1
    which = f"out of fold, seed {seed}" if several else "out of fold"
    return Section(
        title="Winner",
        text=text,
        points=_noise(best),
        table=metrics_table(scores, best.majority_rate),
        pictures=[
            (folder / layout.CONFUSION, f"confusion matrix, {which}"),
            (folder / layout.ROC, f"receiver operating characteristic, {which}"),
            (folder / layout.CALIBRATION, f"calibration, {which}"),
            (folder / layout.CURVES, f"training, one line per fold{' and seed' if several else ''}"),
        ],
    )


def _quoted(best: Best) -> str:
    """The number to quote, as the rest of a sentence."""
    headline = _value(best.score.headline)
    if best.score.headline.value is None:
        return f"corrected for the choice of its trial, is {headline}; there is no number to quote."
    if best.num_complete == 1:
        return f"of the only complete trial: {headline}. That is the number to quote."
    return f"corrected for a choice among {best.num_complete} complete trials: {headline}. That is the number to quote."


def _noise(best: Best) -> list[str]:
    """What other trials and seeds say about the winner, as sentences."""
    noise = best.noise
    words = [f"{name}: {words}." for key, name in _COMPARED.items() if (words := getattr(noise, key)) is not None]
    repeated = [f"{trial} ({', '.join(map(str, seeds))})" for trial, seeds in noise.seeds.items()]
    # Without repeats the noise is an assumption, nothing that was found.
    if repeated and noise.fold_noise:
        points = 100 * noise.fold_noise
        words.append(f"A fold's score varies by {points:.1f} points (standard deviation) with the seed alone.")
    return words + ([f"Trials repeated, with their seeds: {', '.join(repeated)}."] if repeated else [])


def score_section(best: Best) -> Section:
    """The score that was searched for, as it is and corrected for the choice of its trial."""
    meanings = _SCORES | _SCORES_BY_COST if best.by_cost else dict(_SCORES)
    text = (
        f"The score that was searched for ({score_name(best.objective)}), read in several ways."
        f"{_BY_COST if best.by_cost else _BY_SCORE} Stopped trials are absent from the corrections: they lack folds."
    )
    rows = [(name.replace("_", " "), _value(getattr(best.score, name)), meaning) for name, meaning in meanings.items()]
    return Section(title="Score", text=text, table=[("score", "value (interval)", "what it is"), *rows])


def _value(score: float | IntervalRecord) -> str:
    return describe_interval(score.interval) if isinstance(score, IntervalRecord) else f"{score:.3f}"


def recipe_section(best: Best) -> Section:
    """Every setting of the winner."""
    recipe = [("field", "value"), *((key, str(value)) for key, value in sorted(best.recipe.flat().items()))]
    return Section(title="Recipe", text="Every setting of the winner.", table=recipe)
