"""A study that goes on: what it began with is checked, and kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.record import missing_field, wrong_value
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.folds import Splits
from leukemia.data.location import locate, uri_of
from leukemia.study import layout
from leukemia.study.folder import Study, check_name
from leukemia.study.schema import StudyInfo
from search.planning.plan import Plan, path_text
from search.planning.request import Request
from search.policy.space import make_space
from search.trials.warmstart import priors_of

FIXED = ("folds", "seed", "preset", "objective", "protocol", "racing", "margin", "warm_start", "settings")
"""Options that a study keeps; the others may change when it is resumed."""


def plan_resumed(request: Request) -> Plan:
    """Plan to go on with a study: data, folds, space and seed are the study's own; more trials may be asked for.

    Raises:
        UserError: an argument, the data or this version's space differ from what the study began with.
    """
    study = study_to_resume(request)
    splits = check_study(study)
    info, given = study.info, request.given
    _refuse_other_arguments(request, info)
    own = [number for number in study.trials() if study.origin(number) is None]
    if "trials" in given and given["trials"] < max(info.trials, len(own)):
        raise UserError(
            f"--trials: study {study.name} has begun {len(own)} of its {info.trials} trials, got {given['trials']}; it "
            "can be raised, or left out to resume"
        )
    # Data may have moved: where they are now is what the winner will remember.
    data = dataclasses.replace(
        info.data,
        uri=info.data.uri if request.data is None else uri_of(request.data),
        base=path_text(request.base) or info.data.base,
        subjects_from=path_text(request.subjects_from) or info.data.subjects_from,
    )
    storage = info.storage if request.storage is None else request.storage_named
    info = dataclasses.replace(info, **given, data=data, storage=storage)
    catalog = read_catalog(locate(data.uri), base=_path(data.base), subjects_from=_path(data.subjects_from))
    if catalog.fingerprint != data.fingerprint:
        raise UserError(
            f"study {study.name} was run on other data: fingerprint {data.fingerprint[:16]}, "
            f"{catalog.root} has {catalog.fingerprint[:16]}; give --data as it was, or start a new study"
        )
    start = Recipe.from_flat(info.start).resolved(catalog.smallest_side_px)
    space = make_space(start, info.settings)
    if space.describe() != info.space:
        raise UserError(
            f"study {study.name} searches another space than this version of the program; resume it with version "
            f"{info.versions['leukemia-search']} (commit {info.commit[:12]}), or start a new study"
        )
    priors = priors_of(study)
    return Plan(folder=study.folder, info=info, catalog=catalog, splits=splits, space=space, priors=priors)


def check_study(study: Study) -> Splits:
    """The split of a study whose ``study.json`` and ``splits.json`` say what is needed to go on.

    Raises:
        UserError: one of them is missing or damaged.
    """
    path, info = study.folder / layout.STUDY, study.info
    if info.absent:
        raise missing_field(path, info.absent[0])
    file = study.folder / layout.SPLITS
    try:
        splits = Splits.load(file, info.data.fingerprint)
    except MissingFile as missing:
        raise MissingFile(f"{missing}; restore it from a backup") from None
    if splits.sha256() != info.splits_sha256:
        raise UserError(f"{file} is not the split that the study began with; restore it from a backup")
    if len(splits.folds) != info.folds:
        raise wrong_value(path, "folds", f"{len(splits.folds)}, as in {layout.SPLITS}", info.folds)
    return splits


def study_to_resume(request: Request) -> Study:
    """The named study of ``--runs``, or the newest.

    Raises:
        MissingFile: no study of that name.
        UserError: no study at all.
    """
    if request.study is not None:
        check_name(request.study)
        return Study.open(request.runs / request.study)
    studies = [Study.open(path.parent) for path in request.runs.glob(f"*/{layout.STUDY}")]
    if not studies:
        raise UserError(
            f"--resume: no study in {request.runs}; start one without --resume, or name the folder with --runs"
        )
    return max(studies, key=lambda study: (study.info.created, study.name))


def _refuse_other_arguments(request: Request, info: StudyInfo) -> None:
    for key in FIXED:
        begun, asked = getattr(info, key), request.given.get(key)
        if asked is None or asked == begun:
            continue
        flag, words = f"--{key.replace('_', '-')}", f"with {begun!r}, got {asked!r}"
        if key == "settings":
            flag = "--set"
        if key == "racing":
            flag, words = "--no-racing", f"{'with' if begun else 'without'} racing"
        raise UserError(f"{flag}: the study was begun {words}; leave it out to resume, or start a new study")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
