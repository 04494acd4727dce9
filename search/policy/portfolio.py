"""The starting recipes of a search: recipes that have proved themselves elsewhere, for different reasons.

With one start, all other trials until the sampler knows enough are random points of a wide space, most of them bad.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.config.recipe import Recipe
from search.policy.dimensions import OF_RESNET
from search.policy.space import Space


@dataclass(frozen=True, kw_only=True)
class Start:
    """A starting recipe, by its differences from that of trial 0."""

    settings: Mapping[str, Any]
    """Searched fields, within their ranges."""

    reason: str


STARTS = (
    Start(
        settings={"optimizer.name": "ranger21"},
        reason="the recipe of the course; trial 0, unless the preset has another optimizer",
    ),
    Start(
        settings={"optimizer.name": "adamw"},
        reason="its AdamW twin: whether the optimizer matters, all else being equal",
    ),
    Start(
        settings={"optimizer.name": "adamw", "optimizer.weight_decay": 0.05, "model.depth": 50},
        reason="the searched part of the preset 'strong' with a ResNet-50: what a practitioner would try first",
    ),
    Start(
        settings={
            "model.depth": 18,
            "model.shortcut": "add",
            "data.grayscale": True,
            "augment.rotate": 0.0,
            "augment.blur": 0.0,
            "augment.noise": 0.0,
            "augment.cutout": 0.0,
        },
        reason="cheap: the smallest network on flipped gray images, which learns the most in few epochs",
    ),
    Start(
        settings={
            "optimizer.name": "adamw",
            "optimizer.weight_decay": 0.2,
            "augment.rotate": 1.0,
            "augment.blur": 0.3,
            "augment.noise": 0.3,
            "augment.cutout": 1.0,
        },
        reason="regularized: with images of few patients, overfitting is the first suspicion",
    ),
)


def starts_of(space: Space, number: int) -> list[Recipe]:
    """Up to ``number`` different starting recipes of a space, that of trial 0 first.

    Starts that contradict what the user has fixed, or that the space does not have, are left out.

    Args:
        number: at least 1. At most five recipes differ, since one of ``STARTS`` is usually that of trial 0.
    """
    return list(itertools.islice(dict.fromkeys(_starts(space, number)), number))


def _starts(space: Space, number: int) -> Iterator[Recipe]:
    yield space.start
    # A single start needs nothing else, and spaces of earlier versions have had no others.
    for start in STARTS if number > 1 else ():
        if not _contradicts(space, start.settings) and space.fits(recipe := space.recipe(start.settings)):
            yield recipe


def _contradicts(space: Space, settings: Mapping[str, Any]) -> bool:
    searched, fixed = {dimension.key for dimension in space.dimensions}, {**space.start.flat(), **space.settings}
    if not space.start.model.is_resnet and any(key in OF_RESNET for key in settings):
        return True
    return any(key not in searched and fixed[key] != value for key, value in settings.items())
