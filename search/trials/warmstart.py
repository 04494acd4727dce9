"""Warm start: reuse finished trials of earlier studies on the same data and folds, with their predictions."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.listing import entries_below
from leukemia.base.record import missing_field, read_content
from leukemia.config.fields import FIELDS
from leukemia.config.results import score_name
from leukemia.study import layout
from leukemia.study.epochs import EPOCH_COLUMNS, REPEATED_COLUMNS, read_epochs, write_epochs
from leukemia.study.folder import Study
from leukemia.study.schema import Origin, StudyInfo
from leukemia.study.verification import check_trial
from search.policy.space import Space
from search.sampling.journal import Prior
from search.trials.evidence import Validation, predictions


@dataclass(frozen=True, kw_only=True)
class ReusedTrial:
    """A finished trial of an earlier study that a new study starts with."""

    prior: Prior
    study: Study
    """The earlier study."""

    number: int
    """Of the trial in it."""

    origin: Origin
    """Seeds that had not ended there are run from scratch in the new study."""


def find_priors(
    folders: Sequence[Path], info: StudyInfo, space: Space, validation: Validation | None = None
) -> tuple[ReusedTrial, ...]:
    """The trials to reuse from earlier studies, one per recipe, in the order given; nothing is written.

    Because their predictions are reused, they can lead and win, and later trials are compared with them.

    Args:
        folders: folders of the earlier studies.
        info: ``study.json`` of the new one.
        validation: validation images of the new study's folds; None to skip checking the predictions.

    Raises:
        UserError: data or folds differ, a study has no trial that fits the space, or a trial is damaged.
    """
    reused: list[ReusedTrial] = []
    for folder in folders:
        study = Study.open(folder)
        _require_same(study, info)
        found = [_reused(study, number, info.objective) for number in study.trials() if _is_finished(study, number)]
        # A trial whose objective is undefined in a fold would have failed in this study.
        fitting = [each for each in found if each is not None and space.fits(each.prior.recipe)]
        if validation is not None:
            _check_predictions(study, fitting, validation)
        if not found:
            raise UserError(
                f"--warm-start: study {study.name} has no finished trial yet; resume it first (--resume --study "
                f"{study.name}), or leave it out"
            )
        if not fitting:
            others = [space.outside(each.prior.recipe) for each in found if each is not None]
            # Also a default that an earlier version of this project chose otherwise.
            fewest = min(filter(None, others), key=len, default={})
            settings = " ".join(
                f"--set {key}={value if isinstance(value, str) else json.dumps(value)}"
                for key, value in sorted(fewest.items())
                # Others are those of plug-ins.
                if key in FIELDS
            )
            raise UserError(
                f"--warm-start: none of the {len(found)} finished trials of study {study.name} fits this space; give "
                "both searches the same --preset and --set, and spaces that overlap"
                f"{settings and f'; one of these trials fits with {settings}'}"
            )
        for each in fitting:
            if all(each.prior.recipe != other.prior.recipe for other in reused):
                reused.append(each)
    return tuple(reused)


def _check_predictions(study: Study, reused: Sequence[ReusedTrial], validation: Validation) -> None:
    for each in reused:
        for seed in each.origin.seeds:
            # Reading the predictions checks them.
            list(predictions(study, each.number, seed, validation))


def copy_priors(reused: Sequence[ReusedTrial], study: Study) -> None:
    """Copy the trials into a new study, numbered from 0. The copies are writable even if the earlier study is not.

    Seeds that had not ended, and their epochs, are not copied, so that the new study runs them completely.
    """
    for number, each in enumerate(reused):
        folder, target = each.study.trial_folder(each.number), study.trial_folder(number)
        ended = [layout.seed(seed) for seed in each.origin.seeds]
        for path in entries_below(folder):
            name = path.relative_to(folder)
            is_ended = len(name.parts) == 1 or name.parts[0] in ended
            if is_ended and path.is_file() and layout.is_study_file(f"{layout.trial(number)}/{name.as_posix()}"):
                _copy_file(each, path, study, target / name)
        study.write(target / layout.ORIGIN, dataclasses.asdict(each.origin))


def _copy_file(reused: ReusedTrial, path: Path, study: Study, copy: Path) -> None:
    """Copy a file, bound to its new place."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    earlier = reused.study.place_of(path)
    tables = {layout.EPOCHS: EPOCH_COLUMNS, layout.REPEATED: REPEATED_COLUMNS}
    if path.suffix == ".json":
        content = read_content(path, earlier)
        if path.name == layout.STATE and reused.prior.state == "complete" and reused.prior.fold_scores:
            # The earlier study may have maximized another score.
            content["score"] = float(np.mean(list(reused.prior.fold_scores.values())))
        study.write(copy, content)
    elif path.name in tables:
        table = read_epochs(path, tables[path.name], earlier)
        write_epochs(copy, table[table["seed"].isin(reused.origin.seeds)], study.place_of(copy))
    else:
        shutil.copyfile(path, copy)


def priors_of(study: Study) -> tuple[ReusedTrial, ...]:
    """The reused trials of a study.

    Raises:
        UserError: a trial is damaged.
    """
    priors = []
    for number in study.trials():
        if study.origin(number) is None:
            continue
        reused = _reused(study, number, study.info.objective)
        if reused is None:
            raise UserError(
                f"{study.trial_folder(number)}: {study.objective} is undefined in a fold, but the trial is "
                "reused from an earlier study; restore the folder from a backup"
            )
        priors.append(reused)
    return tuple(priors)


def _is_finished(study: Study, number: int) -> bool:
    end = study.end(number)
    return end is not None and end.state in ("complete", "stopped")


def _require_same(study: Study, info: StudyInfo) -> None:
    earlier, new = study.info.data.fingerprint, info.data.fingerprint
    if earlier != new:
        raise UserError(
            f"--warm-start: study {study.name} was run on other data: fingerprint {earlier[:16]}, here {new[:16]}"
        )
    if study.info.splits_sha256 != info.splits_sha256:
        raise UserError(
            f"--warm-start: study {study.name} has other folds; use its --folds, --seed and --protocol "
            f"({study.info.folds}, {study.info.seed}, {study.info.protocol})"
        )


def _reused(study: Study, number: int, objective: str) -> ReusedTrial | None:
    """A finished trial to reuse; None if the objective is undefined in one of its folds."""
    recipe, end, name = study.recipe(number), study.end(number), score_name(objective)
    if end is None:
        path = study.trial_folder(number) / layout.STATE
        raise MissingFile(
            f"{path}: is missing, but the trial is reused from an earlier study; restore the file from a backup"
        )
    check_trial(study, number)
    folds = {fold: study.fold(number, recipe.train.seed, fold) for fold in study.folds_done(number, recipe.train.seed)}
    for fold, record in folds.items():
        if name not in record.scores:
            raise missing_field(study.fold_file(number, recipe.train.seed, fold), f"scores.{name}")
    scores = {fold: score for fold, record in folds.items() if (score := record.scores[name]) is not None}
    if len(scores) < len(folds):
        return None
    here = Origin(study=study.name, study_uid=study.info.study_uid, trial=f"{number:04d}", seeds=[])
    origin = study.origin(number) or here
    return ReusedTrial(
        prior=Prior(
            recipe=recipe,
            state=end.state,
            fold_scores=scores,
            cost=sum(record.seconds for record in folds.values()),
            origin=f"{origin.study_uid}-{origin.trial}",
        ),
        study=study,
        number=number,
        origin=dataclasses.replace(origin, seeds=_ended_seeds(study, number, recipe.train.seed)),
    )


def _ended_seeds(study: Study, number: int, own: int) -> list[int]:
    """The seeds of an ended trial that have ended: its own, even without a fold, and those of finished repeats."""
    repeats = [
        seed
        for seed in study.seeds(number)
        if study.repeat_failure(number, seed) is not None or len(study.folds_done(number, seed)) == study.info.folds
    ]
    return sorted({own, *repeats})
