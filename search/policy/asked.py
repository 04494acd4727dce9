"""What the user asks to be searched, with ``--space`` and ``--search``: changes of the built-in space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from leukemia.base.errors import UserError
from leukemia.config.parameters import PARAMETERS, flattened, stored_space
from leukemia.study.layout import STUDY
from search.policy.dimensions import Dimension, described, values_text
from search.policy.parameter import Fixed, read_parameter

DEFAULT_REASON = "asked for by the user"
"""Of a field whose parameter has no ``reason``."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The user's own dimensions, and what becomes of the built-in ones."""

    dimensions: tuple[Dimension, ...] = ()
    """Instead of those of the built-in space with the same key, or besides them."""

    only: bool = False
    """Whether nothing else is searched."""

    left: tuple[str, ...] = ()
    """Fields of the built-in space that are not searched: they are as in the starting recipe."""

    def to_dict(self) -> dict[str, Any]:
        """In JSON types, for ``study.json``; empty if nothing is asked for."""
        if self == NOTHING:
            return {}
        entries = stored_space({each.key: described(each, ()) for each in self.dimensions})
        return {"only": self.only, "leave": list(self.left), PARAMETERS: entries}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Asked:
        """The inverse of ``to_dict``.

        Raises:
            UserError: it is damaged.
        """
        if not stored:
            return NOTHING
        try:
            found = [read_parameter(key, entry, DEFAULT_REASON) for key, entry in flattened(stored[PARAMETERS]).items()]
            dimensions = tuple(each for each in found if not isinstance(each, Fixed))
            return cls(dimensions=dimensions, only=bool(stored["only"]), left=tuple(stored["leave"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{STUDY}: asked: {error}; restore the file from a backup") from None

    def differences(self, other: Asked) -> list[str]:
        """In what the other one differs, as text; reasons do not count."""
        return list(_differences(self, other))


NOTHING = Asked()
"""The built-in space as it is."""


def _differences(one: Asked, other: Asked) -> Iterator[str]:
    if one.only != other.only:
        yield f"only: {str(one.only).lower()}, got {str(other.only).lower()}"
    if set(one.left) != set(other.left):
        yield f"leave: {', '.join(sorted(one.left)) or 'none'}, got {', '.join(sorted(other.left)) or 'none'}"
    mine, theirs = ({each.key: values_text(each) for each in asked.dimensions} for asked in (one, other))
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            yield f"{key}: {mine.get(key, 'not named')}, got {theirs.get(key, 'not named')}"
