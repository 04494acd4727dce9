"""A study that goes on: what it began with is checked, and kept."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import Fields, check_fields
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.folds import Splits
from leukemia.data.location import locate, uri_of
from leukemia.study.folder import Study, check_name
from search.planning.plan import Plan, path_text
from search.planning.request import NO_STORAGE, Request
from search.policy.space import make_space
from search.trials.warmstart import priors_of

RESUMED: Fields = {
    "trials": int,
    "preset": str,
    "settings": dict,
    "start": dict,
    "space": dict,
    "splits_sha256": str,
    "racing": bool,
    "margin": (int, float),
    "repeats": int,
    "patience": int,
    "warm_start": list,
}
"""What ``study.json`` holds besides what every reader needs."""

DATA: Fields = {
    "uri": str,
    "fingerprint": str,
    "base": (str, type(None)),
    "subjects_from": (str, type(None)),
}
"""What its field ``data`` holds."""


def plan_resumed(request: Request) -> Plan:
    """Plan to go on with a study: data, folds, space and seed are the study's own; more trials may be asked for.

    Raises:
        UserError: an argument, the data or this version's space differ from what the study began with.
    """
    request.check()
    study = study_to_resume(request)
    splits = check_study(study)
    info = study.info
    _refuse_other_arguments(request, info)
    own = [number for number in study.trials() if study.origin(number) is None]
    if request.trials is not None:
        if request.trials < max(info["trials"], len(own)):
            raise UserError(
                f"--trials: study {study.name} has begun {len(own)} of its {info['trials']} trials, got "
                f"{request.trials}; it can be raised, or left out to resume"
            )
        info["trials"] = request.trials
    for name in ("repeats", "patience", "budget_hours"):
        if getattr(request, name) is not None:
            info[name] = getattr(request, name)
    info |= request.storage_named()
    if request.storage == NO_STORAGE:
        info.pop("storage", None)
    data = info["data"]
    # Data may have moved: where they lie now is what the winner will remember.
    data["uri"] = data["uri"] if request.data is None else uri_of(request.data)
    data["base"] = path_text(request.base) or data["base"]
    data["subjects_from"] = path_text(request.subjects_from) or data["subjects_from"]
    catalog = read_catalog(locate(data["uri"]), base=_path(data["base"]), subjects_from=_path(data["subjects_from"]))
    if catalog.fingerprint != data["fingerprint"]:
        raise UserError(
            f"study {study.name} was run on other data: fingerprint {data['fingerprint'][:16]}, "
            f"{catalog.root} has {catalog.fingerprint[:16]}; give --data as it was, or start a new study"
        )
    start = Recipe.from_flat(info["start"]).resolved(catalog.smallest_side_px)
    space = make_space(start, info["settings"])
    if space.describe() != info["space"]:
        raise UserError(
            f"study {study.name} searches another space than this version of the program; resume it with version "
            f"{info['versions']['leukemia-search']} (commit {info['commit'][:12]}), or start a new study"
        )
    priors = priors_of(study)
    return Plan(folder=study.folder, info=info, catalog=catalog, splits=splits, space=space, priors=priors)


def check_study(study: Study) -> Splits:
    """The split of a study whose ``study.json`` and ``splits.json`` say what is needed to go on.

    Raises:
        UserError: one of them is missing or damaged.
    """
    path, info = study.folder / "study.json", study.info
    check_fields(info, RESUMED, path)
    check_fields(info["data"], DATA, path)
    for name in ("margin", "budget_hours"):
        value = info.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise UserError(
                f"{path}: field '{name}': expected a finite number of at least 0, got {value!r}; restore the file from "
                "a copy"
            )
    for name, least in (("trials", 1), ("repeats", 0), ("patience", 1)):
        if type(info[name]) is not int or info[name] < least:
            raise UserError(
                f"{path}: field {name!r}: expected a whole number from {least} on, got {repr(info[name])[:60]}; "
                "restore the file from a copy"
            )
    try:
        splits = Splits.load(study.folder / "splits.json", info["data"]["fingerprint"])
    except MissingFile as missing:
        raise MissingFile(f"{missing}; restore it from a copy") from None
    if splits.sha256() != info["splits_sha256"]:
        raise UserError(
            f"{study.folder / 'splits.json'} is not the split that the study began with; restore it from a copy"
        )
    if len(splits.folds) != info["folds"]:
        raise UserError(
            f"{path}: field 'folds': expected {len(splits.folds)}, as in splits.json, got {repr(info['folds'])[:60]}; "
            "restore the file from a copy"
        )
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
    studies = [Study.open(path.parent) for path in request.runs.glob("*/study.json")]
    if not studies:
        raise UserError(
            f"--resume: no study in {request.runs}; start one without --resume, or name the folder with --runs"
        )
    return max(studies, key=lambda study: (str(study.info["created"]), study.name))


def _refuse_other_arguments(request: Request, info: dict[str, Any]) -> None:
    fixed = ("folds", "seed", "preset", "objective", "protocol", "racing", "margin", "warm_start")
    given = {key: getattr(request, key) for key in fixed}
    if request.settings:
        given["settings"] = request.fields_set()
    for key, value in given.items():
        if value is not None and value != info[key]:
            flag, words = f"--{key.replace('_', '-')}", f"with {info[key]!r}, got {value!r}"
            if key == "settings":
                flag = "--set"
            if key == "racing":
                flag, words = "--no-racing", f"{'with' if info[key] else 'without'} racing"
            raise UserError(f"{flag}: the study was begun {words}; leave it out to resume, or start a new study")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
