"""How a search came out: ``best.json`` with its interval and its evidence, and what is printed."""

from __future__ import annotations

from rich.console import Console

from leukemia import provenance
from leukemia.best import Best
from leukemia.folds import Splits
from leukemia.metrics import majority_rate, scores
from leukemia.mistakes import NO_WINNER, SUCCESS
from leukemia.report import write_study_report
from leukemia.study import Study
from search.display import print_trials, say
from search.judge import Contender


def write_best(study: Study, splits: Splits, contender: Contender) -> None:
    """Write ``best.json`` for the best complete trial.

    The raw score is the mean over folds that the search maximized; the headline is the same metric over all
    out-of-fold images at once, with its interval from a bootstrap over groups.
    """
    info, recipe = study.info, study.recipe(contender.number)
    seen = study.out_of_fold(contender.number, recipe.train.seed)
    labels, groups = seen["label"].to_numpy(), seen["group"].to_numpy()
    found = scores(labels, seen["probability_leukemic"].to_numpy(), groups)
    best = Best(
        study=study.name,
        study_uid=info["study_uid"],
        trial=f"{contender.number:04d}",
        recipe=recipe,
        objective=info["objective"],
        score={
            "raw": contender.score,
            "headline": found[info["objective"].removeprefix("tta_")].to_dict(),
        },
        scores={name: interval.to_dict() for name, interval in found.items()},
        majority_rate=majority_rate(labels),
        folds=info["folds"],
        folds_done=len(contender.fold_scores),
        seeds=[recipe.train.seed],
        n=len(seen),
        protocol=info["protocol"],
        data={key: info["data"][key] for key in ("uri", "fingerprint", "base", "subjects_from")},
        splits_sha256=splits.sha256(),
        versions=provenance.versions(),
        commit=provenance.commit(),
        hardware=provenance.hardware(_device_of(study, contender.number, recipe.train.seed)),
        command=info["command"],
    )
    best.save(study.folder / "best.json")


def _device_of(study: Study, number: int, seed: int) -> str:
    devices = {study.fold(number, seed, fold)["device"] for fold in study.folds_done(number, seed)}
    return ", ".join(sorted(devices))


def print_outcome(console: Console, study: Study) -> int:
    """Print the trials, the winner with its interval and where the files lie; returns the exit status."""
    write_study_report(study)
    trials = study.trial_table()
    print_trials(console, trials, study.info["objective"])
    path = study.folder / "best.json"
    if not path.is_file():
        say(console, f"no winner: none of {len(trials)} trials finished all folds with a usable score")
        say(console, f"report: {study.folder / 'report.html'}")
        return NO_WINNER
    best = Best.load(path)
    headline = best.score["headline"]
    say(
        console,
        f"winner: trial {best.trial}, {best.recipe.describe()}\n"
        f"{best.objective} {best.score['raw']:.4f} (mean over folds); over all {best.n} out-of-fold images "
        f"{headline['value']:.4f}, 95 % interval {headline['low']:.4f} to {headline['high']:.4f}; "
        f"majority rate {best.majority_rate:.4f}; {best.protocol}",
    )
    say(console, f"best: {path}\nreport: {study.folder / 'report.html'}")
    say(console, f"next: python -m leukemia.final --best {study.name} --runs {study.folder.parent}")
    return SUCCESS
