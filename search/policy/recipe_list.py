"""The recipes of ``--recipes`` as given, checked together with ``--set`` and the preset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leukemia.base.errors import UserError, listed
from leukemia.base.printable import one_line
from leukemia.config.fields import SECTIONS, check_key, checked_type
from leukemia.config.parameters import text_of
from leukemia.config.plugins import OPEN_FIELDS, RESNET
from leukemia.config.recipe import Recipe
from leukemia.study.field_types import NAME
from search.policy.comparison import recipe_with, with_all_augmentations
from search.policy.dimensions import OF_RESNET, optimizers_of
from search.policy.searchable import NOT_SEARCHED
from search.policy.space import fixed_start

EXAMPLE = "{name: deep, model.depth: 50}"
"""An entry of the list, for messages."""

LONGEST_NAME = 60
"""Of a recipe, in characters: tables have a column of names."""


@dataclass(frozen=True, kw_only=True)
class RecipeList:
    """Recipes as differences from the preset, not checked yet."""

    entries: tuple[Any, ...]
    source: str = "--recipes"
    """Where they were given, for messages."""

    def resolved(self, settings: Mapping[str, Any], preset: Recipe) -> list[dict[str, Any]]:
        """The entries in one form: ``name``, if any, then the fields by dotted key with values of their types.

        Args:
            settings: of ``--set``.
            preset: without settings.

        Raises:
            UserError: entries are wrong, or two are the same; all mistakes are listed. Or as ``fixed_start``.
        """
        # Otherwise each recipe would repeat what is wrong with the settings.
        fixed_start(preset, settings)
        mistakes: list[str] = []
        found: list[dict[str, Any]] = []
        recipes: dict[str, Recipe] = {}
        for number, entry in enumerate(self.entries, start=1):
            where = _where(number, entry)
            try:
                found.append(_in_one_form(entry))
                recipes[where] = _recipe_of(found[-1], settings, preset)
            except _Mistakes as errors:
                mistakes += [f"{where}: {each}" for each in errors.found]
        mistakes += _together(found, recipes, {} if mistakes else settings)
        if len(self.entries) < 2:
            mistakes.append("expected at least two recipes, got 1, which nothing is compared with; add another one")
        if len(mistakes) == 1:
            raise UserError(f"{self.source}: {mistakes[0]}")
        if mistakes:
            raise UserError(f"{self.source} has {len(mistakes)} mistakes:\n{listed(mistakes, limit=50)}")
        return found


def differences(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[str]:
    """In what another list differs, as text.

    >>> differences([{"name": "plain"}], [{"name": "plain", "model.depth": 50}, {"model.depth": 18}])
    ['recipe 1: plain, got plain: model.depth=50', 'recipe 2: none, got model.depth=18']
    """
    mine, theirs = ([entry_text(each) for each in entries] for entries in (one, other))
    number = max(len(mine), len(theirs))
    pairs = zip(*([*texts, *["none"] * (number - len(texts))] for texts in (mine, theirs)), strict=True)
    return [f"recipe {place}: {a}, got {b}" for place, (a, b) in enumerate(pairs, start=1) if a != b]


def entry_text(entry: Mapping[str, Any]) -> str:
    """A given recipe as text.

    >>> entry_text({"name": "deep", "model.depth": 50, "augment.blur": 0.0}), entry_text({})
    ('deep: augment.blur=0 model.depth=50', 'the preset')
    """
    fields = " ".join(f"{key}={text_of(value)}" for key, value in sorted(entry.items()) if key != NAME)
    return ": ".join(filter(None, [entry.get(NAME), fields])) or "the preset"


class _Mistakes(Exception):
    """Everything that is wrong with one entry."""

    def __init__(self, found: Sequence[str]) -> None:
        super().__init__(*found)
        self.found = found


def _where(number: int, entry: Any) -> str:
    name = entry.get(NAME) if isinstance(entry, Mapping) else None
    return f"recipe {number}{f' ({one_line(name)[:LONGEST_NAME]})' if isinstance(name, str) and name else ''}"


def _in_one_form(entry: Any) -> dict[str, Any]:
    """An entry whose fields are known and have values of their types.

    Raises:
        _Mistakes: it is none.
    """
    if not isinstance(entry, Mapping):
        raise _Mistakes([f"expected fields and their values, such as {EXAMPLE}, got {str(entry)[:60]!r}"])
    found: dict[str, Any] = {}
    mistakes: list[str] = []
    for key, value in _fields(entry):
        try:
            if key == NAME:
                found[NAME] = _name(value)
                continue
            if key in found:
                raise UserError(f"{key} is given twice, nested and with a dotted name; give it once")
            check_key(key)
            if key in NOT_SEARCHED:
                raise UserError(f"{key} cannot differ between recipes: {NOT_SEARCHED[key]}")
            found[key] = checked_type(key, value)
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise _Mistakes(mistakes)
    return found


def _fields(entry: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The name and the fields by dotted key, also of fields that are nested by section as in W&B."""
    for key, value in entry.items():
        if key in SECTIONS and isinstance(value, Mapping):
            yield from ((f"{key}.{name}", each) for name, each in value.items())
        else:
            yield str(key), value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME or one_line(value) != value:
        raise UserError(f"{NAME}: expected a line of text with at most {LONGEST_NAME} characters, got {value!r:.80}")
    return value


def _recipe_of(entry: Mapping[str, Any], settings: Mapping[str, Any], preset: Recipe) -> Recipe:
    """The recipe of an entry.

    Raises:
        _Mistakes: it contradicts ``--set``, or is no recipe.
    """
    fields = {key: value for key, value in entry.items() if key != NAME}
    mistakes = [
        f"{key}: the value {text_of(value)} contradicts --set {key}={text_of(settings[key])}; leave one of them out"
        for key, value in fields.items()
        if key in settings and settings[key] != value
    ]
    if mistakes:
        raise _Mistakes(mistakes)
    try:
        return recipe_with(preset, settings, fields)
    except UserError as error:
        # The error is of the first field that is wrong; others may be, too.
        names = {key: value for key, value in fields.items() if key in OPEN_FIELDS}
        alone = [_error_of(preset, settings, {**names, key: value}) for key, value in fields.items()]
        raise _Mistakes([each for each in alone if each] or [str(error)]) from None


def _error_of(preset: Recipe, settings: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """What is wrong with some fields; empty if nothing is."""
    try:
        recipe_with(preset, settings, fields)
    except UserError as error:
        return str(error)
    return ""


def _together(
    entries: Sequence[Mapping[str, Any]], recipes: Mapping[str, Recipe], settings: Mapping[str, Any]
) -> Iterator[str]:
    """Mistakes that show only in all entries: two that are the same, and settings that apply to none.

    Args:
        recipes: those that are right, by where they are.
    """
    names = [entry[NAME] for entry in entries if NAME in entry]
    yield from (f"the name {name!r} is given twice; tables tell recipes apart by it" for name in _repeated(names))
    if len(recipes) == len(entries):
        yield from _without_effect({each.optimizer.name for each in recipes.values()}, settings)
        yield from _without_resnet({each.model.network for each in recipes.values()}, settings)
    first: dict[Recipe, str] = {}
    for where, recipe in zip(recipes, with_all_augmentations(list(recipes.values())), strict=True):
        if (other := first.setdefault(recipe, where)) != where:
            yield f"{other} and {where} are the same recipe; leave one of them out"


def _without_effect(optimizers: set[str], settings: Mapping[str, Any]) -> Iterator[str]:
    for key in settings:
        if not optimizers & set(optimizers_of(key) or optimizers):
            having, others = ", ".join(optimizers_of(key)), " or ".join(sorted(optimizers))
            yield f"--set {key}: only {having} has it, but the recipes have {others}; leave it out"


def _without_resnet(networks: set[str], settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings of the built-in network that no recipe has, and weights of it for recipes with other networks."""
    if RESNET not in networks:
        known = f"only {RESNET} has it, but the recipes have {' or '.join(sorted(networks))}"
        yield from (f"--set {key}: {known}; leave it out" for key in settings if key in OF_RESNET)
    elif len(networks) > 1 and settings.get("model.pretrained") is not None:
        yield "--set model.pretrained: its weights are a ResNet's, but not all recipes have that network; leave one out"


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]
