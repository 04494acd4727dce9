"""Looking back at the search: did the best lie at an edge, what made no difference, what failed?

After the advice of Godbole et al., "Deep Learning Tuning Playbook" (2023): before the best point of a search is
believed, ask whether its space was wide enough and what made trials fail.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from leukemia.study.schema import State
from search.policy.space import Choice, Dimension, Real, Space

EDGE = 0.05
"""A value is at an edge when it lies within this share of its range, on its scale, from an end."""

ENOUGH_TRIALS = 20
"""Complete trials that must have a parameter before anything is said about its effect."""

WEAK = 1 / 3
"""A parameter has no visible effect when its importance is below this share of what each had if all were equal."""

MANY_FAILED = 0.1
"""Share of failed trials above which advice is due."""

ENOUGH_FAILED = 3
"""Failed trials, and others, that are needed before the two are compared."""

CONTRAST = 0.25
"""Difference between failed trials and the rest, 0..1, from which a parameter is named."""

MIRRORED = ("augment.horizontal_flip", "augment.vertical_flip", "augment.transpose")
"""Probabilities of which more than 0.5 only mirrors the question: 0.5 is a natural limit."""


class Past(NamedTuple):
    """An ended trial as hindsight sees it; a plain tuple will do."""

    parameters: Mapping[str, Any]
    """Its coordinates in the space; conditional ones may be absent."""

    score: float | None
    state: State


@dataclass(frozen=True, kw_only=True)
class Hindsight:
    """What a search says about its space, in sentences."""

    shares: tuple[str, ...]
    """How many trials ended in which state, and advice where many failed."""

    edges: tuple[str, ...]
    """Parameters of the best trial at an edge of their range."""

    no_effect: tuple[str, ...]
    """Parameters that made no visible difference, or why nothing can be said about them."""

    importances: Mapping[str, float]
    """Share of the score's variance by parameter, as given."""

    def lines(self) -> list[str]:
        """All sentences, the shares first."""
        return [*self.shares, *self.edges, *self.no_effect]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "lines": self.lines(),
            "shares": list(self.shares),
            "edges": list(self.edges),
            "no_effect": list(self.no_effect),
            "importances": dict(self.importances),
        }


def look_back(
    space: Space,
    trials: Sequence[tuple[Mapping[str, Any], float | None, State]],
    importances: Mapping[str, float],
) -> Hindsight:
    """Look back at all ended trials of a search.

    Args:
        trials: parameters, score (None for none) and state of each, as ``Past``, in the order of their numbers.
        importances: parameter to its share of the score's variance among complete trials, adding up to 1; may be empty.
    """
    pasts = [Past(*trial) for trial in trials]
    return Hindsight(
        shares=_shares(space, pasts),
        edges=_edges(space, pasts),
        no_effect=_no_effect(pasts, importances),
        importances=dict(importances),
    )


def _edges(space: Space, trials: Sequence[Past]) -> tuple[str, ...]:
    complete = [(trial.score, trial) for trial in trials if trial.state == "complete" and trial.score is not None]
    if not complete:
        return ()
    # Of equals the earliest.
    _, best = max(complete, key=lambda pair: pair[0])
    found = (
        _edge(dimension, float(best.parameters[dimension.key]))
        for dimension in space.dimensions
        if isinstance(dimension, Real) and dimension.key in best.parameters
    )
    return tuple(words for words in found if words)


def _edge(dimension: Real, value: float) -> str:
    """Where the value lies at or past an end that can be moved, that in words; else nothing."""
    position = _position(dimension, value)
    if EDGE < position < 1 - EDGE:
        return ""
    side, limit = ("lower", dimension.low) if position <= EDGE else ("upper", dimension.high)
    if _is_natural(dimension, limit):
        return ""
    where = f"at the {side} end of" if 0 <= position <= 1 else "below" if side == "lower" else "above"
    return f"{dimension.key} {value:.2g} lies {where} {dimension.low:g} to {dimension.high:g}: widen it"


def _is_natural(dimension: Real, limit: float) -> bool:
    """Whether the range cannot, or should not, go on past this end."""
    is_probability = dimension.key.startswith("augment.")
    return is_probability and (limit in (0.0, 1.0) or (limit == 0.5 and dimension.key in MIRRORED))


def _position(dimension: Real, value: float) -> float:
    """Where a value lies between low (0) and high (1), on the dimension's scale; outside of them it lies outside."""
    if not dimension.log:
        return (value - dimension.low) / (dimension.high - dimension.low)
    if value <= 0:
        return -math.inf
    return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)


def _no_effect(trials: Sequence[Past], importances: Mapping[str, float]) -> tuple[str, ...]:
    """Parameters of less than a third of an equal share, of those that enough complete trials have."""
    complete = [trial for trial in trials if trial.state == "complete"]
    if len(complete) < ENOUGH_TRIALS:
        return (
            f"{len(complete)} complete trials are too few to tell which parameters make no difference: "
            f"{ENOUGH_TRIALS} are needed",
        )
    counts = {key: sum(key in trial.parameters for trial in complete) for key in importances}
    few = sorted(key for key, count in counts.items() if count < ENOUGH_TRIALS)
    weak = sorted(
        key for key, share in importances.items() if key not in few and share < WEAK / max(len(importances), 1)
    )
    words = []
    if weak:
        words.append(f"no visible effect among {len(complete)} complete trials: {', '.join(weak)}; fix them with --set")
    if few:
        words.append(f"too few complete trials have it to tell its effect: {', '.join(few)}")
    return tuple(words)


def _shares(space: Space, trials: Sequence[Past]) -> tuple[str, ...]:
    if not trials:
        return ("no trial has ended",)
    failed = [trial for trial in trials if trial.state == "failed"]
    num_stopped = sum(trial.state == "stopped" for trial in trials)
    words = (
        f"of {len(trials)} trials {len(trials) - num_stopped - len(failed)} are complete, "
        f"{_counted(num_stopped, len(trials))} stopped, {_counted(len(failed), len(trials))} failed"
    )
    if len(failed) <= MANY_FAILED * len(trials):
        return (words,)
    return words, _advice(space, failed, [trial for trial in trials if trial.state != "failed"])


def _counted(number: int, total: int) -> str:
    return f"{number} ({100 * number / total:.0f} %)"


def _advice(space: Space, failed: Sequence[Past], rest: Sequence[Past]) -> str:
    """What sets the failed trials apart most."""
    start = f"more than {100 * MANY_FAILED:.0f} % failed"
    if min(len(failed), len(rest)) < ENOUGH_FAILED:
        return f"{start}, too few to compare with the rest: read their reasons"
    contrasts = [_contrast(dimension, failed, rest) for dimension in space.dimensions]
    size, words = max(contrasts, key=lambda contrast: contrast[0], default=(0.0, ""))
    if size < CONTRAST:
        return f"{start}, and no parameter sets them apart: read their reasons"
    return f"{start}; what sets them apart most is {words}: narrow it, or read their reasons"


def _contrast(dimension: Dimension, failed: Sequence[Past], rest: Sequence[Past]) -> tuple[float, str]:
    """How far failed trials and the rest differ in a dimension, 0..1, and how so in words."""
    key = dimension.key
    sides = [[trial.parameters[key] for trial in side if key in trial.parameters] for side in (failed, rest)]
    if min(map(len, sides)) < ENOUGH_FAILED:
        return 0.0, ""
    if isinstance(dimension, Choice):
        return _contrast_of_choices(dimension, *sides)
    medians = [statistics.median(values) for values in sides]
    places = [min(max(_position(dimension, median), 0.0), 1.0) for median in medians]
    return abs(places[0] - places[1]), f"{key}, median {medians[0]:.2g} against {medians[1]:.2g}"


def _contrast_of_choices(dimension: Choice, failed: list[Any], rest: list[Any]) -> tuple[float, str]:
    """The choice that is more frequent among failed trials than elsewhere, by how much, and how so in words."""
    shares = {choice: (failed.count(choice) / len(failed), rest.count(choice) / len(rest)) for choice in failed}
    choice, (often, seldom) = max(shares.items(), key=lambda item: item[1][0] - item[1][1])
    return often - seldom, f"{dimension.key}, {choice} in {100 * often:.0f} % of them against {100 * seldom:.0f} %"
