"""The recipes to compare: ``--recipes``, a list of differences from the preset."""

from __future__ import annotations

from leukemia.base.errors import UserError
from search.planning.own_file import content_of, name_of
from search.policy.recipe_list import EXAMPLE, RecipeList

_EXPECTED = f"a list of recipes, each with its differences from the preset, such as - {EXAMPLE}"


def read_recipes(recipes: str | None) -> RecipeList | None:
    """The recipes that the user gives; None if there are none.

    Args:
        recipes: of ``--recipes``: a file, or its content if it begins with a bracket.

    Raises:
        UserError: the file cannot be read, or has no list.
    """
    if recipes is None:
        return None
    name = name_of("--recipes", recipes, "[")
    content = content_of(name, recipes, "[", _EXPECTED)
    if not isinstance(content, list) or not content:
        raise UserError(f"{name}: expected {_EXPECTED}; got {str(content)[:60]!r}")
    return RecipeList(entries=tuple(content), source=name)
