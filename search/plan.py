"""What a search is about to do: data, folds, space and study, from the arguments or from the study that goes on."""

from __future__ import annotations

import datetime
import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from leukemia import provenance
from leukemia.catalog import Catalog, read_catalog
from leukemia.config import PRESETS, Recipe, parse_settings
from leukemia.crossval import COST, OBJECTIVES, score_name
from leukemia.device import choose_device, describe_device
from leukemia.files import Fields, check_fields
from leukemia.folds import Protocol, Splits, choose_protocol, make_splits
from leukemia.images import View
from leukemia.mistakes import MissingFile, Mistake
from leukemia.model import build_model
from leukemia.place import locate, uri_of
from leukemia.study import Study, check_name
from search.evidence import validation_of
from search.judge import MARGIN
from search.race import Rules
from search.space import Choice, Space, fixed_start, make_space
from search.warmstart import Taken, priors_of, take_priors

JOURNAL = "optuna.journal"
"""File of a study folder: what Optuna knows. Only a search that has begun writes it."""

WORDS = (
    "amber",
    "azure",
    "basil",
    "cedar",
    "coral",
    "daisy",
    "fern",
    "hazel",
    "ivory",
    "jade",
    "lilac",
    "maple",
    "opal",
)

NO_STORAGE = "none"
"""What ``--storage`` says to resume a study without the storage that it remembers."""

DEFAULTS: dict[str, Any] = {
    "folds": 5,
    "seed": 0,
    "trials": 50,
    "preset": "seed",
    "objective": OBJECTIVES[0],
    "racing": True,
    "margin": 100 * MARGIN,
    "repeats": 2,
    "patience": 25,
}
"""Arguments that a new study takes where none is given; a resumed one takes what it began with."""


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


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments that shape a study; None where not given."""

    data: str | None
    subjects_from: Path | None
    base: Path | None
    study: str | None
    runs: Path
    trials: int | None
    folds: int | None
    preset: str | None
    settings: list[str]
    objective: str | None
    protocol: Protocol | None
    seed: int | None
    racing: bool | None
    margin: float | None
    """In points."""

    repeats: int | None
    patience: int | None
    budget_hours: float | None
    warm_start: list[str] | None
    storage: str | None
    """Address of a storage, or ``NO_STORAGE``."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before the first trial."""

    folder: Path
    info: dict[str, Any]
    """``study.json`` without its schema."""

    catalog: Catalog
    splits: Splits
    space: Space
    priors: tuple[Taken, ...] = ()
    """Trials of earlier studies that this one begins with."""

    @property
    def view(self) -> View:
        """The one view that all trials share."""
        data = self.space.start.data
        assert data.crop_px is not None
        assert data.size_px is not None
        return View(crop_px=data.crop_px, size_px=data.size_px)

    @property
    def num_trials(self) -> int:
        """Trials wanted in all."""
        return int(self.info["trials"])

    @property
    def budget_hours(self) -> float:
        """Device hours after which nothing more begins."""
        return float(self.info.get("budget_hours", math.inf))

    @property
    def rules(self) -> Rules:
        """How trials are raced."""
        info, recipes = self.info, [each.prior.recipe for each in self.priors]
        return Rules(
            num_folds=info["folds"],
            objective=score_name(info["objective"]),
            by_cost=COST in info["objective"].split(","),
            racing=info["racing"],
            repeats=info["repeats"],
            patience=info["patience"],
            margin=info["margin"] / 100,
            num_priors=len(recipes),
            start=recipes.index(self.space.start) if self.space.start in recipes else len(recipes),
        )

    def image_bytes(self) -> int:
        """Size of the decoded images on disk."""
        return len(self.catalog.table) * self.view.size_px**2 * 3

    def checkpoint_bytes(self) -> int:
        """Size of a checkpoint of the largest network in the space: weights and up to five tensors of each."""
        choices = {
            dimension.key: dimension.choices for dimension in self.space.dimensions if isinstance(dimension, Choice)
        }
        model = self.space.start.model
        largest = 0
        for depth in choices.get("model.depth", (model.depth,)):
            for shortcut in choices.get("model.shortcut", (model.shortcut,)):
                with torch.device("meta"):
                    network = build_model(Recipe().with_settings({"model.depth": depth, "model.shortcut": shortcut}))
                largest = max(largest, sum(parameter.numel() for parameter in network.parameters()))
        return 6 * 4 * largest


def new_name() -> str:
    """A study's name by time and a random word."""
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
    return f"{moment}-{secrets.choice(WORDS)}"


def plan_new(request: Request, command: str) -> Plan:
    """Plan a new study; nothing is written yet.

    Raises:
        Mistake: whatever is wrong with the arguments or the data.
    """
    _check_trials(request)
    name = new_name() if request.study is None else request.study
    check_name(name)
    _check_objective(request.objective)
    folder = request.runs / name
    if (folder / "study.json").exists():
        raise Mistake(f"study {name} exists in {request.runs}; go on with --resume, or choose another --study")
    if (folder / JOURNAL).exists():
        raise Mistake(
            f"{folder} holds the trials of a study whose study.json is missing; restore that file from a copy, or "
            "choose another --study"
        )
    chosen = {key: getattr(request, key) if getattr(request, key) is not None else DEFAULTS[key] for key in DEFAULTS}
    settings = _settings(request)
    start = fixed_start(PRESETS[chosen["preset"]](), settings)
    catalog = read_catalog(locate(uri_of(request.data)), base=request.base, subjects_from=request.subjects_from)
    protocol = choose_protocol(catalog, request.protocol)
    splits = make_splits(catalog, chosen["folds"], chosen["seed"], protocol)
    start = start.resolved(catalog.smallest_side_px)
    if start.model.pretrained is not None:
        # Weights that do not fit are refused here, not in every trial.
        build_model(start)
    space = make_space(start, settings)
    info = {
        "study_uid": secrets.token_hex(4),
        "splits_sha256": splits.sha256(),
        "warm_start": request.warm_start or [],
        "created": provenance.now(),
        "command": command,
        **chosen,
        "protocol": protocol,
        "settings": settings,
        "start": start.flat(),
        "space": space.describe(),
        "data": {
            "uri": uri_of(request.data),
            "fingerprint": catalog.fingerprint,
            "base": _text(request.base),
            "subjects_from": _text(request.subjects_from),
        },
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "hardware": provenance.hardware(describe_device(choose_device("auto"))),
        **_storage_of(request),
        **({} if request.budget_hours is None else {"budget_hours": request.budget_hours}),
    }
    earlier = [request.runs / each for each in info["warm_start"]]
    priors = take_priors(earlier, info, space, validation_of(splits, catalog))
    return Plan(folder=folder, info=info, catalog=catalog, splits=splits, space=space, priors=priors)


def _check_objective(objective: str | None) -> None:
    if objective is not None and objective not in [*OBJECTIVES, *(f"{score},{COST}" for score in OBJECTIVES)]:
        raise Mistake(
            f"--objective: expected {', '.join(OBJECTIVES)}, or one of these with the cost, as in "
            f"{OBJECTIVES[0]},{COST}; got {objective!r}"
        )


def plan_resumed(request: Request) -> Plan:
    """Plan to go on with a study: data, folds, space and seed are the study's own; more trials may be asked for.

    Raises:
        Mistake: an argument, the data or this version's space differ from what the study began with.
    """
    _check_trials(request)
    study = study_to_resume(request)
    splits = check_study(study)
    info = study.info
    _refuse_other_arguments(request, info)
    own = [number for number in study.trials() if study.origin(number) is None]
    if request.trials is not None:
        if request.trials < max(info["trials"], len(own)):
            raise Mistake(
                f"--trials: study {study.name} has begun {len(own)} of its {info['trials']} trials, got "
                f"{request.trials}; it can be raised, or left out to resume"
            )
        info["trials"] = request.trials
    for name in ("repeats", "patience", "budget_hours"):
        if getattr(request, name) is not None:
            info[name] = getattr(request, name)
    info |= _storage_of(request)
    if request.storage == NO_STORAGE:
        info.pop("storage", None)
    data = info["data"]
    # Data may have moved: where they lie now is what the winner will remember.
    data["uri"] = data["uri"] if request.data is None else uri_of(request.data)
    data["base"] = _text(request.base) or data["base"]
    data["subjects_from"] = _text(request.subjects_from) or data["subjects_from"]
    catalog = read_catalog(locate(data["uri"]), base=_path(data["base"]), subjects_from=_path(data["subjects_from"]))
    if catalog.fingerprint != data["fingerprint"]:
        raise Mistake(
            f"study {study.name} was run on other data: fingerprint {data['fingerprint'][:16]}, "
            f"{catalog.root} has {catalog.fingerprint[:16]}; give --data as it was, or start a new study"
        )
    start = Recipe.from_flat(info["start"]).resolved(catalog.smallest_side_px)
    space = make_space(start, info["settings"])
    if space.describe() != info["space"]:
        raise Mistake(
            f"study {study.name} searches another space than this version of the program; resume it with version "
            f"{info['versions']['leukemia-search']} (commit {info['commit'][:12]}), or start a new study"
        )
    priors = priors_of(study)
    return Plan(folder=study.folder, info=info, catalog=catalog, splits=splits, space=space, priors=priors)


def check_study(study: Study) -> Splits:
    """The split of a study whose ``study.json`` and ``splits.json`` say what is needed to go on.

    Raises:
        Mistake: one of them is missing or damaged.
    """
    path, info = study.folder / "study.json", study.info
    check_fields(info, RESUMED, path)
    check_fields(info["data"], DATA, path)
    for name in ("margin", "budget_hours"):
        value = info.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise Mistake(
                f"{path}: field '{name}': expected a finite number of at least 0, got {value!r}; restore the file from "
                "a copy"
            )
    try:
        splits = Splits.load(study.folder / "splits.json", info["data"]["fingerprint"])
    except MissingFile as missing:
        raise MissingFile(f"{missing}; restore it from a copy") from None
    if splits.sha256() != info["splits_sha256"]:
        raise Mistake(
            f"{study.folder / 'splits.json'} is not the split that the study began with; restore it from a copy"
        )
    return splits


def _check_trials(request: Request) -> None:
    if request.trials is not None and request.trials < 1:
        raise Mistake(f"--trials: expected at least 1, got {request.trials}")


def _storage_of(request: Request) -> dict[str, str]:
    return {} if request.storage in (None, NO_STORAGE) else {"storage": str(request.storage)}


def study_to_resume(request: Request) -> Study:
    """The named study of ``--runs``, or the newest.

    Raises:
        MissingFile: no study of that name.
        Mistake: no study at all.
    """
    if request.study is not None:
        check_name(request.study)
        return Study.open(request.runs / request.study)
    studies = [Study.open(path.parent) for path in request.runs.glob("*/study.json")]
    if not studies:
        raise Mistake(
            f"--resume: no study in {request.runs}; start one without --resume, or name the folder with --runs"
        )
    return max(studies, key=lambda study: (str(study.info["created"]), study.name))


def _refuse_other_arguments(request: Request, info: dict[str, Any]) -> None:
    fixed = ("folds", "seed", "preset", "objective", "protocol", "racing", "margin", "warm_start")
    given = {key: getattr(request, key) for key in fixed}
    if request.settings:
        given["settings"] = _settings(request)
    for key, value in given.items():
        if value is not None and value != info[key]:
            flag, words = f"--{key.replace('_', '-')}", f"with {info[key]!r}, got {value!r}"
            if key == "settings":
                flag = "--set"
            if key == "racing":
                flag, words = "--no-racing", f"{'with' if info[key] else 'without'} racing"
            raise Mistake(f"{flag}: the study was begun {words}; leave it out to resume, or start a new study")


def _settings(request: Request) -> dict[str, Any]:
    """The fields set; the path of weights is made absolute, since a study may be resumed from another folder."""
    settings = parse_settings(request.settings)
    if settings.get("model.pretrained") is not None:
        settings["model.pretrained"] = str(Path(settings["model.pretrained"]).resolve())
    return settings


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def describe_rules(plan: Plan) -> list[str]:
    """How the search stops trials and repeats the best, in words."""
    info = plan.info
    racing = (
        f"racing: a trial is stopped after a fold when it is worse than the best by more than {info['margin']:g} "
        f"points, with 95 % confidence over all looks"
        if info["racing"]
        else "racing: off, every trial runs all folds unless it is hopeless"
    )
    repeats = f"; starting recipe and leaders get up to {info['repeats']} other seeds" if info["repeats"] else ""
    words = [racing + repeats]
    if plan.priors:
        words.append(f"warm start: {len(plan.priors)} trials of {', '.join(info['warm_start'])}")
    return words
