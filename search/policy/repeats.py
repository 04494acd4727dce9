"""Which trial is repeated with another seed: the starting recipe to estimate noise, the leading two to compare them.

In a comparison of given recipes it is every trial, as often as the others.
"""

from __future__ import annotations

from leukemia.study.job import Job
from search.policy.race import Race

MAX_REPEATED = 3
"""At most this many trials get all their repeats; a leader always gets one."""


def first_repeat(race: Race, running: set[Job]) -> Job | None:
    """The repeat of the starting recipe, due as soon as that trial is complete: it estimates the fold noise.

    None in a comparison, in which it is of no more use than the repeats of all others.
    """
    if not race.rules.compares and race.rules.repeats and race.is_complete(race.rules.start):
        return _next_seed(race, race.rules.start, running, limit=1)
    return None


def last_repeat(race: Race, running: set[Job]) -> Job | None:
    """The next repeat to compare the leading two, once no more trials start; None if no more are needed.

    A leader always gets a repeat. Leader and runner-up then get more in turn, until their difference is significant
    or each has had all its repeats, for at most ``MAX_REPEATED`` trials. In a comparison, as ``_of_every_trial``.
    """
    if race.rules.compares:
        return _of_every_trial(race)
    ranked = sorted(race.contenders(), key=lambda contender: (-contender.score, contender.number))[:2]
    if not race.rules.repeats or not ranked:
        return None
    first = _next_seed(race, ranked[0].number, running, limit=1)
    if first is not None or len(ranked) < 2 or _is_significant(race, ranked[0].number, ranked[1].number):
        return first
    num_repeats = sum(len(race.jobs(number)) - 1 for number in race.trials() if number != race.rules.start)
    if num_repeats >= MAX_REPEATED * race.rules.repeats:
        return None
    for contender in sorted(ranked, key=lambda contender: len(race.jobs(contender.number))):
        job = _next_seed(race, contender.number, running, limit=race.rules.repeats)
        if job is not None:
            return job
    return None


def _of_every_trial(race: Race) -> Job | None:
    """The next repeat of the complete trial that has the fewest; None if each has had all of them, be they finished."""
    due = [
        number for number in race.trials() if race.is_complete(number) and len(race.jobs(number)) <= race.rules.repeats
    ]
    number = min(due, key=lambda each: (len(race.jobs(each)), each), default=None)
    return None if number is None else Job(number, max(job.seed for job in race.jobs(number)) + 1, is_repeat=True)


def _is_significant(race: Race, a: int, b: int) -> bool:
    interval = race.interval(a, b)
    return interval.low > 0 or interval.high < 0


def _next_seed(race: Race, number: int, running: set[Job], limit: int) -> Job | None:
    """The next repeat of a trial, unless one of its jobs is running or it has had ``limit`` repeats."""
    jobs = race.jobs(number)
    if len(jobs) > limit or any(job in running for job in jobs):
        return None
    return Job(number, max(job.seed for job in jobs) + 1, is_repeat=True)
