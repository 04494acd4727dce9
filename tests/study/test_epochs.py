"""Lines of ``epochs.csv`` have checksums; files of earlier versions, without them, still open."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from leukemia.base.errors import UserError
from leukemia.study.epochs import REPEATED_COLUMNS, read_epochs, write_epochs

TABLE = pd.DataFrame({"seed": [0, 0, 1], "fold": [0, 1, 0], "epoch": [1, 1, 2], "seconds": [0.1 + 0.2, 7.25, 1e-7]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_epochs(tmp_path / "repeated.csv", TABLE)
    return tmp_path / "repeated.csv"


def test_epochs_are_read_as_written(path: Path) -> None:
    assert path.read_text().splitlines()[0] == "seed,fold,epoch,seconds,checksum"
    pd.testing.assert_frame_equal(read_epochs(path, REPEATED_COLUMNS), TABLE)
    assert read_epochs(path.with_name("none.csv"), REPEATED_COLUMNS).empty
    write_epochs(path, TABLE[:0])
    assert read_epochs(path, REPEATED_COLUMNS).empty


def test_a_file_without_checksums_is_read(path: Path) -> None:
    path.write_text(TABLE.to_csv(index=False))
    pd.testing.assert_frame_equal(read_epochs(path, REPEATED_COLUMNS), TABLE)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("7.25", "7.26", "line 3"),
        ("0,1,1,", "0,2,1,", "line 3"),
        ("1e-07", "1e-17", "line 4"),
        ("0,0,1,0.30000000000000004", "0,0,1,0.3", "line 2"),
        ("\n0,0,1,", "\n\n0,0,1,", "line 2"),
    ],
)
def test_a_changed_line_is_refused(path: Path, old: str, new: str, line: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=rf"repeated.csv: {line}, or one before it, was changed after it was written"):
        read_epochs(path, REPEATED_COLUMNS)


def test_a_missing_line_is_refused(path: Path) -> None:
    header, first, second, third = path.read_text().splitlines(keepends=True)
    for lines in ([header, second, third], [header, first, third], [header, second, first, third]):
        path.write_text("".join(lines))
        with pytest.raises(UserError, match=r"repeated.csv: line \d, or one before it, was changed"):
            read_epochs(path, REPEATED_COLUMNS)
    path.write_text("".join([header, first, second, third[:-4]]))
    with pytest.raises(UserError, match=r"repeated.csv: the last line was changed"):
        read_epochs(path, REPEATED_COLUMNS)
