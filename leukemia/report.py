"""``python -m leukemia.report STUDY``: what a study found, as pictures and one page that needs nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from leukemia import CLASS_NAMES, __version__
from leukemia.best import Best
from leukemia.folds import RANDOM_CELL_WARNING
from leukemia.metrics import Interval, confusion_matrix, describe_difference, majority_rate, paired_difference
from leukemia.mistakes import SUCCESS, run_command
from leukemia.page import Section, metrics_table, write_page
from leukemia.place import SAMPLE, SAMPLE_WARNING
from leukemia.plots import plot_calibration, plot_confusion, plot_curves, plot_roc, plot_search
from leukemia.study import Study

AUGMENTED = "augmented.png"
"""Contact sheet of augmented samples; drawn when the search starts, since only then the images are at hand."""


def write_study_report(study: Study) -> Path:
    """Write ``report.html`` and its PNG files into the study folder; returns the page's path.

    It draws from the study folder alone: no images, no Ray, no Optuna.
    """
    trials, info, folder = study.trial_table(), study.info, study.folder
    sections = [_trials_section(study, trials)]
    if (folder / "best.json").is_file():
        sections = [*_winner_sections(study, Best.load(folder / "best.json")), *sections]
    if (folder / AUGMENTED).is_file():
        sections.append(
            Section(
                title="Augmentation",
                text="Training images under the starting recipe; the first column is the original.",
                pictures=[(folder / AUGMENTED, "augmented training images")],
            )
        )
    sections.append(_evidence_section(study))
    warning = f" {RANDOM_CELL_WARNING.capitalize()}." if info["protocol"] == "random-cell" else ""
    if info["data"]["uri"] == SAMPLE:
        warning += f" Note: {SAMPLE_WARNING}."
    subtitle = (
        f"Begun {info['created']}, {len(trials)} trials, {info['folds']} folds, protocol {info['protocol']}.{warning}"
    )
    path = folder / "report.html"
    write_page(path, f"Study {study.name}", subtitle, sections)
    return path


def _winner_sections(study: Study, best: Best) -> list[Section]:
    number, seed = int(best.trial), best.recipe.train.seed
    seen = study.out_of_fold(number, seed)
    labels, probabilities = seen["label"].to_numpy(), seen["probability_leukemic"].to_numpy()
    folder = study.folder
    plot_confusion(confusion_matrix(labels, probabilities), folder / "confusion.png")
    plot_roc(labels, probabilities, folder / "roc.png")
    plot_calibration(labels, probabilities, folder / "calibration.png")
    plot_curves(study.epochs(number), folder / "curves.png")
    scores = {name: Interval.from_dict(value) for name, value in best.scores.items()}
    text = (
        f"Trial {best.trial}: {best.recipe.describe()}. Mean over folds of {best.objective}: {best.score['raw']:.4f}. "
        f"All numbers below are over the {best.n} out-of-fold images under test-time augmentation, with 95 % intervals "
        "from a bootstrap over groups. The best of many trials is a little lucky: expect less on new patients."
    )
    recipe = [("field", "value"), *((key, str(value)) for key, value in sorted(best.recipe.flat().items()))]
    difference = difference_to_start(study, best)
    return [
        Section(
            title="Winner",
            text=text + (f"\n\nAgainst the starting recipe (trial 0000): {difference}." if difference else ""),
            table=metrics_table(scores, best.majority_rate),
            pictures=[
                (folder / "confusion.png", "confusion matrix, out of fold"),
                (folder / "roc.png", "receiver operating characteristic, out of fold"),
                (folder / "calibration.png", "calibration, out of fold"),
                (folder / "curves.png", "training, one line per fold"),
            ],
        ),
        Section(title="Recipe", text="Every setting of the winner.", table=recipe),
    ]


def difference_to_start(study: Study, best: Best) -> str | None:
    """Winner minus trial 0 on the same out-of-fold images, in words; None where trial 0 is the winner or incomplete."""
    end = study.end(0)
    if int(best.trial) == 0 or end is None or end["state"] != "complete":
        return None
    winner = study.out_of_fold(int(best.trial), best.recipe.train.seed).set_index("image_id")
    start = study.out_of_fold(0, study.recipe(0).train.seed).set_index("image_id").loc[winner.index]
    difference = paired_difference(
        winner["label"].to_numpy(),
        winner["probability_leukemic"].to_numpy(),
        start["probability_leukemic"].to_numpy(),
        winner["group"].to_numpy(),
        "accuracy",
    )
    return f"accuracy {describe_difference(difference)}"


def _trials_section(study: Study, trials: pd.DataFrame) -> Section:
    counts = trials["state"].value_counts()
    shares = ", ".join(f"{counts.get(state, 0)} {state}" for state in ("complete", "stopped", "failed", "running"))
    labels = _labels(study)
    picture = study.folder / "search.png"
    drawn = trials[trials["state"] != "running"].assign(trial=lambda table: table["trial"].astype(int))
    objective = study.info["objective"]
    rate = majority_rate(labels) if len(labels) and objective == "tta_accuracy" else None
    if len(drawn):
        plot_search(drawn, picture, majority_rate=rate, objective=objective)
    table = trials.assign(
        score=trials["score"].map(_score),
        weighted_f1=trials["weighted_f1"].map(_score),
        seconds=trials["seconds"].map(lambda seconds: f"{seconds:.0f}"),
    ).rename(columns={"score": objective, "weighted_f1": "weighted F1"})
    text = (
        f"{shares}. A stopped or failed trial's score is the mean over the folds that it finished and cannot win. "
        f"{f'The majority rate is {majority_rate(labels):.3f}. ' if len(labels) else ''}"
        f"Device time of finished folds: {trials['seconds'].sum() / 3600:.2f} hours."
    )
    return Section(
        title="Trials", text=text, table=table, pictures=[(picture, f"{objective} by trial")] if len(drawn) else []
    )


def _score(score: float) -> str:
    return "" if np.isnan(score) else f"{score:.4f}"


def _labels(study: Study) -> np.ndarray:
    for number in study.trials():
        seen = study.out_of_fold(number, study.recipe(number).train.seed)
        if len(seen):
            return seen["label"].to_numpy(dtype=np.int64)
    return np.zeros(0, dtype=np.int64)


def _evidence_section(study: Study) -> Section:
    info = study.info
    rows = [
        ("what", "value"),
        ("classes", f"0 = {CLASS_NAMES[0]} (normal), 1 = {CLASS_NAMES[1]} (leukemic)"),
        ("data", str(info["data"]["uri"])),
        ("data fingerprint", info["data"]["fingerprint"]),
        ("protocol", info["protocol"]),
        ("folds, seed", f"{info['folds']}, {info['seed']}"),
        ("command", info["command"]),
        ("commit", info["commit"]),
        *((f"version of {name}", version) for name, version in info["versions"].items()),
    ]
    return Section(title="Evidence", text="Where these numbers come from.", table=rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m leukemia.report",
        description="Write a study's report.html and its pictures from the study folder.",
        epilog="example: python -m leukemia.report 20261124-101500-amber",
    )
    parser.add_argument("study", nargs="?", metavar="STUDY", help="name (default: the newest with a winner)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="where studies lie (default: runs)"
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(argv: list[str] | None = None) -> int:
    """``python -m leukemia.report``."""
    arguments = _parser().parse_args(argv)
    print(write_study_report(Study.find(arguments.runs, arguments.study)))
    return SUCCESS


if __name__ == "__main__":
    run_command(main)
