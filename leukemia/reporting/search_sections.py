"""Report sections about the search: its trials, what decided between them, and what it cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from leukemia.base.quantity import parts_of
from leukemia.reporting.page import Section
from leukemia.reporting.parameter_figures import parallel_coordinates, slices
from leukemia.reporting.parameters import varied_parameters
from leukemia.reporting.search_figures import device_time, importance, score_and_cost, score_over_time, scores_by_trial
from leukemia.reporting.time_spent import time_spent
from leukemia.reporting.trials_grid import trials_csv, trials_grid
from leukemia.reporting.words import field_name, objective_name
from leukemia.scoring.metrics import majority_rate
from leukemia.study.duration import duration
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares
from leukemia.study.importances import HindsightRecord, Importances
from leukemia.study.ledger import KIND_NAMES, Ledger
from leukemia.study.table import complete_trials

MIN_TRIALS = 3
"""Smallest number of trials with a score whose parameters are drawn: two always lie on a line."""


def trials_section(study: Study, trials: pd.DataFrame, ledger: Ledger) -> Section:
    """All trials in a table and in a figure.

    Args:
        trials: of the study, as ``trial_table``.
    """
    counts = trials["state"].value_counts()
    waiting = ["waiting"] * ("waiting" in counts)
    states = ("complete", "stopped", "failed", *waiting, "running")
    shares = ", ".join(f"{counts.get(state, 0)} {state}" for state in states)
    has_repeats = bool((trials["seeds"] > 1).any())
    rate, drawn = majority_rate_of(study), _drawn(trials)
    text = (
        f"{shares}. A stopped or failed trial cannot win; its score is the mean over its finished folds. "
        f"{'A trial that waits can still win; the last column says where it waits. ' if waiting else ''}"
        f"{'The score of a complete trial is the mean over its seeds. ' if has_repeats else ''}"
        f"{'' if rate is None else f'The majority rate of the scored images is {rate:.3f}.'}"
    )
    name, baseline = objective_name(study.objective), rate if study.objective == "tta_accuracy" else None
    figures = [scores_by_trial(drawn, majority_rate=baseline, score=name)] if len(drawn) else []
    csv = trials_csv(study, trials, ledger)
    grid = trials_grid(study, trials, ledger, varied_parameters(study), csv) if len(trials) else None
    return Section(title="Trials", text=text, figures=figures, grid=grid)


def parameter_sections(study: Study, trials: pd.DataFrame) -> list[Section]:
    """The scores by the parameters of the trials; empty with less than ``MIN_TRIALS`` scores or nothing that varies."""
    scored = trials[trials["score"].notna() & (trials["state"] != "failed")]
    scores = {int(trial): float(score) for trial, score in zip(scored["trial"], scored["score"], strict=True)}
    parameters = [each for each in varied_parameters(study) if any(number in each.values for number in scores)]
    if len(scores) < MIN_TRIALS or not parameters:
        return []
    name = objective_name(study.objective)
    text = f"The {name} of all trials with a finished fold against each of their parameters."
    if not compares(study.info):
        text += (
            " Trials that were stopped have fewer folds, so their scores are noisier; the search tries promising "
            "values more often than others."
        )
    return [
        Section(
            title="Parameters",
            text=text,
            figures=[parallel_coordinates(parameters, scores, score=name), *slices(parameters, scores, score=name)],
        )
    ]


def time_section(study: Study, trials: pd.DataFrame, ledger: Ledger) -> Section:
    """What device time was used for, and when the best score was found."""
    spent, drawn = time_spent(study, ledger), _drawn(trials)
    ended = drawn[drawn["trial"].isin(spent) & drawn["score"].notna()]
    rate = majority_rate_of(study) if study.objective == "tta_accuracy" else None
    figures = []
    if len(ended):
        over_time = ended.assign(seconds=ended["trial"].map(spent))
        figures.append(score_over_time(over_time, majority_rate=rate, score=objective_name(study.objective)))
    costs = ledger.table().assign(trial=lambda table: table["trial"].astype(int))
    figures.append(device_time(costs, names={str(kind): name for kind, name in KIND_NAMES.items()}))
    used = ledger.durations()
    shares = parts_of(100, [ledger.seconds[kind] for kind in used])
    rows = [(KIND_NAMES[kind], text, f"{share} %") for (kind, text), share in zip(used.items(), shares, strict=True)]
    fold = "" if np.isnan(ledger.fold_seconds) else f" A finished fold took {duration(ledger.fold_seconds)} on average."
    return Section(
        title="Device time",
        text=f"{sentence(ledger.describe())}{fold}",
        table=[("use", "device time", "share"), *rows, ("total", duration(ledger.total), "100 %")],
        figures=figures,
    )


def front_sections(study: Study, trials: pd.DataFrame, ledger: Ledger, winner: str | None) -> list[Section]:
    """Score against cost, if the search optimized both."""
    spent = ledger.table().set_index("trial")["cost"]
    complete = trials[(trials["state"] == "complete") & trials["score"].notna()]
    if "," not in study.info.objective or complete.empty:
        return []
    seconds = spent.loc[complete["trial"]].to_numpy()
    table = complete.assign(
        seconds=seconds,
        front=pareto_front(complete["score"].to_numpy(), seconds),
        winner=complete["trial"] == winner,
    )
    name = objective_name(study.objective)
    listed = table[table["front"] | table["winner"]].sort_values(["seconds", "trial"])
    rows = [
        (
            row["trial"],
            row["recipe"],
            f"{row['score']:.3f}",
            duration(row["seconds"]),
            _role(row["front"], row["winner"]),
        )
        for row in listed.to_dict("records")
    ]
    text = (
        "The Pareto front contains the complete trials that no other trial dominates in score and device time (all "
        "folds, first seed). The winner is chosen by the one-standard-error rule: the cheapest complete trial whose "
        "score is at most one standard error of the paired difference below the best score."
    )
    return [
        Section(
            title="Score and cost",
            text=text,
            table=[("trial", "recipe", name, "device time", ""), *rows],
            figures=[score_and_cost(table, score=name)],
        )
    ]


def _role(is_front: bool, is_winner: bool) -> str:
    return ", ".join([*["front"] * is_front, *["winner"] * is_winner])


def pareto_front(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Which of n trials are not dominated, bool (n,): no other is at least as good in both values and better in one.

    >>> pareto_front(np.array([0.9, 0.8, 0.8, 0.7]), np.array([9.0, 3.0, 4.0, 1.0])).tolist()
    [True, True, False, True]
    """
    higher, cheaper = scores[:, None] >= scores, costs[:, None] <= costs
    better = (scores[:, None] > scores) | (costs[:, None] < costs)
    return np.logical_not((higher & cheaper & better).any(axis=0))


def hindsight_sections(
    study: Study, hindsight: HindsightRecord | None, importances: Importances | None
) -> list[Section]:
    """Remarks on the search space and importances, if ``hindsight.json`` exists."""
    if hindsight is None or importances is None or (compares(study.info) and not importances.shares):
        return []
    complete, seen = len(complete_trials(study)), hindsight.num_trials
    older = f" From {seen} of {complete} complete trials, before the search was interrupted or resumed."
    figures = []
    if importances.shares:
        unknown = (np.nan, np.nan)
        rows = [
            (field_name(key), share, *importances.intervals.get(key, unknown))
            for key, share in importances.shares.items()
        ]
        shares = pd.DataFrame(rows, columns=["parameter", "share", "low", "high"])
        intervals = ", with 90 % intervals over resampled trials" if importances.intervals else ""
        figures.append(importance(shares, f"{sentence(importances.describe() + intervals)}"))
    return [
        Section(
            title="Search space in hindsight",
            text=f"What the trials show about the search space.{'' if seen in (None, complete) else older}",
            points=[sentence(line) for line in hindsight.lines],
            figures=figures,
        )
    ]


def majority_rate_of(study: Study) -> float | None:
    """Share of the more frequent class among the scored images of the first trial that has any; None without one."""
    for number in study.trials():
        predictions = study.out_of_fold(number, study.recipe(number).train.seed)
        if len(predictions):
            return majority_rate(predictions["label"].to_numpy(dtype=np.int64))
    return None


def _drawn(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of a figure: one that waits in its first fold has no score yet, and the ladder shows it."""
    without = (trials["state"] == "running") | ((trials["state"] == "waiting") & trials["score"].isna())
    return trials[~without].assign(trial=lambda table: table["trial"].astype(int))


def sentence(line: str) -> str:
    """Capitalize a line, unless it starts with a recipe field, and add a full stop."""
    is_field = "." in line.split(" ")[0]
    return f"{line if is_field else line[:1].upper() + line[1:]}."
