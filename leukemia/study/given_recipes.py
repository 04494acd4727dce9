"""The recipes that a user gives to compare, instead of a search: whether a study has some, and their names."""

from __future__ import annotations

from leukemia.study.field_types import GRID, NAME
from leukemia.study.schema import SearchOptions


def compares(info: SearchOptions) -> bool:
    """Whether a study compares given recipes rather than searching for others."""
    return info.sampler == GRID


def names_of(info: SearchOptions) -> dict[int, str]:
    """The names of recipes by trial; only those that the user has named."""
    return {number: entry[NAME] for number, entry in enumerate(info.recipes) if NAME in entry}


def with_name(name: str | None, text: str) -> str:
    """A recipe's description after its name, if it has one.

    >>> with_name("deep", "ResNet-50"), with_name(None, "ResNet-50")
    ('deep: ResNet-50', 'ResNet-50')
    """
    return text if name is None else f"{name}: {text}"
