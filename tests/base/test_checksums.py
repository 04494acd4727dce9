"""Checksums at the end of a file: every changed, missing or additional byte is noticed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.full_disk import full_disk

from leukemia.base import checksums
from leukemia.base.checksums import append_checksums, bind, check, size_with_checksums


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK_BYTES", 64)


@pytest.mark.parametrize("num_bytes", [0, 1, 63, 64, 65, 200])
def test_a_file_with_checksums_is_intact_and_has_the_expected_size(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(num_bytes))
    assert check(path) == "unchecked"
    append_checksums(path)
    assert check(path) == "intact"
    assert path.stat().st_size == size_with_checksums(num_bytes)
    assert path.read_bytes()[:num_bytes] == bytes(num_bytes)


@pytest.mark.parametrize("num_bytes", [1, 64, 200])
def test_a_file_of_another_identity_is_noticed(tmp_path: Path, num_bytes: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(num_bytes))
    append_checksums(path)
    assert check(path, "mine") == "intact", "of an earlier version"
    for identity in ("mine", "other"):
        bind(path, num_bytes, identity)
        assert (check(path, "mine"), check(path, "other"), check(path)) == ("intact", "damaged", "damaged")
    assert path.read_bytes()[:num_bytes] == bytes(num_bytes)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    append_checksums(path)
    whole = path.read_bytes()
    mark = len(whole) - len(checksums._MARK)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        # Without the mark the file looks like one of an earlier version; its content is intact.
        assert check(path) == ("damaged" if place < mark else "unchecked")


@pytest.mark.parametrize("removed", [slice(0, 10), slice(70, 134), slice(-60, -50)])
def test_missing_bytes_are_noticed(tmp_path: Path, removed: slice) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(200))
    append_checksums(path)
    content = bytearray(path.read_bytes())
    del content[removed]
    path.write_bytes(content)
    assert check(path) == "damaged"


def test_readers_of_both_formats_ignore_the_checksums(tmp_path: Path) -> None:
    path, array = tmp_path / "file", np.arange(14_000)
    np.save(path.with_suffix(".npy"), array)
    torch.save({"array": torch.from_numpy(array)}, path)
    for each in (path, path.with_suffix(".npy")):
        append_checksums(each)
        assert each.stat().st_size > array.nbytes + 55_000, "near torch's limit"
    assert np.array_equal(np.load(path.with_suffix(".npy"), mmap_mode="r"), array)
    for source in (path, io.BytesIO(path.read_bytes())):
        assert np.array_equal(torch.load(source, weights_only=True)["array"].numpy(), array)


def test_a_file_that_cannot_be_extended_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with full_disk(20), pytest.raises(OSError, match="File too large"):
        append_checksums(path)
    assert path.read_bytes() == b"content"
