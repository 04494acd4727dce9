"""A benchmark of kills is continued where it was interrupted, and aims at each kind of moment in turn."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.worlds import World
from rich.console import Console

from benchmarks.faults.harness.case import Case
from benchmarks.faults.harness.events import events_of
from benchmarks.faults.harness.killed_searches import KilledSearches
from benchmarks.faults.harness.moments import moments_of
from benchmarks.faults.harness.tally import Outcome
from benchmarks.faults.harness.undisturbed import Undisturbed
from leukemia.data.catalog import Catalog
from leukemia.study.layout import LOG
from search.trials.display import TerminalDisplay
from search.trials.study_log import study_log

CASE = Case(trials=3, folds=2, repeats=0, epochs=4, pausing=True)


def outcome(kind: str, number: int, *problems: str) -> Outcome:
    return Outcome(
        kind=kind, number=number, moment="at a rung", repeated_epochs=0, shared_folds=1, problems=list(problems)
    )


def test_what_an_interrupted_benchmark_has_finished_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[str, int]] = []

    def kill(searches: KilledSearches, undisturbed: Any, kind: str, number: int) -> Outcome:
        if len(killed) == 3:
            raise KeyboardInterrupt
        killed.append((kind, number))
        return outcome(kind, number)

    monkeypatch.setattr(KilledSearches, "_undisturbed", lambda searches: object())
    monkeypatch.setattr(KilledSearches, "_killed", kill)
    with pytest.raises(KeyboardInterrupt):
        KilledSearches(CASE, tmp_path / "kills", seed=0).run(["driver", "ray"], 2)
    assert killed == [("driver", 1), ("driver", 2), ("ray", 1)]
    killed.clear()
    searches = KilledSearches(CASE, tmp_path / "kills", seed=0)
    assert searches.run(["driver", "ray"], 2)
    assert killed == [("ray", 2)]
    searches.tally.add(outcome("trial", 1, "trial 1 differs"))
    assert not searches.run(["driver", "trial"], 1)
    assert killed == [("ray", 2)]


def test_a_moment_is_hit_where_it_occurs_in_an_undisturbed_search(tmp_path: Path, tiny_catalog: Catalog) -> None:
    world = World(tmp_path / "study", tiny_catalog, trials=3, epochs=4, pausing=True)
    console = Console(quiet=True)
    world.listeners.append(TerminalDisplay(console, num_trials=3, num_folds=2, objective="tta_accuracy"))
    with study_log(world.study.folder, console):
        world.run()
    events = events_of(world.study.folder / LOG)
    search: Any = SimpleNamespace(folder=world.study.folder, events=lambda: events)
    undisturbed, moments, hits = Undisturbed(search, CASE), moments_of(events, CASE), set()
    assert undisturbed.moments == moments
    for seed in range(20):
        aim = undisturbed.at("at a rung", random.Random(seed))
        seen = [aim.happened(SimpleNamespace(events=lambda n=n: events[:n])) for n in range(len(events) + 1)]
        hit = seen.index(True) - 1
        assert moments[hit] == "at a rung"
        assert all(seen[hit + 1 :]), "also if the search is looked at later"
        hits.add(hit)
    assert len(hits) > 2
