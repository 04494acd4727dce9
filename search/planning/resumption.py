"""Resuming a study: its files and arguments are checked, and its settings kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from leukemia.base.errors import MissingFile, UserError, listed
from leukemia.base.record import missing_field, wrong_value
from leukemia.config.earlier import renamed_since
from leukemia.config.recipe import Recipe
from leukemia.data.catalog import read_catalog
from leukemia.data.folds import Splits
from leukemia.data.location import locate, uri_of
from leukemia.data.reading import OTHER_SUBJECTS
from leukemia.data.survival import viewed
from leukemia.data.view import view_of
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import StudyInfo
from leukemia.study.studies import study_folders
from search.planning.derived import check_seeds
from search.planning.plan import Plan
from search.planning.plugins import check_plugins, require_same_plugins
from search.planning.request import Request
from search.policy.asked import Asked
from search.policy.comparison import as_comparison, comparison_of
from search.policy.dimensions import without_reasons
from search.policy.recipe_list import differences
from search.policy.space import make_space
from search.trials.warmstart import priors_of

FIXED = (
    "recipes",
    "folds",
    "seed",
    "preset",
    "objective",
    "protocol",
    "racing",
    "sampler",
    "starts",
    "margin",
    "warm_start",
    "settings",
    "asked",
)
"""Options that cannot change when a study is resumed; the others may."""

FIXED_BY_PAUSING = ("rungs", "keep")
"""Options that cannot change either, once trials may have waited."""


def plan_resumed(request: Request) -> Plan:
    """Plan to resume a study: data, folds, space and seed are those of the study; ``--trials`` may be raised.

    Raises:
        UserError: an argument, the data, or the space of this version differ from those of the study.
    """
    study = study_to_resume(request)
    splits = check_study(study)
    info = study.info
    # Before settings and fields are read, which may be those of plug-ins.
    require_same_plugins(request.plugins, info.plugins, study.name)
    request = request.with_space(info.preset, info.settings, info.sampler)
    given = {name: value for name, value in request.given.items() if name != "asked"}
    _check_arguments(request, info)
    info.data.require_same_split(request.reading)
    _check_threads(request.cpus_per_trial, info)
    own = [number for number in study.trials() if study.origin(number) is None]
    comparison = comparison_of(info)
    if comparison is not None:
        as_comparison(info, given, info.trials)
    elif "trials" in given and given["trials"] < max(info.trials, len(own)):
        raise UserError(
            f"--trials: study {study.name} has started {len(own)} of its {info.trials} trials, got "
            f"{given['trials']}; raise it, or leave it out to resume"
        )
    # The data may have been moved: the new location is recorded with the winner.
    data = dataclasses.replace(
        info.data,
        uri=info.data.uri if request.data is None else uri_of(request.data),
        **request.reading.given(),
    )
    storage = info.storage if request.storage is None else request.storage_named
    info = dataclasses.replace(info, **given, data=data, storage=storage, paused_before=info.fold_0_chose)
    recipe = Recipe.from_flat(info.start)
    catalog = read_catalog(locate(data.uri), data, recipe=recipe)
    study.info.data.require_same_data(catalog.fingerprint, request.reading)
    if catalog.fingerprint != data.fingerprint:
        raise UserError(
            f"study {study.name} was run on other data: fingerprint {data.fingerprint[:16]}, "
            f"{catalog.root} has {catalog.fingerprint[:16]}; use the original --data, start a new study, or "
            f"{OTHER_SUBJECTS}"
        )
    start = recipe.resolved(catalog.sizes)
    catalog = viewed(catalog, view_of(start))
    info = dataclasses.replace(info, data=dataclasses.replace(data, notes=list(catalog.recorded)))
    splits.check_balance(study.folder / layout.SPLITS, catalog)
    comparison = comparison and comparison.resolved(start)
    if comparison is None:
        space = make_space(start, info.settings, renamed_since(info.start), Asked.from_dict(info.asked))
    else:
        space = comparison.space(info.settings)
    if without_reasons(space.describe()) != without_reasons(info.space) or space.start != start:
        raise UserError(
            f"study {study.name} was started with another search space than that of this version; resume it with "
            f"version {info.versions.get('leukemia-search', 'unknown')} (commit {info.commit[:12]}), or start a new "
            "study"
        )
    check_plugins(request.plugins, space)
    priors = priors_of(study)
    check_seeds(start, info.repeats, priors)
    return Plan(
        folder=study.folder,
        info=info,
        catalog=catalog,
        splits=splits,
        space=space,
        priors=priors,
        recipes=comparison.recipes if comparison else (),
        remarks=request.remarks,
        plugins=request.plugins,
    )


def check_study(study: Study) -> Splits:
    """Check ``study.json`` and ``splits.json`` of a study to resume; returns its splits.

    Raises:
        UserError: a file is missing or damaged.
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
        raise UserError(f"{file} is not the split that the study was started with; restore it from a backup")
    if len(splits.folds) != info.folds:
        raise wrong_value(path, "folds", f"{len(splits.folds)}, as in {layout.SPLITS}", info.folds)
    return splits


def study_to_resume(request: Request) -> Study:
    """The study named by the request, or the newest in ``--runs``.

    Raises:
        MissingFile: there is no study with that name.
        UserError: there is no study.
    """
    if request.study is not None:
        layout.check_name(request.study)
        return Study.open(request.runs / request.study)
    studies = [Study.open(folder) for folder in study_folders(request.runs)]
    if not studies:
        raise UserError(
            f"--resume: no study in {request.runs}; start one without --resume, or give the folder with --runs"
        )
    return max(studies, key=lambda study: (study.info.created, study.name))


def _check_arguments(request: Request, info: StudyInfo) -> None:
    for key in (*FIXED, *(FIXED_BY_PAUSING if info.fold_0_chose else ())):
        original, given = getattr(info, key), request.given.get(key)
        if given is None or given == original:
            continue
        if key == "asked":
            _check_asked(Asked.from_dict(original), Asked.from_dict(given))
            continue
        if key == "recipes":
            raise UserError(
                "--recipes: the study was started with others; leave it out to resume, or start a new study:\n"
                f"{listed(differences(original, given))}"
                if original
                else "--recipes: the study was started without; leave it out to resume, or start a new study"
            )
        flag, difference = f"--{key.replace('_', '-')}", f"with {original!r}, got {given!r}"
        if key == "settings":
            flag = "--set"
        if key == "rungs":
            difference = f"with {_listed(original)}, got {_listed(given)}"
        if key == "racing":
            flag, difference = "--no-racing", f"{'with' if original else 'without'} racing"
        raise UserError(f"{flag}: the study was started {difference}; leave it out to resume, or start a new study")


def _check_asked(original: Asked, given: Asked) -> None:
    if differences := original.differences(given):
        raise UserError(
            "--space, --search: the study was started with another search space; leave them out to resume, or start a "
            f"new study:\n{listed(differences)}"
        )


def _listed(rungs: Sequence[float]) -> str:
    return ",".join(map(str, rungs)) or "none"


def _check_threads(cpus_per_trial: int | None, info: StudyInfo) -> None:
    if cpus_per_trial is None or info.cpu_threads in (None, cpus_per_trial):
        return
    raise UserError(
        f"--cpus-per-trial: the study was started with {info.cpu_threads}, got {cpus_per_trial}, and on a CPU the "
        "number of threads affects the results; leave it out to resume, or start a new study"
    )
