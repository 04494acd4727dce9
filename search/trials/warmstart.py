"""Warm start: finished trials of earlier studies on the same data and folds, taken over with all their predictions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import read_json, write_json, write_text
from leukemia.config.results import score_name
from leukemia.study.folder import EPOCH_COLUMNS, REPEATED_COLUMNS, Study
from leukemia.study.records import read_table, require_score
from search.policy.space import Space
from search.sampling.journal import Prior
from search.trials.evidence import Validation, check_ended, predictions


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A trial that a study begins with."""

    prior: Prior
    folder: Path
    """Of the trial, in the study that ran it."""

    origin: dict[str, str]
    """Study, its uid and the trial there."""

    seeds: list[int]
    """That were run there to their end; others are run here, from their beginning."""


def take_priors(
    folders: Sequence[Path], info: dict[str, Any], space: Space, validation: Validation | None = None
) -> tuple[Taken, ...]:
    """The trials to take over from earlier studies, each recipe once, in the order given; nothing is written.

    They keep their predictions: they may lead, win, and are what later trials are raced against.

    Args:
        folders: of the earlier studies.
        info: ``study.json`` of the new one.
        validation: what the new study's folds validate; None leaves predictions uncompared until a driver reads them.

    Raises:
        UserError: other data or folds, a study without a single trial that fits the space, or a trial that is damaged.
    """
    taken: list[Taken] = []
    for folder in folders:
        study = Study.open(folder)
        _require_same(study, info)
        found = [_taken(study, number, info["objective"]) for number in study.trials() if _is_finished(study, number)]
        # Where this study's objective is undefined in a fold, the trial would have failed here.
        defined = [each for each in found if None not in each.prior.fold_scores.values()]
        fitting = [each for each in defined if space.fits(each.prior.recipe)]
        if validation is not None:
            _check_predictions(study, fitting, validation)
        if not found:
            raise UserError(
                f"--warm-start: study {study.name} has no finished trial yet; go on with it first (--resume --study "
                f"{study.name}), or leave it out"
            )
        if not fitting:
            raise UserError(
                f"--warm-start: none of the {len(found)} finished trials of study {study.name} fits this space; "
                "give both searches the same --preset and --set"
            )
        for each in fitting:
            if all(each.prior.recipe != other.prior.recipe for other in taken):
                taken.append(each)
    return tuple(taken)


def _check_predictions(study: Study, taken: Sequence[Taken], validation: Validation) -> None:
    for each in taken:
        for seed in each.seeds:
            # Reading them checks them.
            list(predictions(study, int(each.folder.name), seed, validation))


def copy_priors(taken: Sequence[Taken], folder: Path) -> None:
    """Copy the trials' folders into a study that is about to be made, numbered from 0.

    Seeds that had not ended are left behind, with their epochs: what a study runs is then wholly its own.
    """
    for number, each in enumerate(taken):
        target = folder / "trials" / f"{number:04d}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(each.folder, target)
        _leave_behind(target, each.seeds)
        if each.prior.state == "complete" and each.prior.fold_scores:
            # That study may have maximized another score.
            score = float(np.mean(list(each.prior.fold_scores.values())))
            write_json(target / "state.json", {**read_json(target / "state.json"), "score": score})
        write_json(target / "origin.json", {**each.origin, "seeds": each.seeds})


def _leave_behind(folder: Path, ended: Sequence[int]) -> None:
    """Remove from a copied trial all seeds but those that have ended."""
    for path in folder.glob("seed_*"):
        if path.name.removeprefix("seed_") not in map(str, ended):
            shutil.rmtree(path)
    for name, columns in (("epochs.csv", EPOCH_COLUMNS), ("repeated.csv", REPEATED_COLUMNS)):
        path = folder / name
        if path.is_file():
            table = read_table(path, columns, exact=columns[3:])
            kept = table[table["seed"].isin(ended)]
            if len(kept) < len(table):
                write_text(path, kept.to_csv(index=False))


def priors_of(study: Study) -> tuple[Taken, ...]:
    """The trials that a study has taken over."""
    return tuple(
        _taken(study, number, study.info["objective"]) for number in study.trials() if study.origin(number) is not None
    )


def _is_finished(study: Study, number: int) -> bool:
    end = study.end(number)
    return end is not None and end["state"] in ("complete", "stopped")


def _require_same(study: Study, info: dict[str, Any]) -> None:
    theirs, ours = study.info["data"].get("fingerprint"), info["data"]["fingerprint"]
    if theirs != ours:
        raise UserError(
            f"--warm-start: study {study.name} was run on other data: fingerprint {str(theirs)[:16]}, here {ours[:16]}"
        )
    if study.info.get("splits_sha256") != info["splits_sha256"]:
        raise UserError(
            f"--warm-start: study {study.name} has other folds; give the same --folds, --seed and --protocol as there "
            f"({study.info['folds']}, {study.info['seed']}, {study.info['protocol']})"
        )


def _taken(study: Study, number: int, objective: str) -> Taken:
    recipe, end, score = study.recipe(number), study.end(number), score_name(objective)
    if end is None:
        path = study.trial_folder(number) / "state.json"
        raise MissingFile(f"{path}: is missing, but the trial was taken over; restore the file from a copy")
    check_ended(study, number, study.objective)
    folds = {fold: study.fold(number, recipe.train.seed, fold) for fold in study.folds_done(number, recipe.train.seed)}
    for fold, record in folds.items():
        require_score(record, score, study.fold_file(number, recipe.train.seed, fold))
    origin = study.origin(number) or {
        "study": study.name,
        "study_uid": study.info["study_uid"],
        "trial": f"{number:04d}",
    }
    return Taken(
        prior=Prior(
            recipe=recipe,
            state=end["state"],
            fold_scores={fold: record["scores"][score] for fold, record in folds.items()},
            cost=sum(record["seconds"] for record in folds.values()),
            origin=f"{origin['study_uid']}-{origin['trial']}",
        ),
        folder=study.trial_folder(number),
        origin={key: origin[key] for key in ("study", "study_uid", "trial")},
        seeds=_ended_seeds(study, number, recipe.train.seed),
    )


def _ended_seeds(study: Study, number: int, own: int) -> list[int]:
    """Of an ended trial its own seed, which may have no fold, and those of its repeats that have ended, too."""
    repeats = [
        seed
        for seed in study.seeds(number)
        if study.repeat_failure(number, seed) is not None or len(study.folds_done(number, seed)) == study.info["folds"]
    ]
    return sorted({own, *repeats})
