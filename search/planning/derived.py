"""The values that a study derives from its arguments while it runs, checked before it is created."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.recipe import Recipe
from leukemia.config.sections import MAX_SEED
from leukemia.data.folds import Splits
from leukemia.training.train import check_batch_size
from search.policy.dimensions import Choice
from search.policy.space import Space
from search.trials.warmstart import ReusedTrial


def check_derived(
    space: Space, splits: Splits, repeats: int, priors: Sequence[ReusedTrial], recipes: Sequence[Recipe] = ()
) -> None:
    """Check a new study: seeds of repeats, recipes at the limits of the space, and batches of every training run.

    Args:
        repeats: maximum number of extra seeds of a trial.
        recipes: of a comparison, which has no others.

    Raises:
        UserError: a trial, a repeat or the final training would fail.
    """
    check_seeds(space.start, repeats, priors)
    for recipe in recipes or _limits(space):
        # Every fold, and all images for the final training.
        for fold in splits.folds:
            check_batch_size(recipe, len(fold.training))
        check_batch_size(recipe, len(splits.folds[0].training) + len(splits.folds[0].validation))


def check_seeds(start: Recipe, repeats: int, priors: Iterable[ReusedTrial]) -> None:
    """Check the seeds of repeats.

    Raises:
        UserError: one would be too large.
    """
    # A repeat has the next seed after all others of its trial.
    highest = max([start.train.seed, *(seed for prior in priors for seed in prior.origin.seeds)])
    if repeats and highest + repeats > MAX_SEED:
        raise UserError(
            f"--repeats: {repeats} more seeds after {highest} exceed the highest seed, {MAX_SEED}; lower train.seed or "
            "--repeats"
        )


def _limits(space: Space) -> Iterator[Recipe]:
    """Recipes of each optimizer and each network with the first or last choice of all other fields, and the lowest or
    highest number.

    The smallest batches are in one of them: they are the first to leave a batch of one image.
    """
    choices = {each.key: each.choices for each in space.dimensions if isinstance(each, Choice)}
    for name in choices.get("optimizer.name", (space.start.optimizer.name,)):
        for network in choices.get("model.network", (space.start.model.network,)):
            for end in (0, -1):
                yield _proposed(space, _Limit(end, name, network))


def _proposed(space: Space, suggest: _Limit) -> Recipe:
    try:
        return space.propose(suggest)
    except UserError as error:
        raise UserError(
            f"{error} (in trials with {suggest.optimizer}, which the search tries unless optimizer.name is set)"
        ) from None


class _Limit:
    """Suggests the value at one end of each dimension."""

    def __init__(self, end: int, optimizer: str, network: str) -> None:
        self.end, self.optimizer, self.network = end, optimizer, network

    def real(self, key: str, low: float, high: float, log: bool) -> float:
        return (low, high)[self.end]

    def integer(self, key: str, low: int, high: int, log: bool, step: int) -> int:
        return (low, high)[self.end]

    def choice(self, key: str, choices: tuple[Any, ...]) -> Any:
        if key == "train.batch_size":
            choices = tuple(sorted(choices))
        if key == "model.network":
            return self.network
        return self.optimizer if key == "optimizer.name" else choices[self.end]
