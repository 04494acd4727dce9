"""``best.json``: the winning complete trial, the one file in which the search and the final training meet."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leukemia.base.errors import MissingFile, UserError
from leukemia.base.files import Fields, check_fields, read_record, write_json
from leukemia.config.protocol import PROTOCOLS
from leukemia.config.recipe import Recipe
from leukemia.config.results import ALL_OBJECTIVES, COST
from leukemia.scoring.metrics import METRICS, Interval, checked
from leukemia.scoring.selection import Correction
from leukemia.study.folder import Study

FILE = "best.json"
"""Its name in a study folder."""

SCHEMA = 2
"""Version of the file's shape; raised with every change that an older reader would misread."""

INTERVALS = ("pooled", "bootstrap", "leave_fold_out", "headline")
"""Entries of ``score`` that have an interval."""

_TRIAL = re.compile(r"[0-9]{4,9}")
_FIELDS: Fields = {
    "study": str,
    "study_uid": str,
    "trial": str,
    "recipe": dict,
    "objective": str,
    "score": dict,
    "scores": dict,
    "noise": dict,
    "num_complete": int,
    "majority_rate": (int, float),
    "folds": int,
    "folds_done": int,
    "seeds": list,
    "n": int,
    "protocol": str,
    "data": dict,
    "splits_sha256": str,
    "versions": dict,
    "commit": str,
    "hardware": dict,
    "command": str,
}
_DATA: Fields = {"uri": str, "fingerprint": str, "base": (str, type(None)), "subjects_from": (str, type(None))}
_NOISE: Fields = {"winner_vs_start": str, "winner_vs_second": str, "fold_noise": (int, float), "seeds": dict}
"""What ``noise`` may hold, and nothing else."""

_NOISE_NAMES = {"winner_vs_start": "words", "winner_vs_second": "words", "fold_noise": "a number", "seeds": "an object"}

_RANGES = {"num_complete": (1, None), "majority_rate": (0.5, 1), "folds": (2, None), "n": (1, None)}
"""Lowest and highest value; None: no limit."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The winning complete trial of a study."""

    study: str
    study_uid: str
    trial: str
    """Trial id, four digits."""

    recipe: Recipe
    """As run, all defaults filled in."""

    objective: str
    """Name of the score that the search maximized."""

    score: dict[str, Any]
    """``raw``: mean over folds and seeds of the objective. The others are {value, low, high} over all out-of-fold
    images: ``pooled`` as it is, ``bootstrap`` and ``leave_fold_out`` corrected for being the best of several,
    ``headline`` the lower one of these. Trials that were stopped are absent from the corrections. A mean of skewed
    resamples may lie outside of their percentiles, so ``value`` need not lie between ``low`` and ``high``."""

    scores: dict[str, dict[str, float | None]]
    """All metrics over the out-of-fold images, each with its interval."""

    noise: dict[str, Any]
    """What other seeds say: ``winner_vs_start`` and ``winner_vs_second`` in words, ``fold_noise`` as a standard
    deviation, ``seeds`` of each repeated trial."""

    num_complete: int
    """Complete trials that the winner was chosen from."""

    majority_rate: float
    """Accuracy of always answering the more frequent class, 0..1."""

    folds: int
    folds_done: int
    seeds: list[int]
    """Seeds that the winner was run with, its recipe's own first."""

    n: int
    """Number of out-of-fold images."""

    protocol: str
    data: dict[str, str | None]
    """``uri``: where the data were; ``fingerprint``: what they were; ``base`` and ``subjects_from`` as given."""

    splits_sha256: str
    versions: dict[str, str]
    commit: str
    hardware: dict[str, Any]
    command: str
    schema: int = SCHEMA

    def save(self, path: Path) -> None:
        """Write ``best.json``."""
        write_json(path, dataclasses.asdict(self) | {"recipe": self.recipe.flat()})

    @property
    def by_cost(self) -> bool:
        """Whether cost was the second objective, so that the winner need not be the best by score."""
        return self.objective.endswith(f",{COST}")

    @classmethod
    def of(cls, study: Study) -> Best:
        """Read ``best.json`` of a study, and hold it against what else lies there.

        Raises:
            MissingFile: there is none: the study has no complete trial yet.
            UserError: as ``load``; it is another study's; or its trial is not there, or has another recipe.
        """
        path, info = study.folder / FILE, study.info
        best = cls.load(path)
        expected = {name: info[name] for name in ("study_uid", "objective", "protocol", "folds")}
        found = {name: getattr(best, name) for name in expected}
        expected["data.fingerprint"] = info["data"].get("fingerprint")
        found["data.fingerprint"] = best.data["fingerprint"]
        for name, value in expected.items():
            if found[name] != value:
                raise UserError(
                    f"{path}: field {name!r}: expected {_shown(value)} as in study.json, got {_shown(found[name])}: it "
                    "is of another study; restore the file from a copy"
                )
        number = int(best.trial)
        if number not in study.trials():
            raise UserError(f"{path}: field 'trial': the study has no trial {best.trial}; restore the file from a copy")
        if study.recipe(number) != best.recipe:
            raise UserError(
                f"{path}: field 'recipe': it is not that of trial {best.trial} ("
                f"{study.trial_folder(number) / 'recipe.json'}); restore the file from a copy"
            )
        return best

    @classmethod
    def found_in(cls, study: Study) -> Best | None:
        """``Best.of`` a study, or None where there is no ``best.json``."""
        return cls.of(study) if (study.folder / FILE).is_file() else None

    def out_of_fold(self, study: Study) -> pd.DataFrame:
        """The winner's out-of-fold predictions under its first seed, as ``Study.out_of_fold``.

        Raises:
            UserError: some are missing, or one is none.
        """
        number, seed = int(self.trial), self.recipe.train.seed
        folder, seen = study.trial_folder(number) / f"seed_{seed}", study.out_of_fold(number, seed)
        if len(seen) != self.n:
            raise UserError(
                f"{folder}: trial {self.trial} has {len(seen)} predictions of {self.n} images; "
                "restore the folder from a copy"
            )
        try:
            checked(seen["label"], seen["probability_leukemic"])
        except ValueError as error:
            raise UserError(f"{folder}: {error}; restore the folder from a copy") from None
        return seen

    @classmethod
    def load(cls, path: Path) -> Best:
        """Read a ``best.json`` by itself. Whoever knows its study takes ``Best.of``.

        Raises:
            MissingFile: there is none: the study has no complete trial yet.
            UserError: another schema, missing or unknown fields, a value that cannot be, or a trial that did not finish
                all folds.
        """
        if not path.is_file():
            raise MissingFile(f"no {path}: this study has no complete trial; let the search finish (--resume)")
        content = read_record(path, {"schema": int})
        if content["schema"] != SCHEMA:
            raise UserError(f"{path}: expected schema {SCHEMA}; it was written by another version of this program")
        names = {item.name for item in dataclasses.fields(cls)}
        if set(content) != names:
            raise UserError(f"{path}: fields missing or unknown: {', '.join(sorted(set(content) ^ names))}")
        check_fields(content, _FIELDS, path)
        check_fields(content["data"], _DATA, path)
        check_fields(content["score"], {"raw": (int, float), **dict.fromkeys(INTERVALS, dict)}, path)
        check_fields(content["scores"], dict.fromkeys(METRICS, dict), path)
        for interval in [*(content["score"][name] for name in INTERVALS), *content["scores"].values()]:
            check_fields(interval, dict.fromkeys(("value", "low", "high"), (int, float, type(None))), path)
        _check_values(content, path)
        try:
            recipe = Recipe.from_flat(content["recipe"])
        except UserError as mistake:
            raise UserError(f"{path}: {mistake}") from None
        best = cls(**{**content, "recipe": recipe})
        if best.seeds[0] != recipe.train.seed:
            raise _wrong(path, "seeds", f"the recipe's seed {recipe.train.seed} first", best.seeds)
        if best.folds_done != best.folds:
            raise UserError(
                f"{path}: trial {best.trial} finished {best.folds_done} of {best.folds} folds; "
                "only a complete trial can win: finish the search (--resume)"
            )
        return best


def _check_values(content: Mapping[str, Any], path: Path) -> None:
    """Refuse what no search writes; the types of all fields are known already."""
    if not _TRIAL.fullmatch(content["trial"]):
        raise _wrong(path, "trial", "four digits", content["trial"])
    for name, choices in (("objective", ALL_OBJECTIVES), ("protocol", PROTOCOLS)):
        if content[name] not in choices:
            raise _wrong(path, name, f"one of {', '.join(choices)}", content[name])
    for name, (low, high) in _RANGES.items():
        _check_number(path, name, content[name], low, high)
    _check_seeds(path, "seeds", content["seeds"])
    for name, kinds in (("versions", (str,)), ("hardware", (str, int, float, type(None)))):
        for key, value in content[name].items():
            if not isinstance(value, kinds):
                raise _wrong(path, f"{name}.{key}", "words" if name == "versions" else "words or a number", value)
    _check_noise(path, content["noise"])
    _check_number(path, "score.raw", content["score"]["raw"], 0, 1)
    for name in INTERVALS:
        _check_interval(path, f"score.{name}", content["score"][name])
    for name in METRICS:
        _check_interval(path, f"scores.{name}", content["scores"][name])
    pooled, bootstrap, leave_fold_out, headline = (Interval.from_dict(content["score"][name]) for name in INTERVALS)
    lowest = Correction(winner=0, raw=pooled, bootstrap=bootstrap, leave_fold_out=leave_fold_out).headline
    if headline.to_dict() != lowest.to_dict():
        raise _wrong(path, "score.headline", f"{lowest.to_dict()}, the lowest of the others", headline.to_dict())


def _check_noise(path: Path, noise: Mapping[str, Any]) -> None:
    for key, value in noise.items():
        if key not in _NOISE:
            raise _wrong(path, "noise", f"nothing but {', '.join(_NOISE)}", key)
        if not isinstance(value, _NOISE[key]):
            raise _wrong(path, f"noise.{key}", _NOISE_NAMES[key], value)
    if "fold_noise" in noise:
        _check_number(path, "noise.fold_noise", noise["fold_noise"], 0, None)
    for trial, seeds in noise.get("seeds", {}).items():
        if not _TRIAL.fullmatch(trial):
            raise _wrong(path, "noise.seeds", "trials of four digits", trial)
        _check_seeds(path, f"noise.seeds.{trial}", seeds)


def _check_interval(path: Path, name: str, interval: Mapping[str, float | None]) -> None:
    """Each number in 0..1, the ends in order, and none where the value is not defined."""
    for key in ("value", "low", "high"):
        if interval[key] is not None:
            _check_number(path, f"{name}.{key}", interval[key], 0, 1)
    value, low, high = interval["value"], interval["low"], interval["high"]
    if low is not None and high is not None and low > high:
        raise _wrong(path, name, "low at most high", {"low": low, "high": high})
    if value is None and not low is high is None:
        raise _wrong(path, name, "no ends where there is no value", {"low": low, "high": high})


def _check_number(path: Path, name: str, value: Any, low: float, high: float | None) -> None:
    # A mean may exceed its largest term by the last bits. NaN and infinity fail these comparisons, true is no number.
    limit = sys.float_info.max if high is None else high + 1e-9
    if isinstance(value, bool) or not low - 1e-9 <= value <= limit:
        wanted = f"a number of at least {low:g}" if high is None else f"a number in {low:g}..{high:g}"
        raise _wrong(path, name, wanted, value)


def _check_seeds(path: Path, name: str, seeds: Any) -> None:
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise _wrong(path, name, "a list of whole numbers", seeds)


def _wrong(path: Path, name: str, wanted: str, found: Any) -> UserError:
    return UserError(f"{path}: field {name!r}: expected {wanted}, got {_shown(found)}; restore the file from a copy")


def _shown(value: Any) -> str:
    return repr(value)[:80]
