"""The learning-rate schedule of a recipe: early epochs compare only after allowing for it."""

from __future__ import annotations

from dataclasses import dataclass

from leukemia.config.recipe import Recipe


@dataclass(frozen=True)
class RateSchedule:
    """Recipes with equal schedules warm up and anneal at the same shares of their training, whatever its length.
    Hashable."""

    optimizer: str

    cycle_ends: tuple[float, ...]
    """Ends of the cycles as shares of the training, ascending, up to the first at its end or later."""

    warmup: float = 0.0
    """End of a linear warm-up that the recipe sets, as a share of the training."""

    @classmethod
    def of(cls, recipe: Recipe) -> RateSchedule:
        """The schedule of a resolved recipe.

        ``optimizer.restart_factor`` counts only if there are restarts. A schedule without warm restarts is one cycle.

        >>> short, long = (Recipe().with_settings({"train.epochs": epochs}) for epochs in (8, 30))
        >>> RateSchedule.of(short) == RateSchedule.of(long)
        True
        """
        settings, epochs = recipe.optimizer, recipe.train.epochs
        if not settings.has("restart_epochs"):
            return cls(settings.name, (1.0,))
        assert settings.restart_epochs is not None, "the recipe is not resolved"
        assert settings.restart_factor is not None
        ends, length = [settings.restart_epochs], settings.restart_epochs
        while ends[-1] < epochs:
            length *= settings.restart_factor
            ends.append(ends[-1] + length)
        return cls(settings.name, tuple(end / epochs for end in ends), (settings.warmup_epochs or 0) / epochs)
