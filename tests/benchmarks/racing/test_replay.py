"""The commands that replay searches and record tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.replay_tables import write_record

from benchmarks.racing import record, reduce, replay
from benchmarks.racing.replaying.entrants import ORACLE_IN_SIGHT, Entrant, fixed_entrants
from benchmarks.racing.replaying.figure import COLORS
from benchmarks.racing.replaying.strategies import Stock
from benchmarks.racing.replaying.table import Table
from leukemia.base.errors import UserError


@pytest.mark.parametrize(("arguments", "label"), [([], "recorded"), (["--recipes", "12"], "resampled")])
def test_all_searches_are_replayed_and_reported(
    arguments: list[str],
    label: str,
    recorded: Table,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.racing.replaying.replays.NUM_TABLES", 1)
    monkeypatch.setattr("benchmarks.racing.replay.tuned_entrants", few_entrants)
    monkeypatch.setattr(
        "benchmarks.racing.replay.fixed_entrants",
        lambda num_seeds: [each for each in fixed_entrants(num_seeds) if each.name in {*COLORS, ORACLE_IN_SIGHT}],
    )
    folder, results = write_record(tmp_path / "record", recorded), tmp_path / "results"
    shared = ["--table", str(folder), "--results", str(results), "--seeds", "2", "--processes", "1", "--json"]
    assert replay.main([*shared, *arguments]) == 0
    out = capsys.readouterr().out
    last = json.loads(out.splitlines()[-1])
    assert last["table"] == label
    assert last["resampled"] == (label == "resampled")
    assert last["recipes"] == (12 if label == "resampled" else 8)
    assert last["seeds"] == 2
    assert {"cost_ratio_vs_stock", "cost_ratio_vs_random"} < last.keys()
    assert {"random", "stock, tuned for best", "ours"} < last["reached"].keys()
    assert f"a {label} table" in out
    assert f"a {label} table" in (results / f"replay_{label}.md").read_text()
    assert (results / f"replay_{label}.png").stat().st_size > 10_000


def few_entrants(num_folds: int, num_epochs: int) -> dict[str, list[Entrant]]:
    stock = Stock(layout="lock step", grace=1, maximum=num_epochs, factor=3, pick="last reported")
    return {
        "stock": [Entrant(name="stock", stock=stock)],
        "wilcoxon": [Entrant(name="wilcoxon", rule="signed ranks", threshold=0.2)],
        "bbcd": [Entrant(name="bbcd", rule="dropping", threshold=0.99)],
    }


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (replay, ["--table", "PLACE"], "expected a recorded table, but found no curves"),
        (replay, ["--table", "PLACE", "--seeds", "0"], "--seeds: expected 1 or more, got 0"),
        (replay, ["--table", "PLACE", "--recipes", "1"], "--recipes: expected 2 or more, got 1"),
        (record, ["sample", "PLACE/record", "--workers", "0"], "--workers: expected 1 or more, got 0"),
        (reduce, ["PLACE", "PLACE/small"], "expected a recorded table, but found no curves"),
    ],
)
def test_wrong_arguments_are_refused(command: Any, arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises((UserError, FileNotFoundError), match=message):
        command.main([argument.replace("PLACE", str(tmp_path)) for argument in arguments])
    assert list(tmp_path.iterdir()) == []
