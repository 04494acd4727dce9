"""What a study begins with, changes to it as by hand, and its files as earlier versions wrote them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from leukemia.base.files import write_json
from leukemia.base.record import write_record
from leukemia.scoring.metrics import point_scores
from leukemia.study import layout
from leukemia.study.data_source import DataSource
from leukemia.study.epochs import EPOCH_COLUMNS, read_epochs, write_epochs
from leukemia.study.folder import Study
from leukemia.study.schema import StudyInfo

SOURCE = DataSource(uri="cells", fingerprint="f" * 64)


def info_of(**changes: Any) -> StudyInfo:
    """``study.json`` of two folds."""
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "study_uid": "abcd1234",
        "command": "python -m search.run",
        "folds": 2,
        "data": SOURCE,
        "versions": {},
        "commit": "unknown",
    }
    return StudyInfo(**{**values, **changes})


def change_info(study: Study, **changes: Any) -> Study:
    """Overwrite fields of ``study.json``, whatever they may hold; returns the study as another process opens it."""
    path = study.folder / layout.STUDY
    write_record(path, {**json.loads(path.read_text()), **changes})
    return Study(study.folder)


def tta_scores(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """The scores of a fold's predictions."""
    return {f"tta_{name}": value for name, value in point_scores(labels, probabilities).items()}


def without_checksums(folder: Path) -> Path:
    """Rewrite all files of a folder as earlier versions wrote them; returns the folder."""
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        write_json(path, {key: each for key, each in content.items() if key not in ("sha256", "predictions_sha256")})
    for path in folder.rglob("*.csv"):
        lines = path.read_text().splitlines()
        if lines[0].endswith(",checksum"):
            path.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in lines))
    return folder


def with_checksums(folder: Path) -> Path:
    """Rewrite all files of a study of an earlier version as this one writes them; returns the study's folder."""
    study = Study(folder)
    for path in folder.glob("trials/*/epochs.csv"):
        write_epochs(path, read_epochs(path, EPOCH_COLUMNS), study.place_of(path))
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        predictions = path.with_suffix(".csv")
        if predictions.is_file():
            content["predictions_sha256"] = hashlib.sha256(predictions.read_bytes()).hexdigest()
        write_record(path, content, study.place_of(path) if "trials" in path.parts else "")
    return folder
