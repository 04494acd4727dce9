"""Report sections about the winner: scores, corrections, recipe."""

from __future__ import annotations

import logging

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.config.results import score_name
from leukemia.reporting.calibration_plots import plot_calibration
from leukemia.reporting.model_plots import plot_confusion, plot_curves, plot_roc
from leukemia.reporting.page import Section, describe_interval, metrics_table
from leukemia.scoring.metrics import confusion_matrix
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.best_score import IntervalRecord
from leukemia.study.folder import Study
from leukemia.study.headline import winner_verdict

log = logging.getLogger(__name__)

_SCORES = {
    "headline": "the score to quote: the lower correction, at most {own}",
    "raw": "mean over folds and seeds, as maximized by the search",
    "pooled": "over all out-of-fold images, mean over seeds",
    "scored": "as pooled, on {folds}",
    "bootstrap": "winners chosen on resampled groups, scored on the groups not drawn",
    "leave_fold_out": "{own}, less what winners chosen without a fold lose in that fold",
}
"""Entries of ``score`` in ``best.json`` and their meaning, the headline first. ``{own}`` is the winner's own score."""

_COMPARED = {
    "winner_vs_start": "Against the starting recipe",
    "winner_vs_second": "Against the runner-up",
}
"""Display names of the comparisons in ``noise`` of ``best.json``."""

_SCORES_BY_COST = {
    "bootstrap": "best trials by score on resampled groups, scored on the groups not drawn",
    "leave_fold_out": "score in each fold of the best trials by score without it",
    "headline": "the score to quote: the lowest of {own} and the two corrections",
}
"""Meanings that differ if cost was the second objective."""

_BY_SCORE = (
    " The winner was chosen for its score, so that score is too optimistic. The two corrections repeat the choice on a "
    "part of the data and score it on the rest."
)
_BY_COST = (
    " The winner was not chosen for its score alone: it is the cheapest trial within one standard error of the best "
    "score. The two corrections repeat a choice by score alone on a part of the data and score it on the rest, so they "
    "describe the best trials by score, not this winner; the headline is at most the winner's own score."
)


def winner_section(study: Study, best: Best) -> Section:
    """The winner: its scores over all out-of-fold images, comparisons with other trials and seeds, and pictures."""
    number, seed = int(best.trial), best.recipe.train.seed
    predictions = best.out_of_fold(study)
    labels, probabilities = predictions["label"].to_numpy(), predictions["probability_leukemic"].to_numpy()
    folder, epochs = study.folder, study.epochs(number)
    if epochs.empty:
        raise UserError(f"{study.trial_folder(number) / layout.EPOCHS}: no epochs of the winner; {RESTORE}")
    plot_confusion(confusion_matrix(labels, probabilities), folder / layout.CONFUSION)
    plot_roc(labels, probabilities, folder / layout.ROC)
    plot_calibration(labels, probabilities, folder / layout.CALIBRATION)
    plot_curves(epochs, folder / layout.CURVES)
    scores = {name: record.interval for name, record in best.scores.items()}
    alone = f"for seed {seed} only, " if len(best.seeds) > 1 else ""
    text = (
        f"Trial {best.trial}: {best.recipe.describe()}. Its {score_name(best.objective)}, {_quoted(best)} The "
        f"maximized score, the mean over folds{' and seeds' if len(best.seeds) > 1 else ''}, is {best.score.raw:.3f}. "
        f"The table below is {alone}over the {best.n} out-of-fold images with test-time "
        "augmentation and 95 % intervals from a bootstrap over groups. It is not corrected for selection, so expect "
        "lower scores on new patients."
    )
    if older := best.outdated(study):
        log.warning("%s", older)
        text = f"{older} {text}"
    if verdict := winner_verdict(study, best):
        text = f"{verdict}\n\n{text}"
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
    """The score to quote, as the end of a sentence."""
    headline = _value(best.score.headline)
    if best.score.headline.value is None:
        return f"corrected for the choice of its trial, is {headline}; there is no score to quote."
    scored_on = "" if best.scored_on is None else f", scored on {best.scored_on}"
    if best.num_complete == 1:
        return f"of the only complete trial{scored_on}: {headline}. This is the score to quote."
    return (
        f"corrected for a choice among {best.num_complete} complete trials{scored_on}: {headline}. This is the score "
        "to quote."
    )


def _noise(best: Best) -> list[str]:
    """Comparisons of the winner with other trials and seeds, as sentences."""
    noise = best.noise
    lines = [f"{name}: {text}." for key, name in _COMPARED.items() if (text := getattr(noise, key)) is not None]
    repeated = [f"{trial} ({', '.join(map(str, seeds))})" for trial, seeds in noise.seeds.items()]
    # Without repeats, the noise is assumed, not measured.
    if repeated and noise.fold_noise:
        points = 100 * noise.fold_noise
        lines.append(f"The seed alone changes a fold's score by {points:.1f} points (standard deviation).")
    return lines + ([f"Repeated trials and their seeds: {', '.join(repeated)}."] if repeated else [])


def score_section(best: Best) -> Section:
    """The search objective of the winner, before and after correction for selection."""
    meanings = _SCORES | _SCORES_BY_COST if best.by_cost else dict(_SCORES)
    text = (
        f"The search objective ({score_name(best.objective)}) of the winner, before and after correction for selection."
        f"{_BY_COST if best.by_cost else _BY_SCORE} The corrections exclude stopped trials, which lack folds."
    )
    if best.scored_on is None:
        del meanings["scored"]
    else:
        text += (
            f" They choose by all folds, but are scored on {best.scored_on}; raw and pooled are over all folds and not "
            "corrected."
        )
    if best.folds == 1:
        # There is no other fold to choose a trial on.
        del meanings["leave_fold_out"]
    words = {"own": "pooled" if best.scored_on is None else "scored", "folds": best.scored_on}
    rows = [
        (name.replace("_", " "), _value(getattr(best.score, name)), meaning.format(**words))
        for name, meaning in meanings.items()
    ]
    return Section(title="Score", text=text, table=[("score", "value (interval)", "meaning"), *rows])


def _value(score: float | IntervalRecord) -> str:
    return describe_interval(score.interval) if isinstance(score, IntervalRecord) else f"{score:.3f}"


def recipe_section(best: Best) -> Section:
    """All settings of the winner."""
    recipe = [("field", "value"), *((key, str(value)) for key, value in sorted(best.recipe.flat().items()))]
    return Section(title="Recipe", text="All settings of the winner.", table=recipe)
