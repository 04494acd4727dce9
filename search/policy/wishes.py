"""The parameters of ``--space`` and ``--search`` as given, checked together with ``--set`` and the starting recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.base.errors import UserError, listed
from leukemia.config.fields import check_key
from leukemia.config.parameters import text_of
from leukemia.config.plugins import OPEN_FIELDS, RESNET
from leukemia.config.recipe import Recipe
from leukemia.study.field_types import GRID
from search.policy.asked import DEFAULT_REASON, NOTHING, Asked
from search.policy.built_in import built_in
from search.policy.dimensions import OF_RESNET, Choice, Dimension, Real, is_of, nearest, optimizers_of, values_text
from search.policy.parameter import Fixed, read_parameter
from search.policy.searchable import NOT_SEARCHED
from search.policy.space import Space, fixed_start, make_space, searched_names

SET = "--set"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A parameter as given."""

    key: str
    entry: Any
    source: str
    """Where it was given, for messages."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """All that the user says about the space, not checked yet."""

    parameters: tuple[Wish, ...] = ()
    only: bool = False
    left: tuple[str, ...] = ()
    file: str = "--space"
    """Where ``only`` and ``left`` were given, for messages."""

    grid: bool = False
    """Whether all combinations of the values are compared, and nothing else is searched."""

    def resolved(self, settings: Mapping[str, Any], preset: Recipe) -> tuple[Asked, dict[str, Any]]:
        """What is asked to be searched, and all fixed fields: those of ``--set`` and of these parameters.

        Args:
            settings: of ``--set``.
            preset: the starting recipe without settings.

        Raises:
            UserError: the parameters are wrong or contradict each other; all mistakes are listed.
        """
        mistakes: list[str] = []
        found, fixed = self._read(settings, mistakes)
        mistakes += _of_left(self, found, {**settings, **fixed})
        asked = Asked(dimensions=tuple(found.values()), only=self.only or self.grid, left=self.left)
        both, wrong = {**settings, **fixed}, {each.key for each in self.parameters} - {*found, *fixed}
        if "optimizer.name" not in wrong:
            # Otherwise it is not known which settings apply.
            mistakes += _together(asked, both, preset, is_whole=not mistakes, grid=self.grid)
        if len(mistakes) == 1:
            raise UserError(mistakes[0])
        if mistakes:
            raise UserError(f"the search space has {len(mistakes)} mistakes:\n{listed(mistakes, limit=50)}")
        return asked, both

    def _read(self, settings: Mapping[str, Any], mistakes: list[str]) -> tuple[dict[str, Dimension], dict[str, Any]]:
        """The dimensions and the fixed values by field; mistakes are added to the list."""
        found: dict[str, Dimension | Fixed] = {}
        sources: dict[str, str] = {}
        for wish in self.parameters:
            try:
                each = _read_wish(wish)
                if self.grid and isinstance(each, Real):
                    values = f"--search {wish.key}={text_of(each.low)},{text_of(each.high)}"
                    raise UserError(
                        f"{wish.key}: {values_text(each)} is a range, and a grid combines values; list them: {values}"
                    )
                _check_bounds(each)
                _check_same(wish, each, found, sources, settings)
            except UserError as error:
                mistakes.append(f"{wish.source}: {error}")
                continue
            found[wish.key], sources[wish.key] = each, wish.source
        fixed = {key: each.value for key, each in found.items() if isinstance(each, Fixed)}
        return {key: each for key, each in found.items() if not isinstance(each, Fixed)}, fixed


def _read_wish(wish: Wish) -> Dimension | Fixed:
    check_key(wish.key)
    each = read_parameter(wish.key, wish.entry, f"{DEFAULT_REASON} ({wish.source})")
    if wish.key in NOT_SEARCHED and (not isinstance(each, Fixed) or wish.key == "model.pretrained_sha256"):
        raise UserError(f"{wish.key} cannot be searched: {NOT_SEARCHED[wish.key]}")
    return each


def _check_bounds(each: Dimension | Fixed) -> None:
    """Check every value against the bounds of its field; of an optimizer's setting, if any optimizer allows it."""
    wrong = []
    for value in _ends(each):
        names = optimizers_of(each.key) or (Recipe().optimizer.name, "adamw")
        errors = [_error_of({"optimizer.name": name, each.key: value}) for name in names]
        if each.key not in OPEN_FIELDS and all(errors):
            wrong.append(errors[-1])
    if wrong:
        raise UserError("; ".join(str(error) for error in wrong))


def _ends(each: Dimension | Fixed) -> tuple[Any, ...]:
    """The values that decide whether a dimension is within bounds."""
    if isinstance(each, Fixed):
        return (each.value,)
    return each.choices if isinstance(each, Choice) else (each.low, each.high)


def _error_of(settings: Mapping[str, Any]) -> UserError | None:
    try:
        Recipe().with_settings(settings)
    except UserError as error:
        return error
    return None


def _check_same(
    wish: Wish,
    each: Dimension | Fixed,
    found: Mapping[str, Dimension | Fixed],
    sources: Mapping[str, str],
    settings: Mapping[str, Any],
) -> None:
    """Check that a field is not given again with another meaning."""
    key = wish.key
    if key in found and _meaning(found[key]) != _meaning(each):
        earlier = _meaning(found[key])
        raise UserError(f"{key}: {_meaning(each)} contradicts {earlier} of {sources[key]}; leave one of them out")
    if key in settings and _meaning(each) != _meaning(Fixed(key=key, value=settings[key])):
        fixed = text_of(settings[key])
        raise UserError(f"{key}: {_meaning(each)} contradicts {SET} {key}={fixed}; leave one of them out")


def _meaning(each: Dimension | Fixed) -> str:
    return f"the value {text_of(each.value)}" if isinstance(each, Fixed) else values_text(each)


def _of_left(wishes: Wishes, found: Mapping[str, Dimension], fixed: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in ``leave``."""
    known = {each.key for each in built_in(epochs=8)} | {"optimizer.restart_epochs", "optimizer.restart_factor"}
    if (wishes.only or wishes.grid) and wishes.left:
        which = f"--sampler {GRID}" if wishes.grid else "only"
        why = f"{which}, which leaves all fields that are not named"
        yield f"{wishes.file}: leave has no effect with {why}; leave it out"
        return
    for key in wishes.left:
        try:
            check_key(key)
        except UserError as error:
            yield f"{wishes.file}: leave: {error}"
            continue
        if key in found or key in fixed:
            yield f"{wishes.file}: leave: {key} is {'searched' if key in found else 'fixed'} as well; choose one"
        elif key not in known:
            yield f"{wishes.file}: leave: {key} is not in the built-in space, so it is left already; take it out"


def _together(
    asked: Asked, settings: Mapping[str, Any], preset: Recipe, *, is_whole: bool, grid: bool
) -> Iterator[str]:
    """Mistakes that show only in the space, which lacks what was wrong unless ``is_whole``."""
    try:
        start = start_of(preset, settings, asked)
    except UserError as error:
        yield str(error)
        return
    space = make_space(start, settings, asked=asked)
    names = searched_names(space.dimensions) or (start.optimizer.name,)
    trials = f"trials have {' or '.join(names)}"
    yield from _without_resnet(asked, settings, start, space)
    for each in asked.dimensions:
        if each.key == "model.depth" and start.model.pretrained is not None:
            yield "model.depth cannot be searched with model.pretrained, whose weights have one depth; leave one out"
        if each.optimizers and not set(names) & set(each.optimizers):
            yield f"{each.key}: only {', '.join(each.optimizers)} has it, but {trials}; search or set optimizer.name"
        for name in names if each.key.startswith("optimizer.") and each.key != "optimizer.name" else ():
            if each.optimizers and name not in each.optimizers:
                continue
            errors = [_error_of({"optimizer.name": name, each.key: value}) for value in _ends(each)]
            yield from (f"{error} (in trials with {name})" for error in errors if error)
    for key in settings:
        if not set(names) & set(optimizers_of(key) or names):
            yield f"{key}: only {', '.join(optimizers_of(key))} has it, but {trials}; leave it out"
    if is_whole and not space.dimensions and grid:
        yield f"--sampler {GRID}: nothing is left to combine: every field is fixed; name several values with --search"
    elif is_whole and not space.dimensions:
        yield "nothing is left to search: every field is fixed or left; name one, or take out only"


def _without_resnet(asked: Asked, settings: Mapping[str, Any], start: Recipe, space: Space) -> Iterator[str]:
    """Fields of the built-in network that no trial has, and weights of it for trials with other networks."""
    networks = searched_names(space.dimensions, "model.network") or (start.model.network,)
    if RESNET not in networks:
        for key in dict.fromkeys([*(each.key for each in asked.dimensions), *settings]):
            if key in OF_RESNET:
                yield f"{key}: only {RESNET} has it, but trials have {' or '.join(networks)}; leave it out"
    elif len(networks) > 1 and settings.get("model.pretrained") is not None:
        yield "model.network cannot be searched with model.pretrained, whose weights are a ResNet's; leave one out"


def start_of(preset: Recipe, settings: Mapping[str, Any], asked: Asked = NOTHING) -> Recipe:
    """The starting recipe: the preset with the user's settings, and of what the user searches the nearest values.

    Trial 0 is in the space that the user asks for; the built-in space does not limit it.

    Raises:
        UserError: as ``fixed_start``.
    """
    own = {each.key: each for each in asked.dimensions}
    for key in OPEN_FIELDS:
        if key in own:
            preset = preset.with_settings({key: nearest(own.pop(key), preset.flat()[key])})
    # Augmentations of plug-ins are in no preset.
    preset = preset.with_settings(dict.fromkeys((key for key in own if key not in preset.flat()), 0.0))
    start = fixed_start(preset, settings)
    # The length of a cycle is by default that of the training, which is therefore first.
    for key in sorted(own, key="optimizer.restart_epochs".__eq__):
        if not is_of(key, own[key].optimizers, start.optimizer.name, start.model.network):
            continue
        value = start.flat()[key]
        start = start.with_settings({key: nearest(own[key], start.train.epochs if value is None else value)})
    return start


def moved(start: Recipe, settings: Mapping[str, Any], preset: Recipe, asked: Asked) -> list[str]:
    """The fields in which trial 0 is not as the preset and the settings have it, since the space lacks that value."""
    wanted, got = fixed_start(preset, settings).flat(), start.flat()
    return [
        f"{each.key} {text_of(got[each.key])} instead of {text_of(wanted[each.key])}"
        for each in asked.dimensions
        if None not in (wanted.get(each.key), got.get(each.key)) and wanted[each.key] != got[each.key]
    ]
