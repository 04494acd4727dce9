"""Names of images and patients: W&B gets row numbers instead, unless the study's option ``wandb_ids`` is set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from leukemia.base.errors import UserError
from leukemia.base.printable import one_line
from leukemia.base.record import RESTORE
from leukemia.study import layout
from leukemia.study.epochs import CHECKSUM, EPOCH_COLUMNS
from leukemia.study.folder import Study
from leukemia.study.records import FOLD_COLUMNS

NAMES = ("image_id", "subject", "group")
"""Columns that contain names."""

_OF_PATIENTS = ("images", "share_called_leukemic", "mean_probability_leukemic", "right")

COLUMNS = frozenset((*FOLD_COLUMNS, "subclass", "predicted", *_OF_PATIENTS, *EPOCH_COLUMNS, CHECKSUM))
"""Columns of the tables of a study and of a model; any other may contain names, too."""

TABLES = ("out_of_fold", "trials")
"""Keys of the tables that a run logs with or without names."""

WITH_NAMES = "with_names"
"""Logged as true beside a table that has names, so that the server can tell."""

NAMING = (layout.SPLITS, layout.REPORT)
"""Files of a study that contain names, or may quote an error message that does."""

PRIVATE = (layout.SEEN, layout.REPORT)
"""Files of a model that tell who its patients are: hashes of patient numbers can be tried one by one, and the page has
names and images."""


def remembered(study: Study, with_names: bool | None) -> Study:
    """The study after ``--wandb-ids`` or ``--no-wandb-ids``, which is stored in ``study.json``; None if not given.

    Call it under the study's lock: the file is read again, since a search may have changed it.
    """
    if with_names is None:
        return study
    current = Study.open(study.folder)
    return current.updated(dataclasses.replace(current.info, wandb_ids=with_names))


def table(study: Study, predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions to send: without names, but with their position (``row``, from 0) in the file that has the names.

    Args:
        predictions: content of ``predictions.csv`` or of ``fold_K.csv``; of several folds, if it has ``fold``.
    """
    if study.info.wandb_ids:
        return predictions
    rows = predictions.groupby("fold").cumcount() if "fold" in predictions else range(len(predictions))
    numbered = predictions.drop(columns=list(NAMES), errors="ignore")
    numbered.insert(0, "row", rows)
    return numbered


def marked(study: Study, values: dict[str, Any]) -> dict[str, Any]:
    """Values to log that contain one of ``TABLES``, with ``WITH_NAMES`` if it has names."""
    return values | {WITH_NAMES: True} if study.info.wandb_ids else values


def reason(study: Study, state: str, text: str) -> str:
    """Why a trial ended, to send: of an error only its type, since its message may contain names."""
    return text if study.info.wandb_ids or state != "failed" else text.partition(":")[0]


def files(study: Study, paths: Iterable[Path]) -> dict[str, Path | str]:
    """Files to send, by their name in the artifact: the path of a file, or the text of predictions without names.

    Args:
        paths: files of the study, and folders, of which all files that a study has are sent, and no others.

    Raises:
        UserError: a table has unknown columns, which may contain names.
    """
    found: dict[str, Path | str] = {}
    for path in paths:
        inside = [each for each in sorted(path.rglob("*")) if each.is_file()] if path.is_dir() else [path]
        for each in inside:
            # A plug-in is its author's; its SHA-256 is in the recipe.
            is_sent = (study.info.wandb_ids or each.name not in PRIVATE) and each.parent.name != layout.PLUGINS
            if not is_sent or not layout.is_study_file(each.relative_to(study.folder).as_posix()):
                continue
            name = each.relative_to(path if path.is_dir() else path.parent).as_posix()
            found[name] = each if study.info.wandb_ids or each.suffix != ".csv" else _without_names(study, each)
    return found


def _without_names(study: Study, path: Path) -> Path | str:
    content = pd.read_csv(path, dtype=str, keep_default_na=False)
    if unknown := [name for name in content.columns if name not in COLUMNS]:
        raise UserError(f"{path}: unknown column {one_line(unknown[0])!r}, which may contain names; {RESTORE}")
    return table(study, content).to_csv(index=False) if set(NAMES) & set(content.columns) else path
