"""The journal tells Optuna the truth and survives a kill; the adapter passes Ray Tune's calls on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from leukemia.config import Recipe
from search.searcher import Journal, TruthfulSearcher, Watch
from search.space import Space, make_space

SPACE = make_space(Recipe().resolved(64), {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "optuna.journal"


def journal_at(path: Path, *, space: Space = SPACE, seed: int = 0) -> Journal:
    return Journal(path, space, seed=seed, name="study")


def frozen(path: Path) -> list[FrozenTrial]:
    """The trials as anyone reads them through Optuna's own interface."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="study", storage=storage).trials


def run(journal: Journal, count: int) -> list[tuple[int, Recipe]]:
    """Ask for trials and complete them, with a score that depends on the recipe."""
    asked = []
    for _ in range(count):
        number, recipe = journal.ask()
        asked.append((number, recipe))
        journal.report(number, 0, recipe.augment.rotate)
        journal.tell(number, "complete", recipe.augment.rotate)
    return asked


def test_trial_0_is_the_starting_recipe_even_outside_of_the_ranges(path: Path) -> None:
    start = Recipe().with_settings({"optimizer.learning_rate": 0.05}).resolved(64)
    assert journal_at(path, space=make_space(start, {})).ask() == (0, start)


def test_numbers_count_up_and_recipes_differ(path: Path) -> None:
    asked = run(journal_at(path), 15)
    assert [number for number, _ in asked] == list(range(15))
    assert len({recipe.to_json() for _, recipe in asked}) == 15


def test_proposals_depend_on_seed_and_number_only(tmp_path: Path) -> None:
    assert run(journal_at(tmp_path / "a"), 13) == run(journal_at(tmp_path / "b"), 13)
    assert run(journal_at(tmp_path / "c"), 3) != run(journal_at(tmp_path / "d", seed=1), 3)


def test_reopening_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    undisturbed = run(journal_at(tmp_path / "a"), 14)
    reopened = [pair for _ in range(14) for pair in run(journal_at(tmp_path / "b"), 1)]
    assert reopened == undisturbed


def test_complete_stopped_and_failed_are_told_as_such(path: Path) -> None:
    journal = journal_at(path)
    for number, state in enumerate(("complete", "stopped", "failed")):
        journal.ask()
        journal.report(number, 0, 0.5)
        journal.report(number, 1, 0.75)
        journal.tell(number, state, 0.625 if state == "complete" else None)  # type: ignore[arg-type]
    complete, stopped, failed = frozen(path)
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 0.625)
    assert (stopped.state, stopped.value) == (TrialState.PRUNED, 0.75), "the last intermediate value stands in"
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert all(trial.intermediate_values == {0: 0.5, 1: 0.75} for trial in (complete, stopped, failed))


def test_a_stopped_trial_never_wins(path: Path) -> None:
    journal = journal_at(path)
    for number, (state, score) in enumerate((("stopped", 0.99), ("complete", 0.6))):
        journal.ask()
        journal.report(number, 0, score)
        journal.tell(number, state, score)  # type: ignore[arg-type]
    assert (
        optuna.load_study(study_name="study", storage=JournalStorage(JournalFileBackend(str(path)))).best_value == 0.6
    )


def test_a_fold_is_reported_once(path: Path) -> None:
    journal = journal_at(path)
    journal.ask()
    journal.report(0, 0, 0.5)
    journal.report(0, 0, 0.9)
    assert frozen(path)[0].intermediate_values == {0: 0.5}


def test_running_trials_are_adopted_with_number_and_recipe(path: Path) -> None:
    journal = journal_at(path)
    run(journal, 2)
    left = [journal.ask(), journal.ask()]
    journal.report(left[0][0], 0, 0.5)
    adopting = journal_at(path)
    assert adopting.adopt() == left
    adopting.report(2, 0, 0.5)
    adopting.report(2, 1, 0.7)
    adopting.tell(2, "complete", 0.6)
    assert frozen(path)[2].intermediate_values == {0: 0.5, 1: 0.7}
    assert adopting.num_trials() == 4
    assert adopting.states()[3] == TrialState.RUNNING
    assert adopting.ask()[0] == 4


@pytest.mark.parametrize("num_before", [0, 12])
def test_a_trial_killed_before_its_first_suggestion_gets_the_recipe_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_before: int
) -> None:
    undisturbed = journal_at(tmp_path / "a")
    run(undisturbed, num_before)
    killed = journal_at(tmp_path / "b")
    run(killed, num_before)

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_propose", die)
        with pytest.raises(KeyboardInterrupt):
            killed.ask()
    assert frozen(tmp_path / "b")[num_before].state == TrialState.RUNNING
    assert journal_at(tmp_path / "b").adopt() == [undisturbed.ask()]


def test_a_journal_killed_before_its_first_trial_still_begins_with_the_start(path: Path) -> None:
    journal_at(path)
    assert [trial.state for trial in frozen(path)] == [TrialState.WAITING]
    again = journal_at(path)
    assert again.num_trials() == 0
    assert again.adopt() == []
    assert again.ask() == (0, SPACE.start)
    assert len(frozen(path)) == 1


def test_a_lock_left_by_a_dead_driver_costs_no_time(path: Path) -> None:
    run(journal_at(path), 1)
    lock = path.with_name(path.name + ".lock")
    lock.symlink_to(path)
    start = time.monotonic()
    run(journal_at(path), 1)
    assert time.monotonic() - start < 5
    assert not lock.is_symlink()


def test_a_line_that_a_crash_tore_is_cut_off(path: Path) -> None:
    run(journal_at(path), 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker')
    assert run(journal_at(path), 1)[0][0] == 2
    assert path.read_bytes().startswith(whole + b"{")
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert [trial.state for trial in frozen(path)] == [TrialState.COMPLETE] * 3


def test_the_journal_is_one_that_the_dashboard_opens(path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    from optuna_dashboard._storage_url import get_storage

    run(journal_at(path), 2)
    storage = get_storage(str(path), storage_class="JournalFileStorage")
    (study,) = storage.get_all_studies()
    assert study.study_name == "study"
    assert len(storage.get_all_trials(study._study_id)) == 2


def test_optuna_prints_nothing(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = journal_at(path)
    run(journal, 12)
    journal.ask()
    journal.tell(12, "failed", None)
    assert capfd.readouterr() == ("", "")


def test_the_searcher_hands_out_and_passes_on() -> None:
    assignments = [{"number": 4}, {"number": 5}, None]
    ends: list[tuple[int, bool]] = []
    searcher = TruthfulSearcher(lambda: assignments.pop(0), lambda *end: ends.append(end))
    assert searcher.suggest("x") == {"number": 4}
    assert searcher.suggest("y") == {"number": 5}
    assert searcher.suggest("z") == searcher.FINISHED
    searcher.on_trial_complete("y", {"anything": 1})
    searcher.on_trial_complete("x", None, error=True)
    assert ends == [(5, False), (4, True)]


def test_a_watched_method_fails_once_and_is_not_called_again() -> None:
    calls: list[int] = []

    def method(number: int) -> int:
        calls.append(number)
        if number == 2:
            raise RuntimeError("disk gone")
        return number

    watch = Watch()
    watched = watch(method)
    assert watched(1) == 1
    for number in (2, 3):
        with pytest.raises(RuntimeError, match="disk gone"):
            watched(number)
    assert calls == [1, 2]
    assert isinstance(watch.error, RuntimeError)
