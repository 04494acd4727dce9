"""Hindsight: is the winner at the edge of a range, which parameters had no effect, and what failed?

As advised by Godbole et al., "Deep Learning Tuning Playbook" (2023): before trusting the best point of a search, check
whether its space was wide enough and why trials failed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from leukemia.base.quantity import quantity
from leukemia.config.optimizers import OPTIMIZERS
from leukemia.config.parameters import text_of
from leukemia.config.sections import BOUNDS
from leukemia.study.duration import duration
from leukemia.study.importances import MIN_TRIALS, Explained, finished
from leukemia.study.schema import State
from search.policy.dimensions import Choice, Dimension, Integer, Real, position
from search.policy.space import Space

EDGE = 0.05
"""A value is at an edge if it is within this share of the range from one end, on the range's scale."""

WEAK = 1 / 3
"""A parameter has no visible effect if its importance is below this share of the mean importance."""

MANY_FAILED = 0.1
"""Share of failed trials above which advice is given."""

MIN_FAILED = 3
"""Minimum number of failed trials, and of other trials, to compare them."""

MIN_CONTRAST = 0.25
"""Minimum difference between failed trials and the others, 0..1, to mention a parameter."""

MIRRORED = ("augment.horizontal_flip", "augment.vertical_flip", "augment.transpose")
"""Probabilities that are symmetric about 0.5, which is therefore a natural limit."""


OPTIONS = "--search or --space"
"""How ranges are changed, for advice."""


class EndedTrial(NamedTuple):
    """A trial that has ended; a plain tuple is accepted too."""

    parameters: Mapping[str, Any]
    """Its parameters in the space; conditional ones may be absent."""

    score: float | None
    state: State


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The trials that still wait at the end of a search."""

    number: int
    seconds: float
    """Device seconds that they have used."""

    seconds_postponed: float
    """Device seconds that the rest of their folds would take; an estimate."""

    def describe(self) -> str:
        """What waiting has saved.

        >>> Waiting(number=31, seconds=2400.0, seconds_postponed=44280.0).describe()
        '31 trials wait after 40 min of device time; all their folds would take about 12.3 h more, estimated from the \
seconds of their own epochs, if the race stopped none of them'
        """
        trials = f"{quantity(self.number, 'trial')} {'waits' if self.number == 1 else 'wait'}"
        return (
            f"{trials} after {duration(self.seconds)} of device time; all their folds would take about "
            f"{duration(self.seconds_postponed)} more, estimated from the seconds of their own epochs, if the race "
            "stopped none of them"
        )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The importances of the parameters, and the trials that they are computed from."""

    stage: str
    """What these trials have finished, such as ``all folds``."""

    num_trials: int
    explained: Mapping[str, Explained]
    """By parameter; empty if there are too few trials or their scores do not differ."""


@dataclass(frozen=True, kw_only=True)
class Hindsight:
    """Findings about a search and its space, as sentences."""

    shares: tuple[str, ...]
    """How many trials ended in each state, advice if many failed, and what waiting has saved."""

    edges: tuple[str, ...]
    """Parameters of the winner that are at an edge of their range."""

    no_effect: tuple[str, ...]
    """Parameters without a visible effect, or why their effect cannot be judged."""

    measured: Measured
    num_trials: int
    """Number of complete trials."""

    def lines(self) -> list[str]:
        """All sentences, shares first."""
        return [*self.shares, *self.edges, *self.no_effect]

    def to_dict(self) -> dict[str, Any]:
        """The content of ``hindsight.json``."""
        return {
            "lines": self.lines(),
            "shares": list(self.shares),
            "edges": list(self.edges),
            "no_effect": list(self.no_effect),
            "importances": {key: each.share for key, each in self.measured.explained.items()},
            "intervals": {key: [each.low, each.high] for key, each in self.measured.explained.items()},
            "stage": self.measured.stage,
            "stage_trials": self.measured.num_trials,
            "num_trials": self.num_trials,
        }


def look_back(
    space: Space,
    trials: Sequence[tuple[Mapping[str, Any], float | None, State]],
    measured: Measured,
    *,
    winner: tuple[int, Mapping[str, Any]] | None,
    waiting: Waiting | None = None,
    compares: bool = False,
) -> Hindsight:
    """Analyze all ended trials of a search.

    Args:
        trials: in the order of their numbers, each like ``EndedTrial``; the score is None if undefined.
        measured: the importances of the parameters.
        winner: its number, and its parameters in the space; None if no trial has won.
        waiting: the trials that wait; None if none does.
        compares: whether the recipes were given: then there is no range to be widened or narrowed.
    """
    ended = [EndedTrial(*trial) for trial in trials]
    return Hindsight(
        shares=(*_shares(space, ended, compares), *([] if waiting is None else [waiting.describe()])),
        edges=() if winner is None else _edges(space, *winner),
        no_effect=() if compares else _no_effect(measured),
        measured=measured,
        num_trials=sum(trial.state == "complete" for trial in ended),
    )


def _edges(space: Space, number: int, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    found = (
        _edge(dimension, number, float(parameters[dimension.key]))
        for dimension in space.dimensions
        if not isinstance(dimension, Choice) and dimension.key in parameters
    )
    return tuple(sentence for sentence in found if sentence)


def _edge(dimension: Real | Integer, number: int, value: float) -> str:
    """A sentence if the winner's value is at or beyond an end of the range that could be widened; else empty."""
    place = position(dimension, value)
    if EDGE < place < 1 - EDGE:
        return ""
    side, limit = ("lower", dimension.low) if place <= EDGE else ("upper", dimension.high)
    if _is_natural(dimension, limit):
        return ""
    where = f"at the {side} end of" if 0 <= place <= 1 else "below" if side == "lower" else "above"
    return (
        f"{dimension.key} {_shown(dimension, value)} of the winner, trial {number:04d}, is {where} "
        f"{text_of(dimension.low)} to {text_of(dimension.high)}: consider a wider range with {OPTIONS}"
    )


def _shown(dimension: Dimension, value: float) -> str:
    return f"{value:.0f}" if isinstance(dimension, Integer) else f"{value:.2g}"


def _is_natural(dimension: Real | Integer, limit: float) -> bool:
    """Whether the range cannot, or should not, be extended beyond this end."""
    return limit in _bounds(dimension.key) or (limit == 0.5 and dimension.key in MIRRORED)


def _bounds(key: str) -> tuple[float, ...]:
    """The lowest and the highest value of a field; none if they depend on the optimizer."""
    if key in BOUNDS:
        return BOUNDS[key]
    settings = [spec.settings.get(key.removeprefix("optimizer.")) for spec in OPTIMIZERS.values()]
    spans = {(setting.low, setting.high) for setting in settings if setting is not None}
    return spans.pop() if len(spans) == 1 else ()


def _no_effect(measured: Measured) -> tuple[str, ...]:
    """Parameters of low importance, or why their effect cannot be judged."""
    trials = f"{quantity(measured.num_trials, 'trial')} that finished {finished(measured.stage)}"
    if measured.num_trials < MIN_TRIALS:
        are = "is" if measured.num_trials == 1 else "are"
        return (f"{trials} {are} too few to tell which parameters have no effect; at least {MIN_TRIALS} are needed",)
    if not measured.explained:
        return (f"the scores of {trials} do not differ: no parameter has a visible effect",)
    limit = WEAK / len(measured.explained)
    weak = sorted(key for key, each in measured.explained.items() if each.share < limit)
    return (f"no visible effect in {trials}: {', '.join(weak)}; consider fixing them with --set",) if weak else ()


def _shares(space: Space, trials: Sequence[EndedTrial], compares: bool) -> tuple[str, ...]:
    if not trials:
        return ("no trial has ended",)
    failed = [trial for trial in trials if trial.state == "failed"]
    num_stopped = sum(trial.state == "stopped" for trial in trials)
    counts = (
        f"{quantity(len(trials), 'trial')} ended: {len(trials) - num_stopped - len(failed)} complete, "
        f"{_counted(num_stopped, len(trials))} stopped, {_counted(len(failed), len(trials))} failed"
    )
    if compares or len(failed) <= MANY_FAILED * len(trials):
        return (counts,)
    return counts, _advice(space, failed, [trial for trial in trials if trial.state != "failed"])


def _counted(number: int, total: int) -> str:
    return f"{number} ({100 * number / total:.0f} %)"


def _advice(space: Space, failed: Sequence[EndedTrial], rest: Sequence[EndedTrial]) -> str:
    """The parameter in which failed trials differ most from the others."""
    start = f"more than {100 * MANY_FAILED:.0f} % failed"
    if min(len(failed), len(rest)) < MIN_FAILED:
        return f"{start}, too few to compare with the others: check their reasons"
    contrasts = [_contrast(dimension, failed, rest) for dimension in space.dimensions]
    size, description = max(contrasts, key=lambda contrast: contrast[0], default=(0.0, ""))
    if size < MIN_CONTRAST:
        return f"{start}, and no parameter distinguishes them: check their reasons"
    return f"{start}; they differ most in {description}: narrow its range with {OPTIONS}, or check their reasons"


def _contrast(dimension: Dimension, failed: Sequence[EndedTrial], rest: Sequence[EndedTrial]) -> tuple[float, str]:
    """How much failed trials and the others differ in a dimension, 0..1, with a description."""
    key = dimension.key
    values = [[trial.parameters[key] for trial in trials if key in trial.parameters] for trials in (failed, rest)]
    if min(map(len, values)) < MIN_FAILED:
        return 0.0, ""
    if isinstance(dimension, Choice):
        return _contrast_of_choices(dimension, *values)
    medians = [statistics.median(each) for each in values]
    positions = [min(max(position(dimension, median), 0.0), 1.0) for median in medians]
    return abs(
        positions[0] - positions[1]
    ), f"{key} (median {_shown(dimension, medians[0])}, others {_shown(dimension, medians[1])})"


def _contrast_of_choices(dimension: Choice, failed: list[Any], rest: list[Any]) -> tuple[float, str]:
    """The choice that is most overrepresented among failed trials: by how much, with a description."""
    shares = {choice: (failed.count(choice) / len(failed), rest.count(choice) / len(rest)) for choice in failed}
    choice, (share, share_of_rest) = max(shares.items(), key=lambda item: item[1][0] - item[1][1])
    description = f"{dimension.key} ({choice} in {100 * share:.0f} %, others {100 * share_of_rest:.0f} %)"
    return share - share_of_rest, description
