"""The report's section about the recipes of a comparison: their scores, and their differences from the first one."""

from __future__ import annotations

from collections.abc import Sequence

from leukemia.base.quantity import quantity
from leukemia.reporting.page import Section
from leukemia.reporting.words import describe_interval, objective_name
from leukemia.scoring.metrics import describe_difference
from leukemia.study.comparison import Compared, compared
from leukemia.study.folder import Study


def comparison_sections(study: Study) -> list[Section]:
    """A table with a row per recipe, in their order; empty for a search."""
    recipes = compared(study)
    if not recipes:
        return []
    rows = [
        (
            each.label,
            f"{each.number:04d}",
            each.seeds or "–",
            each.state if each.score is None else describe_interval(each.score),
            _difference(each),
        )
        for each in recipes
    ]
    header = ("recipe", "trial", "seeds", objective_name(study.objective), f"against {recipes[0].label}")
    return [Section(title="Comparison", text=_text(study, recipes), table=[header, *rows])]


def _difference(each: Compared) -> str:
    if each.number == 0:
        return "the first recipe"
    return "–" if each.difference is None else describe_difference(each.difference)


def _text(study: Study, recipes: Sequence[Compared]) -> str:
    info, complete = study.info, [each for each in recipes if each.score is not None]
    left = ""
    if len(complete) < info.trials:
        left = (
            f" Of {info.trials} recipes, {len(complete)} {'has' if len(complete) == 1 else 'have'} finished all folds."
        )
    if all(each.difference is None for each in recipes):
        without = "is not complete" if recipes[0].score is None else "is the only one that is complete"
        return f"The first recipe {without}, so there is nothing to compare with it yet.{left}"
    number = sum(each.difference is not None for each in recipes)
    seeds = {each.seeds for each in complete}
    measured = "which the repeats measure"
    noise = measured if max(seeds) > 1 else "which is assumed, not measured, since each recipe has one seed"
    several = (
        f" There are {number} of them, and the intervals are not adjusted for that: of twenty that compare equal "
        "recipes, one is expected to exclude 0."
        if number > 1
        else ""
    )
    return (
        f"Scores are means over {quantity(info.folds, 'fold')} and all seeds of a recipe, with 95 % intervals from a "
        "bootstrap over groups. Differences are paired, since all recipes have predicted the same images. Their 95 % "
        f"intervals are Student's t intervals over groups (jackknife), widened by what the seed alone changes, {noise}."
        f"{several} The winner was chosen by these scores, so its own score here is too optimistic; the one to quote "
        f"is at the top.{left}"
    )
