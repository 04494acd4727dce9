"""What a study begins with, and a change to it as by hand."""

from __future__ import annotations

import json
from typing import Any

from leukemia.base.files import write_json
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.study.schema import DataSource, StudyInfo

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
    write_json(path, {**json.loads(path.read_text()), **changes})
    return Study(study.folder)
