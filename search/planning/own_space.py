"""The user's own search space: ``--space``, a file in the form of W&B's sweeps, and ``--search``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leukemia.base.errors import UserError, listed
from leukemia.config.parameters import PARAMETERS, flattened
from search.planning.own_file import content_of, name_of
from search.policy.range_text import parameter_of
from search.policy.wishes import Wish, Wishes

KEYS = (PARAMETERS, "only", "leave")
"""Of a file of ``--space``; the last two are not W&B's."""

NO_EFFECT = {
    "name": "the study's name is --study",
    "description": "nothing here shows it",
    "method": "--sampler chooses what proposes recipes",
    "metric": "--objective chooses the score",
    "early_terminate": "trials are stopped by the race and --pausing",
    "run_cap": "--trials limits their number",
    "command": "trials are run by search.run itself",
    "program": "trials are run by search.run itself",
    "project": "W&B's own settings choose it",
    "entity": "W&B's own settings choose it",
}
"""W&B's other keys of a sweep, and what is used instead. They are said to have no effect, not refused."""


def read_wishes(space: str | None, searches: Sequence[str]) -> tuple[Wishes | None, list[str]]:
    """What the user says about the space; None if nothing. Also the remarks on it.

    Args:
        space: of ``--space``: a file, or its content if it begins with a brace.
        searches: of ``--search``, each ``FIELD=...``.

    Raises:
        UserError: the file cannot be read, or is in another form; or a text of ``--search`` is wrong.
    """
    if space is None and not searches:
        return None, []
    name = "--space" if space is None else name_of("--space", space, "{")
    content = {} if space is None else _content(name, space)
    remarks = [f"{name}: {key} has no effect: {NO_EFFECT[key]}" for key in content if key in NO_EFFECT]
    try:
        parameters = flattened({} if content.get(PARAMETERS) is None else content[PARAMETERS])
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    of_file = [Wish(key=key, entry=entry, source=name) for key, entry in parameters.items()]
    wishes = Wishes(
        parameters=(*of_file, *_searched(searches)),
        only=_only(name, content.get("only", False)),
        left=_left(name, content.get("leave") or []),
        file=name,
    )
    return wishes, remarks


def _content(name: str, space: str) -> Mapping[str, Any]:
    content = content_of(name, space, "{", f"one in the form of a W&B sweep, with {PARAMETERS}")
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{name}: expected {', '.join(KEYS)}, as in a W&B sweep, got {str(content)[:60]!r}")
    unknown = [str(key) for key in content if key not in KEYS and key not in NO_EFFECT]
    if unknown:
        dotted = " (fields belong below parameters)" if "." in unknown[0] else ""
        raise UserError(f"{name}: {unknown[0]!r} is not read; expected {', '.join(KEYS)}{dotted}")
    return content


def _searched(texts: Sequence[str]) -> list[Wish]:
    found, mistakes = [], []
    for text in texts:
        try:
            key, entry = parameter_of(text)
        except UserError as error:
            mistakes.append(f"--search: {error}")
        else:
            found.append(Wish(key=key, entry=entry, source="--search"))
    if mistakes:
        # A single one is a line of its own, as everywhere.
        one = len(mistakes) == 1
        raise UserError(mistakes[0] if one else f"--search has {len(mistakes)} mistakes:\n{listed(mistakes)}")
    return found


def _only(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{name}: only: expected true or false, got {value!r}")
    return value


def _left(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UserError(f"{name}: leave: expected a list of fields, got {value!r}")
    return tuple(dict.fromkeys(value))
