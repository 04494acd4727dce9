"""Recorded tables: read as written, split by seed, refused if incomplete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.replay_tables import make_table, write_record

from benchmarks.racing.replaying.table import Table, read_table, reduce_table, views_by_seed
from leukemia.base.errors import UserError


def test_a_view_holds_nothing_of_the_other_seed() -> None:
    seen = make_table([0.7, 0.9])
    first, second = views_by_seed(seen)
    np.testing.assert_array_equal(first.seen.probabilities, seen.probabilities[:1])
    np.testing.assert_allclose(first.truth, seen.scores[1].mean(axis=1))
    np.testing.assert_array_equal(second.seen.seconds, seen.seconds[1:])
    np.testing.assert_allclose(second.truth, seen.scores[0].mean(axis=1))


def test_a_record_is_read_as_written_and_reduced(recorded: Table, tmp_path: Path) -> None:
    folder = write_record(tmp_path / "record", recorded)
    reduce_table(folder, tmp_path / "small", even=False)
    for path in (folder, tmp_path / "small"):
        seen = read_table(path)
        np.testing.assert_array_equal(seen.probabilities, recorded.probabilities)
        np.testing.assert_allclose(seen.accuracy, recorded.accuracy, atol=1e-7)
        np.testing.assert_array_equal(seen.folds, recorded.folds)
        assert seen.recipes == recorded.recipes


def test_a_missing_or_incomplete_table_is_refused(recorded: Table, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a recorded table, but found no curves\.parquet, "):
        read_table(tmp_path)
    folder = write_record(tmp_path / "record", recorded)
    curves = pd.read_parquet(folder / "curves.parquet")
    curves.iloc[:-1].to_parquet(folder / "curves.parquet")
    with pytest.raises(UserError, match="expected every epoch"):
        read_table(folder)
    with pytest.raises(UserError, match="a table with one seed"):
        views_by_seed(recorded.of_seed(0))
