"""The journal records true states and survives a kill; the searcher forwards Ray Tune's calls to the driver."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, _file
from optuna.trial import FrozenTrial, TrialState

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.study.job import Job
from search.cluster.searcher import DriverSearcher, Watch
from search.cluster.tune_config import Placement, config_of
from search.policy.space import Space, make_space
from search.policy.task import Task
from search.sampling import importance
from search.sampling.entry import STATES
from search.sampling.journal import Journal, Prior
from search.trials.assignment import Assignment

SPACE = make_space(Recipe().resolved([(64, 64)]), {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "optuna.journal"


def journal_at(path: Path, *, space: Space = SPACE, seed: int = 0, **settings: Any) -> Journal:
    return Journal(path, space, seed=seed, name="study", **settings)


def frozen(path: Path) -> list[FrozenTrial]:
    """The trials as read through Optuna's own interface."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="study", storage=storage).trials


def run(journal: Journal, count: int) -> list[tuple[int, Recipe]]:
    """Start trials and complete them with a score that depends on the recipe."""
    asked = []
    for _ in range(count):
        number, recipe = journal.ask()
        asked.append((number, recipe))
        journal.report(number, 0, recipe.augment.rotate)
        journal.tell(number, "complete", recipe.augment.rotate, 10.0)
    return asked


def test_trial_0_is_the_starting_recipe_even_outside_the_ranges(path: Path) -> None:
    start = Recipe().with_settings({"optimizer.learning_rate": 0.05}).resolved([(64, 64)])
    assert journal_at(path, space=make_space(start, {})).ask() == (0, start)


def test_numbers_count_up_and_recipes_differ(path: Path) -> None:
    asked = run(journal_at(path), 15)
    assert [number for number, _ in asked] == list(range(15))
    assert len({recipe.to_json() for _, recipe in asked}) == 15


def test_proposals_depend_on_seed_and_number_only(tmp_path: Path) -> None:
    assert run(journal_at(tmp_path / "a"), 13) == run(journal_at(tmp_path / "b"), 13)
    assert run(journal_at(tmp_path / "c"), 3) != run(journal_at(tmp_path / "d", seed=1), 3)


def test_a_reopened_journal_makes_the_same_proposals(tmp_path: Path) -> None:
    undisturbed = run(journal_at(tmp_path / "a"), 14)
    reopened = [pair for _ in range(14) for pair in run(journal_at(tmp_path / "b"), 1)]
    assert reopened == undisturbed


def test_complete_stopped_and_failed_trials_are_recorded(path: Path) -> None:
    journal = journal_at(path)
    for number, state in enumerate(("complete", "stopped", "failed")):
        journal.ask()
        journal.report(number, 0, 0.5)
        journal.report(number, 1, 0.75)
        journal.tell(number, state, 0.625 if state == "complete" else None, 10.0)  # type: ignore[arg-type]
    complete, stopped, failed = frozen(path)
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 0.625)
    assert (stopped.state, stopped.value) == (TrialState.PRUNED, 0.75), "the last intermediate value is used"
    assert (failed.state, failed.value) == (TrialState.FAIL, None)
    assert all(trial.intermediate_values == {0: 0.5, 1: 0.75} for trial in (complete, stopped, failed))


def test_a_stopped_trial_never_wins(path: Path) -> None:
    journal = journal_at(path)
    for number, (state, score) in enumerate((("stopped", 0.99), ("complete", 0.6))):
        journal.ask()
        journal.report(number, 0, score)
        journal.tell(number, state, score, 10.0)  # type: ignore[arg-type]
    assert (
        optuna.load_study(study_name="study", storage=JournalStorage(JournalFileBackend(str(path)))).best_value == 0.6
    )


def test_a_fold_is_reported_once(path: Path) -> None:
    journal = journal_at(path)
    journal.ask()
    journal.report(0, 0, 0.5)
    journal.report(0, 0, 0.9)
    assert frozen(path)[0].intermediate_values == {0: 0.5}


def test_running_trials_are_adopted_with_their_number_and_recipe(path: Path) -> None:
    journal = journal_at(path)
    run(journal, 2)
    running = [journal.ask(), journal.ask()]
    journal.report(running[0][0], 0, 0.5)
    adopting = journal_at(path)
    assert adopting.adopt() == running
    adopting.report(2, 0, 0.5)
    adopting.report(2, 1, 0.7)
    adopting.tell(2, "complete", 0.6, 10.0)
    assert frozen(path)[2].intermediate_values == {0: 0.5, 1: 0.7}
    assert adopting.num_trials() == 4
    assert adopting.states()[3] == TrialState.RUNNING
    assert adopting.ask()[0] == 4


@pytest.mark.parametrize("num_before", [0, 12])
def test_a_trial_killed_before_its_first_suggestion_gets_the_same_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_before: int
) -> None:
    undisturbed = journal_at(tmp_path / "a")
    run(undisturbed, num_before)
    killed = journal_at(tmp_path / "b")
    run(killed, num_before)

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_propose", interrupt)
        with pytest.raises(KeyboardInterrupt):
            killed.ask()
    assert frozen(tmp_path / "b")[num_before].state == TrialState.RUNNING
    assert journal_at(tmp_path / "b").adopt() == [undisturbed.ask()]


def test_a_journal_killed_before_its_first_trial_starts_with_the_starting_recipe(path: Path) -> None:
    journal_at(path)
    assert [trial.state for trial in frozen(path)] == [TrialState.WAITING]
    again = journal_at(path)
    assert again.num_trials() == 0
    assert again.adopt() == []
    assert again.ask() == (0, SPACE.start)
    assert len(frozen(path)) == 1


def test_a_stale_lock_of_a_crashed_driver_is_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(journal_at(path), 1)
    lock = path.with_name(path.name + ".lock")
    lock.symlink_to(path)
    # Optuna would sleep between attempts, and take over the lock after half a minute.
    monkeypatch.setattr(_file, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pytest.fail("waits")))
    run(journal_at(path), 1)
    assert not lock.is_symlink()


def test_a_partial_last_line_is_removed(path: Path) -> None:
    run(journal_at(path), 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"worker')
    assert run(journal_at(path), 1)[0][0] == 2
    assert path.read_bytes().startswith(whole + b"{")
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert [trial.state for trial in frozen(path)] == [TrialState.COMPLETE] * 3


def test_the_dashboard_can_open_the_journal(path: Path) -> None:
    pytest.importorskip("optuna_dashboard")
    from optuna_dashboard._storage_url import get_storage

    run(journal_at(path, metric_names=["tta_accuracy"]), 1)
    run(journal_at(path, metric_names=["another name"]), 1)
    storage = get_storage(str(path), storage_class="JournalFileStorage")
    (study,) = storage.get_all_studies()
    assert study.study_name == "study"
    assert optuna.load_study(study_name="study", storage=storage).metric_names == ["tta_accuracy"], "the first"
    assert len(storage.get_all_trials(study._study_id)) == 2


def test_optuna_prints_nothing(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = journal_at(path)
    run(journal, 12)
    journal.ask()
    journal.tell(12, "failed", None, 10.0)
    assert capfd.readouterr() == ("", "")


def test_score_and_cost_are_recorded_with_two_objectives(path: Path) -> None:
    journal = journal_at(path, by_cost=True)
    for number, state in enumerate(("complete", "stopped", "failed")):
        journal.ask()
        journal.report(number, 0, 0.5)
        journal.report(number, 0, 0.9)
        journal.report(number, 1, 0.75)
        journal.tell(number, state, 0.625 if state == "complete" else None, 40.0)  # type: ignore[arg-type]
    complete, stopped, failed = frozen(path)
    assert (complete.state, complete.values) == (TrialState.COMPLETE, [0.625, 40.0])
    assert (stopped.state, stopped.values) == (TrialState.PRUNED, None)
    assert (failed.state, failed.values) == (TrialState.FAIL, None)
    for trial in (complete, stopped, failed):
        assert trial.user_attrs == {"fold_0": 0.5, "fold_1": 0.75}
        assert trial.intermediate_values == {}
    storage = JournalStorage(JournalFileBackend(str(path)))
    directions = [direction.name for direction in optuna.load_study(study_name="study", storage=storage).directions]
    assert directions == ["MAXIMIZE", "MINIMIZE"]


def test_proposals_for_two_objectives_are_the_same_after_a_resume(tmp_path: Path) -> None:
    def propose(journal: Journal, count: int) -> list[tuple[int, Recipe]]:
        asked = []
        for _ in range(count):
            number, recipe = journal.ask()
            asked.append((number, recipe))
            state = "stopped" if number % 4 == 3 else "complete"
            score = None if state == "stopped" else recipe.augment.rotate
            journal.tell(number, state, score, 10 * recipe.augment.blur)  # type: ignore[arg-type]
        return asked

    undisturbed = propose(journal_at(tmp_path / "a", by_cost=True), 14)
    assert len({recipe.to_json() for _, recipe in undisturbed}) == 14
    assert [pair for _ in range(14) for pair in propose(journal_at(tmp_path / "b", by_cost=True), 1)] == undisturbed


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "NUM_RESAMPLES", 10)


@pytest.mark.parametrize("by_cost", [False, True])
def test_importances_are_shares_of_the_score_with_intervals(path: Path, by_cost: bool, few_resamples: None) -> None:
    journal = journal_at(path, by_cost=by_cost)
    scores = {number: recipe.augment.rotate for number, recipe in run(journal, 20)}
    assert journal.importances({}) == {}
    assert journal.importances({number: scores[number] for number in range(19)}) == {}, "19 trials are not enough"
    assert journal.importances(dict.fromkeys(scores, 0.5)) == {}, "equal scores"
    found = journal.importances(scores)
    assert next(iter(found)) == "augment.rotate"
    shares = [each.share for each in found.values()]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)
    assert all(0 <= each.low <= each.share <= each.high <= 1 for each in found.values())
    assert found["augment.rotate"].low > max(each.share for key, each in found.items() if key != "augment.rotate")
    assert any(each.low < each.high for each in found.values())
    assert found == journal.importances(scores), "seeded"


def test_importances_use_the_scores_of_trials_that_run_or_were_stopped(path: Path, few_resamples: None) -> None:
    """As of those that have reached an earlier stage than all folds."""
    journal, scores = journal_at(path), {}
    for number in range(20):
        _, recipe = journal.ask()
        scores[number] = recipe.augment.cutout
        if number % 2:
            journal.tell(number, "stopped", None, 10.0)
    assert next(iter(journal.importances(scores))) == "augment.cutout"


def priors_of(count: int, *, with_start: bool = True) -> list[Prior]:
    """Trials of an earlier study: the starting recipe, complete; then proposals, alternately stopped and complete."""
    suggestions = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    recipes = [SPACE.start] if with_start else []
    while len(recipes) < count:
        trial = suggestions.ask()
        recipes.append(SPACE.recipe({"augment.rotate": trial.suggest_float("x", 0.1, 0.9)}))
    return [
        Prior(
            recipe=recipe,
            state="stopped" if number % 2 else "complete",
            fold_scores={0: 0.5} if number % 2 else {0: 0.5, 1: 0.75},
            cost=20.0,
            origin=f"abcd1234-{number:04d}",
        )
        for number, recipe in enumerate(recipes)
    ]


@pytest.mark.parametrize("by_cost", [False, True])
def test_priors_are_ended_trials_with_their_parameters(path: Path, by_cost: bool) -> None:
    priors = priors_of(3)
    journal = journal_at(path, by_cost=by_cost, priors=priors)
    trials = frozen(path)
    assert [trial.number for trial in trials] == [0, 1, 2]
    for trial, prior in zip(trials, priors, strict=True):
        assert trial.state == STATES[prior.state]
        assert SPACE.recipe(trial.params) == prior.recipe
        assert trial.user_attrs == {"origin": prior.origin}
        assert trial.intermediate_values == ({} if by_cost else prior.fold_scores)
        values = [0.625, 20.0] if by_cost else [0.625]
        assert trial.values == (values if prior.state == "complete" else None)
    assert journal.num_trials() == 0
    assert journal.adopt() == []
    number, recipe = journal.ask()
    assert number == 3
    assert recipe != SPACE.start, "the starting recipe is among the priors"
    assert journal.num_trials() == 1


def test_the_starting_recipe_is_the_first_trial_unless_among_the_priors(path: Path) -> None:
    priors = priors_of(2, with_start=False)
    journal = journal_at(path, priors=priors)
    assert journal.num_trials() == 0
    assert journal.ask() == (2, SPACE.start)


@pytest.mark.parametrize("num_added", [0, 1, 3])
@pytest.mark.parametrize("with_start", [False, True])
def test_priors_are_added_once_despite_kills(tmp_path: Path, num_added: int, with_start: bool) -> None:
    priors = priors_of(3, with_start=with_start)
    undisturbed, path = journal_at(tmp_path / "a", priors=priors), tmp_path / "b"
    # A kill in between leaves a journal with some priors and no waiting trial.
    partial = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))), study_name="study", direction="maximize"
    )
    for prior in priors[:num_added]:
        partial.add_trial(undisturbed._frozen(prior))
    for _ in range(2):
        journal = journal_at(path, priors=priors)
    assert journal.num_trials() == 0
    assert journal.ask() == undisturbed.ask()
    assert [trial.params for trial in frozen(path)[:3]] == [SPACE.parameters(prior.recipe) for prior in priors]
    journal.tell(3, "failed", None, 1.0)
    again = journal_at(path, priors=priors)
    assert again.num_trials() == 1
    assert again.ask()[0] == 4


def test_proposals_learn_from_priors(tmp_path: Path) -> None:
    """With inverted scores of the same recipes, the next proposal is different."""
    asked = []
    for sign in (1, -1):
        priors = [
            dataclasses.replace(prior, state="complete", fold_scores={0: 0.5 + sign * prior.recipe.augment.rotate / 3})
            for prior in priors_of(14)
        ]
        asked.append(journal_at(tmp_path / str(sign), priors=priors).ask())
    assert asked[0][0] == asked[1][0] == 14
    assert asked[0] != asked[1]


def config_for(task: Task) -> dict[str, Any]:
    return config_of(Assignment(task=task, recipe=SPACE.start), Placement(cpus=1, gpus=0.0))


def searcher_of(assignments: list[Any], ends: list[Any], *, idle: list[bool] | None = None) -> DriverSearcher:
    answers = iter(idle or [])
    return DriverSearcher(lambda: assignments.pop(0), lambda *end: ends.append(end), lambda: next(answers))


def test_the_searcher_forwards_assignments_and_ends() -> None:
    assignments = [config_for(Task(Job(4, 0), 0)), config_for(Task(Job(4, 0), 1)), None]
    ends: list[tuple[Task, bool]] = []
    searcher = searcher_of(assignments.copy(), ends, idle=[True])
    assert searcher.suggest("x") == assignments[0]
    assert searcher.suggest("y") == assignments[1]
    assert searcher.suggest("z") == searcher.FINISHED
    searcher.on_trial_complete("y", {"anything": 1})
    searcher.on_trial_complete("x", None, error=True)
    assert ends == [(Task(Job(4, 0), 1), False), (Task(Job(4, 0), 0), True)]


def test_the_searcher_finishes_only_if_no_job_is_running() -> None:
    searcher = searcher_of([None, config_for(Task(Job(1, 0), 0)), None], [], idle=[False, True])
    assert searcher.suggest("x") is None
    assert searcher.suggest("x") == config_for(Task(Job(1, 0), 0))
    assert searcher.suggest("y") == searcher.FINISHED


def test_a_watched_method_is_not_called_again_after_an_error() -> None:
    calls: list[int] = []

    def method(number: int) -> int:
        calls.append(number)
        if number == 2:
            raise RuntimeError("disk failure")
        return number

    watch = Watch()
    watched = watch(method)
    assert watched(1) == 1
    for number in (2, 3):
        with pytest.raises(RuntimeError, match="disk failure"):
            watched(number)
    assert calls == [1, 2]
    assert isinstance(watch.error, RuntimeError)


def test_a_single_study_is_opened_under_any_name(path: Path) -> None:
    run(journal_at(path), 2)
    renamed = Journal(path, SPACE, seed=0, name="renamed")
    assert renamed.num_trials() == 2
    assert renamed.ends() == {0: "complete", 1: "complete"}
    assert renamed.ask()[0] == 2
    assert renamed.ends()[2] is None
    assert len(frozen(path)) == 3, "under its original name"


def test_a_journal_of_two_studies_is_refused(path: Path) -> None:
    run(journal_at(path), 1)
    optuna.create_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="other")
    with pytest.raises(
        UserError, match=r"optuna.journal: expected one study, got 2 \((study, other|other, study)\); rest"
    ):
        journal_at(path)


def test_a_second_starting_recipe_is_refused(path: Path) -> None:
    """Its line is duplicated at the end of the file, as in a merge of two copies."""
    run(journal_at(path), 2)
    created = [line for line in path.read_text().splitlines() if "fixed_params" in line]
    path.write_text(path.read_text() + created[0] + "\n")
    with pytest.raises(UserError, match=r"optuna.journal: trial 0002 waits to start, which this search did not add; r"):
        journal_at(path)
