"""The CSV tables of a study: no path is a formula, and no pipe is waited for."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pandas as pd
import pytest

from leukemia.base.errors import UserError
from leukemia.base.spreadsheet import cell_of
from leukemia.study.records import check_images, predictions_csv, read_predictions
from leukemia.study.schema import FoldRecord

NAMES = ["=1+1.png", "+a.png", "-b.png", "@c.png", "\tt.png", "\uff1dfull.png", "d/=e.png", "f.png"]


def predictions(subject: str | None) -> pd.DataFrame:
    """A table of ``NAMES``; without a subject, the group is the image itself."""
    groups = NAMES if subject is None else [subject] * len(NAMES)
    return pd.DataFrame(
        {
            "image_id": NAMES,
            "subject": pd.Series([subject] * len(NAMES), dtype="object"),
            "group": groups,
            "label": [0, 1] * 4,
            "probability_leukemic": 0.5,
        }
    )


@pytest.mark.parametrize("subject", [None, "=7", "./=7"])
def test_paths_are_no_formulas_and_are_matched_when_read(subject: str | None, tmp_path: Path) -> None:
    table, path = predictions(subject), tmp_path / "fold_0.csv"
    text = predictions_csv(table)
    path.write_text(text, encoding="utf-8")
    record = FoldRecord(
        fold=0,
        seed=0,
        n=len(NAMES),
        scores={},
        seconds=1.0,
        device="cpu",
        predictions_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    written = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert written["image_id"].tolist() == [*(f"./{name}" for name in NAMES[:6]), *NAMES[6:]]
    assert written["subject"].tolist() == [subject or ""] * len(NAMES)
    assert written["group"].tolist() == (written["image_id"].tolist() if subject is None else [subject] * len(NAMES))
    found = read_predictions(path, record)
    check_images(path, found, table)
    assert found["image_id"].tolist() == NAMES
    # As an older version wrote it.
    table.to_csv(path, index=False)
    check_images(path, read_predictions(path, dataclasses.replace(record, predictions_sha256="")), table)


def test_the_path_in_the_table_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "=1+1.png").write_text("cell")
    assert (tmp_path / cell_of("=1+1.png")).read_text() == "cell"


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fold_0.csv")
    with pytest.raises(UserError, match=r"fold_0.csv: cannot be read \(.*a pipe, not a file.*\); restore"):
        read_predictions(tmp_path / "fold_0.csv", 1)
