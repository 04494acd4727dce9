"""``best.json``: the winning complete trial, the one file in which the search and the final training meet."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukemia.config import Recipe
from leukemia.files import Fields, check_fields, read_record, write_json
from leukemia.metrics import METRICS
from leukemia.mistakes import MissingFile, Mistake

SCHEMA = 2
"""Version of the file's shape; raised with every change that an older reader would misread."""

INTERVALS = ("pooled", "bootstrap", "leave_fold_out", "headline")
"""Entries of ``score`` that have an interval."""

_TRIAL = re.compile(r"[0-9]{4,}")
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
    "n": int,
    "protocol": str,
    "data": dict,
    "splits_sha256": str,
}
_DATA: Fields = {"uri": str, "fingerprint": str, "base": (str, type(None)), "subjects_from": (str, type(None))}


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
    ``headline`` the lower one of these. Trials that were stopped are absent from the corrections."""

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

    @classmethod
    def load(cls, path: Path) -> Best:
        """Read ``best.json``.

        Raises:
            MissingFile: there is none: the study has no complete trial yet.
            Mistake: another schema, missing or unknown fields, or a trial that did not finish all folds.
        """
        if not path.is_file():
            raise MissingFile(f"no {path}: this study has no complete trial; let the search finish (--resume)")
        content = read_record(path, {"schema": int})
        if content["schema"] != SCHEMA:
            raise Mistake(f"{path}: expected schema {SCHEMA}; it was written by another version of this program")
        names = {item.name for item in dataclasses.fields(cls)}
        if set(content) != names:
            raise Mistake(f"{path}: fields missing or unknown: {', '.join(sorted(set(content) ^ names))}")
        check_fields(content, _FIELDS, path)
        check_fields(content["data"], _DATA, path)
        check_fields(content["score"], {"raw": (int, float), **dict.fromkeys(INTERVALS, dict)}, path)
        check_fields(content["scores"], dict.fromkeys(METRICS, dict), path)
        for interval in [*(content["score"][name] for name in INTERVALS), *content["scores"].values()]:
            check_fields(interval, dict.fromkeys(("value", "low", "high"), (int, float, type(None))), path)
        if not _TRIAL.fullmatch(content["trial"]):
            raise Mistake(f"{path}: field 'trial' has an unexpected value; restore the file from a copy")
        try:
            recipe = Recipe.from_flat(content["recipe"])
        except Mistake as mistake:
            raise Mistake(f"{path}: {mistake}") from None
        best = cls(**{**content, "recipe": recipe})
        if best.folds_done != best.folds:
            raise Mistake(
                f"{path}: trial {best.trial} finished {best.folds_done} of {best.folds} folds; "
                "only a complete trial can win: finish the search (--resume)"
            )
        return best
