"""Who judges a trial after its first rung: rules that may stop it before its first fold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from judges import Raced
from remembering import Memory
from scipy.special import stdtrit
from table import Seen

from leukemia.scoring.jackknife import Difference, paired_jackknife
from search.policy.judge import selection_luck
from search.policy.race import Job, Rules

RungRule = Literal["hopeless", "raced", "foreseen", "lowest", "foretelling"]

PRIOR_DEVIATION = 0.05
"""Standard deviation of what recipes gain from rung to fold, in score; counts as much as one complete trial."""


@dataclass(frozen=True, kw_only=True)
class FirstRung:
    """What may stop a trial after its rung.

    ``hopeless``: ``judge_fold`` alone. ``raced``: that, and the best complete trial's rung on the same images.
    ``foreseen``: that, and the best complete trial's fold 0, if the trial gains from rung to fold what others gained.
    ``lowest``: its score is among the lowest of all rungs so far. ``foretelling``: it knows what the judge will say
    after fold 0; no real rung can do better.
    """

    rule: RungRule
    error: float = 0.0
    """Chance of stopping an equal that the rung spends; the folds have the rest."""

    lowest: float = math.nan
    """With the rule *lowest*: the share that is stopped; a rung that ties with one that passes, passes."""

    late: bool = False
    """Whether trials begin without a rung as long as no trial is complete."""

    share: float | None = None
    """Cost of a rung in folds; None: as recorded."""

    def __str__(self) -> str:
        words = [f"rung {self.rule}" + ("" if math.isnan(self.lowest) else f" {self.lowest:.2f}")]
        if self.error:
            words.append(f"{100 * self.error:g} of the 5 % error")
        if self.late:
            words.append("late")
        if self.share is not None:
            words.append(f"{self.share:g} of a fold")
        return ", ".join(words)


class RungRaced(Raced):
    """The race, and a judge of first rungs beside it."""

    def __init__(self, seen: Seen, memory: Memory, rules: Rules, rung: FirstRung) -> None:
        super().__init__(seen, memory, rules)
        self._rung = rung
        self._heard_rungs: list[float] = []

    def passes(self, number: int) -> bool:
        """Whether a trial that has run its rung goes on to its first fold."""
        recipe = self._race.recipes[number]
        score = float(self._seen.rung_scores[0, recipe])
        self._heard_rungs.append(score)
        match self._rung.rule:
            case "lowest":
                return score >= float(np.quantile(self._heard_rungs, self._rung.lowest))
            case "foretelling":
                self.hear(Job(number, 0), 0)
                return self.goes_on(number)
            case "hopeless":
                return self._memory.rung_alone(recipe).go_on
            case "raced" | "foreseen":
                return self._memory.rung_alone(recipe).go_on and self._may_win(recipe)
        assert_never(self._rung.rule)

    def _may_win(self, recipe: int) -> bool:
        """As ``judge_race``, where what the rung does not tell of the fold takes the place of a fold's noise."""
        leader = self._race.leader()
        if leader is None:
            return True
        seen, best = self._seen, self._race.recipes[leader.number]
        complete = [self._race.recipes[each.number] for each in self._race.contenders()]
        gains = seen.scores[0, complete, 0] - seen.rung_scores[0, complete]
        difference, unknown = self._rung_difference(recipe, best), 2.0
        if self._rung.rule == "foreseen":
            # What the best trial gained is known; what this one will gain is as much as others, on average.
            expected = difference.value + float(gains.mean()) - float(gains[complete.index(best)])
            difference, unknown = Difference(expected, difference.variance, difference.num_groups), 1 + 1 / len(gains)
        variance = difference.variance + unknown * deviation(gains.tolist()) ** 2
        luck = selection_luck(len(complete), variance / seen.num_folds)
        quantile = float(stdtrit(difference.num_groups - 1, 1 - self._rung.error))
        return difference.value + luck + quantile * math.sqrt(variance) >= -self._race.rules.margin

    def _rung_difference(self, recipe: int, best: int) -> Difference:
        seen, rows = self._seen, self._seen.fold_rows[0]
        assert seen.rungs is not None
        predicted = [seen.rungs.probabilities[:1, each] for each in (recipe, best)]
        return paired_jackknife(seen.labels[rows], predicted[0], predicted[1], seen.groups[rows], "accuracy")


def deviation(gains: Sequence[float]) -> float:
    """Standard deviation of recipes' gains from rung to fold 0, by complete trials and ``PRIOR_DEVIATION``.

    The chance of a fold's images and the noise of two seeds are in it, so that nothing else is added for them.

    >>> deviation([0.1])
    0.05
    """
    around = float(np.sum((np.array(gains) - np.mean(gains)) ** 2))
    return math.sqrt((PRIOR_DEVIATION**2 + around) / len(gains))
