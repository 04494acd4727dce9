"""Listing folders: what cannot be read is reported, never taken for absent."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from leukemia.base.listing import entries, entries_below, exists


def test_entries_are_sorted_and_absent_folders_empty(tmp_path: Path) -> None:
    for name in ("b", "a", "c/d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "c" / "e").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    assert [path.name for path in entries(tmp_path)] == ["a", "b", "c", "link"]
    assert [str(path.relative_to(tmp_path)) for path in entries_below(tmp_path)] == [
        "a",
        "b",
        "c",
        "c/d",
        "c/e",
        "link",
    ]
    assert entries(tmp_path / "absent") == entries_below(tmp_path / "absent") == []
    assert [exists(tmp_path / name) for name in ("a", "absent", "c/e/below a file")] == [True, False, False]


@pytest.mark.parametrize("action", [entries, entries_below, exists])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, action: object) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert callable(action)
    with pytest.raises(OSError, match="loop") as raised:
        action(tmp_path / "loop")
    assert raised.value.errno == errno.ELOOP
