"""The cached race gives the verdicts of the race."""

from __future__ import annotations

from helpers.replay_tables import NUM_FOLDS, make_table

from benchmarks.racing.replaying.cached_race import CachedRace, TableCache
from leukemia.study.job import Job
from search.policy.race import Race
from search.policy.repeats import first_repeat, last_repeat
from search.policy.rules import Rules


def test_the_cached_race_judges_as_the_race() -> None:
    seen = make_table([0.8, 0.85, 0.7, 0.9, 0.5, 0.82, 0.88])
    rules = Rules(num_folds=NUM_FOLDS, objective="tta_accuracy")
    cache = TableCache(seen)
    plain, cached = Race(rules), CachedRace(rules, cache)
    stopped = 0
    for recipe in range(7):
        jobs = [Job(recipe, 0)]
        plain.begin(jobs[0])
        cached.begin_recipe(jobs[0], recipe)
        for fold in range(NUM_FOLDS):
            for race in (plain, cached):
                race.add(jobs[0], fold, cache.evidence(0, recipe, fold))
            verdict = plain.judge(recipe)
            assert cached.judge(recipe) == verdict
            if not verdict.continues:
                break
        stopped += not verdict.continues
        for race in (plain, cached):
            race.end(recipe, "complete" if verdict.continues else "stopped")
        repeat = first_repeat(plain, set()) or last_repeat(plain, set())
        assert (first_repeat(cached, set()) or last_repeat(cached, set())) == repeat
        if repeat is not None and repeat.seed == 1:
            plain.begin(repeat)
            cached.begin_recipe(repeat, repeat.number)
            for fold in range(NUM_FOLDS):
                for race in (plain, cached):
                    race.add(repeat, fold, cache.evidence(1, repeat.number, fold))
        assert cached.leader() == plain.leader()
        assert cached.noise() == plain.noise()
        assert cached.contenders() == plain.contenders()
    assert 1 <= stopped <= 5
