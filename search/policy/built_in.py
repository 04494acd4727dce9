"""The built-in search space: which fields are searched unless the user says otherwise, with ranges and reasons."""

from __future__ import annotations

from search.policy.dimensions import Choice, Dimension, Real, optimizers_of


def built_in(epochs: int | None) -> list[Dimension]:
    """The dimensions of the built-in space; ``optimizer.name`` is before the fields that depend on it.

    Args:
        epochs: of every trial; None if they are searched: then cosine annealing has a single cycle over all epochs,
            since no other length fits all of them.
    """
    return [
        Choice(
            key="model.depth",
            choices=(18, 50, 152),
            reason="a basic, a bottleneck and a very deep network; 34 and 101 are in between and would add little",
        ),
        Choice(
            key="model.shortcut",
            choices=("add", "concat", "weighted"),
            reason="to find out whether the type of shortcut matters, all else being equal",
        ),
        Choice(key="data.grayscale", choices=(False, True), reason="stain color varies by subject, not by class"),
        Choice(
            key="optimizer.name",
            choices=("ranger21", "adamw", "ranger21_cosine"),
            reason="two optimizers, each with its own schedule, and Ranger21 with AdamW's, to separate the two effects",
        ),
        Real(
            key="optimizer.learning_rate",
            low=1e-4,
            high=1e-2,
            log=True,
            reason="Ranger21's warm-down ends at 3e-5, so the range starts above; from scratch both diverge past 1e-2",
        ),
        Real(
            key="optimizer.weight_decay",
            low=1e-3,
            high=0.3,
            log=True,
            optimizers=optimizers_of("optimizer.weight_decay"),
            reason="a factor of about ten around AdamW's usual 0.01 to 0.05; ranger21 0.1.0 hardly applies it",
        ),
        *([] if epochs is None else _restarts(epochs)),
        *(
            Real(key=f"augment.{name}", low=0.0, high=high, reason=reason)
            for name, high, reason in (
                ("horizontal_flip", 0.5, "at 0.5 both orientations are equally frequent; higher values are symmetric"),
                ("vertical_flip", 0.5, "as for horizontal flips"),
                ("transpose", 0.5, "as for flips"),
                ("rotate", 1.0, "cells have no canonical orientation"),
                ("blur", 0.5, "chromatin texture is informative; blurring most images would remove it"),
                ("noise", 0.5, "as for blur"),
                ("cutout", 1.0, "the cutout hides little of a cell, so every image may have one"),
            )
        ),
    ]


def _restarts(epochs: int) -> list[Dimension]:
    choices = restart_choices(epochs)
    if len(choices) == 1:
        return []
    return [
        Choice(
            key="optimizer.restart_epochs",
            choices=choices,
            optimizers=optimizers_of("optimizer.restart_epochs"),
            reason="cycle lengths for which the last cycle ends with training, at a low learning rate",
        ),
        Choice(
            key="optimizer.restart_factor",
            choices=(1, 2),
            optimizers=optimizers_of("optimizer.restart_factor"),
            reason="cycles of equal or doubling length (Loshchilov & Hutter, arXiv:1608.03983)",
        ),
    ]


def restart_choices(epochs: int) -> tuple[int, ...]:
    """Lengths of the first cosine cycle such that a cycle ends with the last epoch, for factors 1 and 2.

    In descending order. Often the only choice is a single cycle over all epochs.

    >>> restart_choices(30), restart_choices(8)
    ((30, 10, 2), (8,))
    """
    return tuple(epochs // total for total in (1, 3, 7, 15) if epochs % total == 0)
