"""The journal file: the same bytes as Optuna's, synced to disk once per batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from leukemia.config.recipe import Recipe
from search.policy.space import make_space
from search.sampling.journal import Journal
from search.sampling.journal_file import JournalFile

RECORDS: list[dict[str, Any]] = [{"op_code": 4, "worker_id": "a", "value": value} for value in (0.5, None, "é")]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Size of the file at each fsync."""
    sizes: list[int] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    return sizes


def test_records_are_written_exactly_as_by_optuna(tmp_path: Path) -> None:
    batched, stock = JournalFile(tmp_path / "batched"), JournalFileBackend(str(tmp_path / "stock"))
    for backend in (batched, stock):
        backend.append_logs(RECORDS[:2])
        backend.append_logs(RECORDS[2:])
    assert (tmp_path / "batched").read_bytes() == (tmp_path / "stock").read_bytes()
    assert list(batched.read_logs(1)) == RECORDS[1:]
    assert not list(tmp_path.glob("*.lock*"))


def test_a_single_record_is_synced_immediately(tmp_path: Path, synced: list[int]) -> None:
    file = JournalFile(tmp_path / "journal")
    for number in (1, 2):
        file.append_logs(RECORDS[:1])
        assert len(synced) == number
        assert synced[-1] == (tmp_path / "journal").stat().st_size


def test_a_batch_is_readable_immediately_and_synced_at_the_end(tmp_path: Path, synced: list[int]) -> None:
    path = tmp_path / "journal"
    file = JournalFile(path)
    with file.batch():
        for number, record in enumerate(RECORDS, 1):
            file.append_logs([record])
            assert len(list(JournalFileBackend(str(path)).read_logs(0))) == number, "a killed process loses no records"
        assert synced == []
    assert synced == [path.stat().st_size]


def test_records_before_an_error_are_synced(tmp_path: Path, synced: list[int]) -> None:
    file = JournalFile(tmp_path / "journal")

    def write_and_fail() -> None:
        with file.batch():
            file.append_logs(RECORDS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert synced == [(tmp_path / "journal").stat().st_size]
    file.append_logs(RECORDS)
    assert len(synced) == 2, "later records are synced again"


def test_a_proposal_is_synced_once(tmp_path: Path, synced: list[int]) -> None:
    path = tmp_path / "optuna.journal"
    journal = Journal(path, make_space(Recipe().resolved([(64, 64)]), {}), seed=0, name="study")
    for number in range(12):
        synced.clear()
        journal.ask()
        assert synced == [path.stat().st_size]
        journal.report(number, 0, 0.5)
        journal.tell(number, "complete", 0.5, 1.0)


def test_only_locks_of_optuna_are_removed(tmp_path: Path) -> None:
    stale = [tmp_path / f"journal.lock{end}" for end in ("", "0a1b.rename")]
    foreign = [tmp_path / f"journal.{name}" for name in ("locked.txt", "lock.bak", "rename")]
    for path in (*stale, *foreign):
        path.write_text("mine")
    JournalFile(tmp_path / "journal")
    assert [path for path in (*stale, *foreign) if path.exists()] == foreign
