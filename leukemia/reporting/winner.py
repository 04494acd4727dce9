"""Report sections about the winner: what to quote, chance, comparisons, corrections, recipe."""

from __future__ import annotations

import logging

import numpy as np

from leukemia.base.errors import UserError
from leukemia.base.record import RESTORE
from leukemia.config.recipe import Recipe
from leukemia.config.results import fold_name, score_name
from leukemia.reporting.calibration_figures import calibration
from leukemia.reporting.curve_figures import training_curves
from leukemia.reporting.model_figures import confusion, roc
from leukemia.reporting.page import Section, metrics_table
from leukemia.reporting.words import describe_interval, objective_name
from leukemia.scoring.calibration import leukemic_bins
from leukemia.scoring.metrics import confusion_matrix
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.best_score import IntervalRecord
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares, names_of, with_name
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


def quote_section(study: Study, best: Best, warnings: str) -> Section:
    """The score to quote, of which trial, and on what it was measured.

    Args:
        warnings: on the protocol and the data; may be empty.
    """
    name, headline = objective_name(score_name(best.objective)), best.score.headline
    recipe = with_name(names_of(study.info).get(int(best.trial)), best.recipe.describe())
    text = (
        f"Trial {best.trial}: {recipe}. Its {name} with test-time augmentation, {_quoted(best)} It was "
        f"measured in cross-validation ({best.protocol} protocol, {best.folds} folds) on {best.n} images, none of "
        f"which was used to train the model that classified it.{warnings}"
    )
    if older := best.outdated(study):
        log.warning("%s", older)
        text = f"{older} {text}"
    if verdict := winner_verdict(study, best):
        text = f"{verdict}\n\n{text}"
    quoted = "" if headline.value is None else f"{name} {describe_interval(headline.interval)}"
    return Section(title="", text=text, quoted=quoted)


def guessing_section(study: Study, best: Best) -> Section:
    """The score to quote against chance, and all metrics over the out-of-fold images."""
    labels, probabilities, images = _predictions(study, best)
    alone = f"for seed {best.recipe.train.seed} only, " if len(best.seeds) > 1 else ""
    text = (
        f"{_against_chance(best)}\n\nThe maximized score, the mean over folds"
        f"{' and seeds' if len(best.seeds) > 1 else ''}, is {best.score.raw:.3f}{_on_the_same_folds(best)}. The table "
        f"below is {alone}over the {best.n} out-of-fold images with test-time augmentation and 95 % intervals from a "
        "bootstrap over groups. It is not corrected for selection, so expect lower scores on new patients."
    )
    scores = {name: record.interval for name, record in best.scores.items()}
    figures = [confusion(confusion_matrix(labels, probabilities), images), roc(labels, probabilities, images)]
    return Section(title="", text=text, table=metrics_table(scores, best.majority_rate), figures=figures)


def _on_the_same_folds(best: Best) -> str:
    """The winner's score on the folds of the score to quote, as the end of a sentence; empty if these are all folds."""
    if best.scored_folds is None or best.score.scored is None or best.score.scored.value is None:
        return ""
    return (
        f", and {best.score.scored.value:.3f} over the images of {best.scored_folds}, on which the score to quote is "
        f"corrected, because {fold_name(0)} chose which trials ran on: compare these two"
    )


def _against_chance(best: Best) -> str:
    """The score to quote against the best score without looking at an image."""
    objective, rate, headline = score_name(best.objective), best.majority_rate, best.score.headline.interval
    name = objective_name(objective)
    chance, guess = 0.5, "Any guess without a look at the cells"
    if objective in ("tta_accuracy", "tta_weighted_f1"):
        chance = rate if objective == "tta_accuracy" else 2 * rate**2 / (1 + rate)
        guess = "Always predicting the more frequent class, without a look at the cells,"
    text = f"{guess} has a{'n' if name[0] in 'aA' else ''} {name} of {chance:.3f}."
    if np.isnan(headline.value):
        return text
    if np.isnan(headline.low):
        return f"{text} The score to quote has no interval: there are too few groups to tell."
    if headline.low > chance:
        return f"{text} The winner is better: the whole interval of the score to quote is above."
    verdict = "contains it" if headline.high >= chance else "is below"
    return f"{text} The winner is not shown to be better: the interval of the score to quote {verdict}."


def start_section(study: Study, best: Best) -> Section:
    """Comparisons of the winner with the starting recipe, the runner-up and other seeds."""
    text = ""
    if not best.noise.winner_vs_start:
        # A comparison with it is also absent if it did not finish.
        # Earlier versions did not record it.
        start = Recipe.from_flat(study.info.start) if study.info.start else study.recipe(0)
        which = "first recipe" if compares(study.info) else "starting recipe"
        text = f"The {which} did not finish all folds, so the winner cannot be compared with it."
        if best.recipe == start:
            text = f"The winner, trial {best.trial}, is the {which} itself."
    return Section(title="", text=text, points=_noise(best, given=compares(study.info)))


def calibration_section(study: Study, best: Best) -> Section:
    """Whether the winner's probabilities are the shares of leukemic images."""
    labels, probabilities, images = _predictions(study, best)
    figures = calibration(leukemic_bins(labels, probabilities), images)
    text = "If probabilities can be taken at their word, the points are on the dashed line: of images with 0.8, four "
    text += "fifths are leukemic."
    return Section(title="Calibration", text=text, figures=figures)


def curves_section(study: Study, best: Best) -> Section:
    """The winner's training."""
    number = int(best.trial)
    epochs = study.epochs(number)
    if epochs.empty:
        raise UserError(f"{study.trial_folder(number) / layout.EPOCHS}: no epochs of the winner; {RESTORE}")
    figures = training_curves(epochs, f"fold{' and seed' if epochs['seed'].nunique() > 1 else ''}")
    text = (
        "Training accuracy is measured on augmented images, so it may be lower than that of validation. A validation "
        "loss that rises while the training loss falls is a sign of overfitting."
    )
    return Section(title="Training", text=text, figures=figures)


def _predictions(study: Study, best: Best) -> tuple[np.ndarray, np.ndarray, str]:
    """Labels and probabilities of the winner's out-of-fold images, and which these are."""
    number, seed = int(best.trial), best.recipe.train.seed
    predictions = best.out_of_fold(study)
    several = study.epochs(number)["seed"].nunique() > 1
    images = f"out of fold, seed {seed}" if several else "out of fold"
    return predictions["label"].to_numpy(), predictions["probability_leukemic"].to_numpy(), images


def _quoted(best: Best) -> str:
    """The score to quote, as the end of a sentence."""
    headline = _value(best.score.headline)
    if best.score.headline.value is None:
        return f"corrected for the choice of its trial, is {headline}; there is no score to quote."
    scored_on = "" if best.scored_on is None else f", scored on {best.scored_on}"
    if best.num_complete == 1:
        return f"of the only complete trial{scored_on}: {headline}. This is the score to quote."
    trials = f"{best.num_complete} complete trials"
    return f"corrected for a choice among {trials}{scored_on}: {headline}. This is the score to quote."


def _noise(best: Best, *, given: bool = False) -> list[str]:
    """Comparisons of the winner with other trials and seeds, as sentences.

    Args:
        given: whether the recipes were given, to be compared.
    """
    noise, names = best.noise, dict(_COMPARED)
    if given:
        names["winner_vs_start"] = "Against the first recipe"
    lines = [f"{name}: {text}." for key, name in names.items() if (text := getattr(noise, key)) is not None]
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
        f"The {objective_name(score_name(best.objective))} of the winner, before and after correction for selection."
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
    return Section(title="Luck of the choice", text=text, table=[("score", "value (interval)", "meaning"), *rows])


def _value(score: float | IntervalRecord) -> str:
    return describe_interval(score.interval) if isinstance(score, IntervalRecord) else f"{score:.3f}"


def recipe_section(best: Best) -> Section:
    """All settings of the winner."""
    recipe = [("field", "value"), *((key, str(value)) for key, value in sorted(best.recipe.flat().items()))]
    return Section(title="Recipe", text="All settings of the winner.", table=recipe)
