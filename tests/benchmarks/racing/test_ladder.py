"""The command that replays searches with and without the ladder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.replay_tables import make_table, write_record

from benchmarks.racing import ladder
from benchmarks.racing.laddering import cell as cells
from benchmarks.racing.laddering import headline, tables
from benchmarks.racing.laddering.cell import FULL, Cell, Effort, run_table
from benchmarks.racing.laddering.generated import Generated
from benchmarks.racing.laddering.long import Long
from benchmarks.racing.laddering.outputs import INTERVALS
from benchmarks.racing.laddering.recorded import Recorded
from benchmarks.racing.laddering.report import figures_of
from benchmarks.racing.laddering.tables import all_tables, quick_tables
from benchmarks.racing.replaying.replays import Pool
from leukemia.base.errors import UserError

TINY = Effort(seeds=4, tuning=(1, 1), studies=2)
RATIOS = {"over_random", "over_before", "over_stock_complete", "oracle_25"}
RESULTS = Path(ladder.__file__).parent / "results"


def test_all_searches_are_replayed_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_record(tmp_path / "record", make_table([0.6, 0.9, 0.8, 0.85, 0.7, 0.88, 0.75, 0.65]))
    few = [
        Long(folder=tmp_path / "absent", workers=(2,)),
        Recorded(folder=folder, workers=(2,), own_workers=2),
        Generated(num_recipes=8, rho=0.5, num_epochs=20, workers=(2, 8)),
    ]
    monkeypatch.setattr(tables, "quick_tables", lambda: few)
    monkeypatch.setattr(cells, "QUICK", TINY)
    monkeypatch.setattr(headline, "NUMBERS_OF_RECIPES", (20,))
    results = tmp_path / "results"
    assert ladder.main(["--quick", "--processes", "1", "--results", str(results), "--json"]) == 0
    out = capsys.readouterr().out
    assert f"long record: skipped, {tmp_path / 'absent'} contains no record of learning curves" in out
    last = json.loads(out.splitlines()[-1])
    assert set(last) == {"tables", "headline_bias"}
    assert set(last["headline_bias"]) == {"20"}
    names = [
        "recorded 40, 4 epochs, 2 workers, random proposals",
        "recorded 40, 4 epochs, 2 workers, own samplers",
        "generated 8, 20 epochs, rho 0.5, 2 workers, random proposals",
        "generated 8, 20 epochs, rho 0.5, 8 workers, random proposals",
    ]
    assert list(last["tables"]) == names
    assert all(set(each) == RATIOS | {"reach", "reach_before"} for each in last["tables"].values())
    written = (results / "ladder_generated.md").read_text()
    assert [line for line in written.splitlines() if line.startswith("## ")] == [f"## {name}" for name in names[2:]]
    assert "| ladder | " in written
    assert written.count("| 16 | ") == 1
    assert set(json.loads((results / INTERVALS).read_text())) == set(names)


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    expected = r"--only: expected a part of the name of a table \(long record; .*, got 'imagenet'"
    with pytest.raises(UserError, match=expected):
        ladder.main(["--only", "imagenet", "--results", str(tmp_path)])
    with pytest.raises(UserError, match="--processes: expected 1 or more, got 0"):
        ladder.main(["--processes", "0"])


def test_tables_have_names_of_their_own_and_quick_ones_are_among_them() -> None:
    every = [each.name for each in all_tables()]
    assert len(set(every)) == len(every)
    assert {each.name for each in quick_tables()} < set(every)
    # A cell with the search's own sampler is tuned beside the one with random proposals.
    assert all(each.own_workers is None or each.own_workers in each.workers for each in all_tables())


@pytest.mark.slow
def test_a_cell_is_as_recorded() -> None:
    """Fewer seeds than recorded, but the same ones."""
    worlds = Generated(num_recipes=24, rho=0.8, num_epochs=30, workers=(4,))
    results = run_table(worlds, replace(FULL, seeds=200), Pool(1))
    figures = figures_of(results[Cell(worlds=worlds, workers=4)])
    recorded = json.loads((RESULTS / INTERVALS).read_text())[Cell(worlds=worlds, workers=4).name]
    for name in RATIOS:
        _, low, high = recorded[name]
        assert low <= figures[name][0] <= high, name
