"""Warm start: finished trials of earlier studies on the same data and folds, taken over with all their predictions."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import write_json, write_text
from leukemia.base.record import missing_field, read_record
from leukemia.config.results import score_name
from leukemia.study import layout
from leukemia.study.folder import EPOCH_COLUMNS, REPEATED_COLUMNS, Study
from leukemia.study.records import read_table
from leukemia.study.schema import Origin, StudyInfo, TrialEnd
from search.policy.space import Space
from search.sampling.journal import Prior
from search.trials.evidence import Validation, check_ended, predictions


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A trial that a study begins with."""

    prior: Prior
    folder: Path
    """Of the trial, in the study that ran it."""

    origin: Origin
    """Seeds that had not ended there are run here, from their beginning."""


def take_priors(
    folders: Sequence[Path], info: StudyInfo, space: Space, validation: Validation | None = None
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
        found = [_taken(study, number, info.objective) for number in study.trials() if _is_finished(study, number)]
        # Where this study's objective is undefined in a fold, the trial would have failed here.
        fitting = [each for each in found if each is not None and space.fits(each.prior.recipe)]
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
        for seed in each.origin.seeds:
            # Reading them checks them.
            list(predictions(study, int(each.folder.name), seed, validation))


def copy_priors(taken: Sequence[Taken], folder: Path) -> None:
    """Copy the trials' folders into a study that is about to be made, numbered from 0.

    Seeds that had not ended are left behind, with their epochs: what a study runs is then wholly its own.
    """
    for number, each in enumerate(taken):
        target = folder / layout.trial(number)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(each.folder, target)
        _leave_behind(target, each.origin.seeds)
        if each.prior.state == "complete" and each.prior.fold_scores:
            # That study may have maximized another score.
            score = float(np.mean(list(each.prior.fold_scores.values())))
            end = dataclasses.replace(read_record(TrialEnd, target / layout.STATE), score=score)
            write_json(target / layout.STATE, dataclasses.asdict(end))
        write_json(target / layout.ORIGIN, dataclasses.asdict(each.origin))


def _leave_behind(folder: Path, ended: Sequence[int]) -> None:
    """Remove from a copied trial all seeds but those that have ended."""
    for path in folder.glob(layout.seed("*")):
        if path.name not in map(layout.seed, ended):
            shutil.rmtree(path)
    for name, columns in ((layout.EPOCHS, EPOCH_COLUMNS), (layout.REPEATED, REPEATED_COLUMNS)):
        path = folder / name
        if path.is_file():
            table = read_table(path, columns, exact=columns[3:])
            kept = table[table["seed"].isin(ended)]
            if len(kept) < len(table):
                write_text(path, kept.to_csv(index=False))


def priors_of(study: Study) -> tuple[Taken, ...]:
    """The trials that a study has taken over.

    Raises:
        UserError: one is damaged.
    """
    priors = []
    for number in study.trials():
        if study.origin(number) is None:
            continue
        taken = _taken(study, number, study.info.objective)
        if taken is None:
            raise UserError(
                f"{study.trial_folder(number)}: {study.objective} is undefined in a fold, but the trial was taken "
                "over; restore the folder from a backup"
            )
        priors.append(taken)
    return tuple(priors)


def _is_finished(study: Study, number: int) -> bool:
    end = study.end(number)
    return end is not None and end.state in ("complete", "stopped")


def _require_same(study: Study, info: StudyInfo) -> None:
    theirs, ours = study.info.data.fingerprint, info.data.fingerprint
    if theirs != ours:
        raise UserError(
            f"--warm-start: study {study.name} was run on other data: fingerprint {theirs[:16]}, here {ours[:16]}"
        )
    if study.info.splits_sha256 != info.splits_sha256:
        raise UserError(
            f"--warm-start: study {study.name} has other folds; give the same --folds, --seed and --protocol as there "
            f"({study.info.folds}, {study.info.seed}, {study.info.protocol})"
        )


def _taken(study: Study, number: int, objective: str) -> Taken | None:
    """A finished trial to take over; None if the objective is undefined in one of its folds."""
    recipe, end, name = study.recipe(number), study.end(number), score_name(objective)
    if end is None:
        path = study.trial_folder(number) / layout.STATE
        raise MissingFile(f"{path}: is missing, but the trial was taken over; restore the file from a backup")
    check_ended(study, number, study.objective)
    folds = {fold: study.fold(number, recipe.train.seed, fold) for fold in study.folds_done(number, recipe.train.seed)}
    for fold, record in folds.items():
        if name not in record.scores:
            raise missing_field(study.fold_file(number, recipe.train.seed, fold), f"scores.{name}")
    scores = {fold: score for fold, record in folds.items() if (score := record.scores[name]) is not None}
    if len(scores) < len(folds):
        return None
    here = Origin(study=study.name, study_uid=study.info.study_uid, trial=f"{number:04d}", seeds=[])
    origin = study.origin(number) or here
    return Taken(
        prior=Prior(
            recipe=recipe,
            state=end.state,
            fold_scores=scores,
            cost=sum(record.seconds for record in folds.values()),
            origin=f"{origin.study_uid}-{origin.trial}",
        ),
        folder=study.trial_folder(number),
        origin=dataclasses.replace(origin, seeds=_ended_seeds(study, number, recipe.train.seed)),
    )


def _ended_seeds(study: Study, number: int, own: int) -> list[int]:
    """Of an ended trial its own seed, which may have no fold, and those of its repeats that have ended, too."""
    repeats = [
        seed
        for seed in study.seeds(number)
        if study.repeat_failure(number, seed) is not None or len(study.folds_done(number, seed)) == study.info.folds
    ]
    return sorted({own, *repeats})
