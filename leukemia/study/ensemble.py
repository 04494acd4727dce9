"""What a delivered ensemble averages, as its record says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from leukemia.config.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class EnsembleRecord:
    """The networks of one recipe whose probabilities are averaged."""

    kind: Literal["folds", "seeds"]
    """``folds``: each is trained without one fold of the search, as in the search; ``seeds``: on all images, with the
    recipe's seed and those after it."""

    members: Annotated[int, Field(ge=2)]
    """Number of networks; of ``folds``, that of the search's folds."""

    def describe(self) -> str:
        """As text, without a full stop.

        >>> EnsembleRecord(kind="seeds", members=3).describe()
        'ensemble of 3 networks, trained on all images with different seeds'
        """
        how = "each trained without one fold of the search"
        if self.kind == "seeds":
            how = "trained on all images with different seeds"
        return f"ensemble of {self.members} networks, {how}"


def describe_model(recipe: Recipe, ensemble: EnsembleRecord | None) -> str:
    """A delivered model in one line; ``ensemble`` is None for a single network.

    >>> describe_model(Recipe(), EnsembleRecord(kind="folds", members=5))
    'ResNet-18 add, color, ranger21 1.0e-03, ensemble of 5 (folds)'
    """
    members = "" if ensemble is None else f", ensemble of {ensemble.members} ({ensemble.kind})"
    return f"{recipe.describe()}{members}"
