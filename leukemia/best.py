"""``best.json``: the winning complete trial, the one file in which the search and the final training meet."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leukemia.config import Recipe
from leukemia.files import read_json, write_json
from leukemia.mistakes import MissingFile, Mistake

SCHEMA = 1
"""Version of the file's shape; raised with every change that an older reader would misread."""


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
    """``raw``: mean over folds of the objective; ``headline``: {value, low, high} over all out-of-fold images."""

    scores: dict[str, dict[str, float | None]]
    """All metrics over the out-of-fold images, each with its interval."""

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
        content: dict[str, Any] = read_json(path)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise Mistake(f"{path}: expected schema {SCHEMA}; it was written by another version of this program")
        names = {item.name for item in dataclasses.fields(cls)}
        if set(content) != names:
            raise Mistake(f"{path}: fields missing or unknown: {', '.join(sorted(set(content) ^ names))}")
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
