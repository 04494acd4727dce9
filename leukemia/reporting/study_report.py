"""The report of a study: pictures and one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from leukemia import CLASS_NAMES
from leukemia.config.protocol import WARNINGS
from leukemia.config.results import num_folds_text
from leukemia.data.location import SAMPLE, SAMPLE_WARNING
from leukemia.reporting.folds import folds_sections
from leukemia.reporting.ladder import ladder_sections
from leukemia.reporting.page import Section, write_page
from leukemia.reporting.search_plots import plot_front, plot_importances, plot_search, plot_spending
from leukemia.reporting.subclasses import subclass_sections
from leukemia.reporting.winner import recipe_section, score_section, winner_section
from leukemia.scoring.metrics import majority_rate
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.importances import HindsightRecord, Importances
from leukemia.study.ledger import KIND_NAMES, Ledger, duration, ledger_of
from leukemia.study.subclasses import subclasses_of
from leukemia.study.table import complete_trials, trial_table

_IMAGES = (
    (
        layout.CONTACT_SHEET,
        "Images",
        "A few images of each class as the network sees them, from as many subjects as possible, with the sizes of the "
        "files in pixels. If stain, sharpness or size tell the classes apart here, a network can learn that instead of "
        "the cells.",
        "images of each class",
    ),
    (
        layout.AUGMENTED,
        "Augmentation",
        "Training images augmented by the starting recipe; the first column is the original.",
        "augmented training images",
    ),
)
"""Pictures of the data: file, title, text and caption."""


def write_study_report(study: Study, best: Best | None) -> Path:
    """Write ``report.html`` and its PNG files to the study folder; returns the page's path.

    Uses only the study folder: no images, no Ray, no Optuna.

    Args:
        best: the study's winner (``Best.find``), None if it has none.
    """
    trials, ledger, info, folder = trial_table(study), ledger_of(study), study.info, study.folder
    # Read before a picture is drawn: a damaged file changes none.
    hindsight, importances = HindsightRecord.find(study), Importances.find(study)
    sections = [
        *([] if best is None else [winner_section(study, best), score_section(best)]),
        *([] if best is None else subclass_sections(subclasses_of(study, best), "out of fold")),
        _trials_section(study, trials, ledger),
        *ladder_sections(study),
        *_front_sections(study, trials, ledger, None if best is None else best.trial),
        *_ledger_sections(study, ledger),
        *_hindsight_sections(study, hindsight, importances),
        *folds_sections(study),
        *_images_sections(study),
        *([] if best is None else [recipe_section(best)]),
        _provenance_section(study),
    ]
    warning = f" {WARNINGS[info.protocol].capitalize()}." if info.protocol in WARNINGS else ""
    if info.data.uri == SAMPLE:
        warning += f" Note: {SAMPLE_WARNING}."
    counted = f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}{', no winner' if best is None else ''}"
    subtitle = f"Started {info.created}, {counted}, {num_folds_text(info.folds)}, protocol {info.protocol}.{warning}"
    path = folder / layout.REPORT
    write_page(path, f"Study {study.name}", subtitle, sections)
    return path


def _trials_section(study: Study, trials: pd.DataFrame, ledger: Ledger) -> Section:
    counts = trials["state"].value_counts()
    waiting = ["waiting"] * ("waiting" in counts)
    states = ("complete", "stopped", "failed", *waiting, "running")
    shares = ", ".join(f"{counts.get(state, 0)} {state}" for state in states)
    labels, objective = _labels(study), study.objective
    picture = study.folder / layout.SEARCH
    # A trial that waits in its first fold has no score yet; the section below draws it.
    without = (trials["state"] == "running") | ((trials["state"] == "waiting") & trials["score"].isna())
    drawn = trials[~without].assign(trial=lambda table: table["trial"].astype(int))
    rate = majority_rate(labels) if len(labels) and objective == "tta_accuracy" else None
    if len(drawn):
        plot_search(drawn, picture, majority_rate=rate, objective=objective)
    table = _display_table(trials, ledger)
    text = (
        f"{shares}. A stopped or failed trial cannot win; its score is the mean over its finished folds. "
        f"{'A trial that waits can still win; the last column says where it waits. ' if waiting else ''}"
        f"{'The score of a complete trial is the mean over its seeds. ' if 'seeds' in table else ''}"
        f"{f'The majority rate of the scored images is {majority_rate(labels):.3f}.' if len(labels) else ''}"
    )
    return Section(
        title="Trials",
        text=text,
        table=table.rename(columns={"score": objective}),
        pictures=[(picture, f"{objective} by trial")] if len(drawn) else [],
    )


def _display_table(trials: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The table of trials for the page; it has a column of seeds only if a trial was repeated."""
    spent = ledger.table().set_index("trial").loc[trials["trial"]]
    columns = {
        "trial": trials["trial"],
        "state": trials["state"],
        "recipe": trials["recipe"],
        "folds": trials["folds"],
        "seeds": trials["seeds"].map(str),
        "score": trials["score"].map(_score),
        "weighted F1": trials["weighted_f1"].map(_score),
        "device time": [
            "reused" if is_old else duration(seconds)
            for is_old, seconds in zip(spent["taken_over"], spent["total"], strict=True)
        ],
        "reason": trials["reason"],
    }
    if (trials["seeds"] <= 1).all():
        del columns["seeds"]
    return pd.DataFrame(columns)


def _front_sections(study: Study, trials: pd.DataFrame, ledger: Ledger, winner: str | None) -> list[Section]:
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
    objective, picture = study.objective, study.folder / layout.FRONT
    plot_front(table, picture, objective=objective)
    listed = table[table["front"] | table["winner"]].sort_values(["seconds", "trial"])
    rows = [
        (
            row["trial"],
            row["recipe"],
            _score(row["score"]),
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
            table=[("trial", "recipe", objective, "device time", ""), *rows],
            pictures=[(picture, "score against device time")],
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


def _ledger_sections(study: Study, ledger: Ledger) -> list[Section]:
    if not ledger.total:
        return []
    picture = study.folder / layout.DEVICE_TIME
    spent = ledger.table().assign(trial=lambda table: table["trial"].astype(int))
    plot_spending(spent, picture, names={str(kind): name for kind, name in KIND_NAMES.items()})
    rows = [
        (KIND_NAMES[kind], duration(seconds), f"{100 * seconds / ledger.total:.0f} %")
        for kind, seconds in ledger.seconds.items()
        if seconds
    ]
    fold = "" if np.isnan(ledger.fold_seconds) else f" A finished fold took {duration(ledger.fold_seconds)} on average."
    return [
        Section(
            title="Device time",
            text=f"{_sentence(ledger.describe())}{fold}",
            table=[("use", "device time", "share"), *rows, ("total", duration(ledger.total), "100 %")],
            pictures=[(picture, "device time by trial")],
        )
    ]


def _hindsight_sections(
    study: Study, hindsight: HindsightRecord | None, importances: Importances | None
) -> list[Section]:
    """Remarks on the search space and importances, if ``hindsight.json`` exists."""
    picture = study.folder / layout.IMPORTANCES
    shares = {} if hindsight is None or importances is None else importances.shares
    if shares:
        plot_importances(shares, picture)
    else:
        # Of an earlier report. Another process may be reading a picture that is drawn again: it is only replaced.
        picture.unlink(missing_ok=True)
    if hindsight is None or importances is None:
        return []
    complete, seen = len(complete_trials(study)), hindsight.num_trials
    older = f" From {seen} of {complete} complete trials, before the search was interrupted or resumed."
    return [
        Section(
            title="Search space in hindsight",
            text=f"What the trials show about the search space.{'' if seen in (None, complete) else older}",
            points=[_sentence(line) for line in hindsight.lines],
            pictures=[(picture, importances.describe())] if shares else [],
        )
    ]


def _images_sections(study: Study) -> list[Section]:
    """Pictures that the search drew when it had the images; earlier versions drew fewer."""
    return [
        Section(title=title, text=text, pictures=[(study.folder / name, caption)])
        for name, title, text, caption in _IMAGES
        if (study.folder / name).is_file()
    ]


def _sentence(line: str) -> str:
    """Capitalize a line, unless it starts with a recipe field, and add a full stop."""
    is_field = "." in line.split(" ")[0]
    return f"{line if is_field else line[:1].upper() + line[1:]}."


def _score(score: float) -> str:
    return "" if np.isnan(score) else f"{score:.4f}"


def _labels(study: Study) -> np.ndarray:
    for number in study.trials():
        predictions = study.out_of_fold(number, study.recipe(number).train.seed)
        if len(predictions):
            return predictions["label"].to_numpy(dtype=np.int64)
    return np.zeros(0, dtype=np.int64)


def _provenance_section(study: Study) -> Section:
    info = study.info
    rows = [
        ("item", "value"),
        ("classes", f"0 = {CLASS_NAMES[0]} (normal), 1 = {CLASS_NAMES[1]} (leukemic)"),
        ("data", " ".join([info.data.uri, *(info.data.also or ())])),
        ("data fingerprint", info.data.fingerprint),
        *(("note on the data", note) for note in info.data.notes),
        *([] if info.weights is None else [("pretrained weights", info.weights)]),
        ("protocol", info.protocol),
        ("folds, seed", f"{info.folds}, {info.seed}"),
        ("command", info.command),
        ("commit", info.commit),
        *((f"version of {name}", version) for name, version in info.versions.items()),
    ]
    return Section(title="Provenance", text="Data, software and command behind these scores.", table=rows)
