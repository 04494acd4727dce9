"""The fault benchmarks refuse wrong arguments before anything runs; a search with pausing is killed and completed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import kills
from benchmarks.faults.harness import case
from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.killed_searches import KilledSearches
from leukemia.base.errors import UserError


@pytest.mark.parametrize("count", [-1, 0])
def test_less_than_one_kill_is_refused(count: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--times: expected at least 1, got {count}"):
        kills.main(["--times", str(count), "--runs", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pausing", "--places", "0"], r"--places: expected a divisor of the 4 CPUs, got 0"),
        (["--pausing", "--places", "3"], r"--places: expected a divisor of the 4 CPUs, got 3"),
        (["--pausing", "--places", "8"], r"--places: expected a divisor of the 4 CPUs, got 8"),
        (["--places", "2"], r"--places: expected 1 without --pausing, got 2"),
    ],
)
def test_places_that_the_machine_does_not_have_are_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case, "available_cpus", lambda: 4)
    with pytest.raises(UserError, match=message):
        kills.main([*arguments, "--runs", str(tmp_path / "runs")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds processes in Linux's /proc")
def test_a_search_killed_while_a_trial_goes_on_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    small = Case(trials=3, folds=2, repeats=0, epochs=4, pausing=True)
    searches = KilledSearches(small, tmp_path / "kills", seed=0, moments=["going on after a wait"])
    assert searches.run(["driver"], 1)
    assert searches.tally.summary()["passed"] == 1
