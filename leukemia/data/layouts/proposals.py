"""Words of folders or files that may be the classes, and whether the data can be read with them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from leukemia.base.errors import UserError
from leukemia.data.class_hints import hinted_label
from leukemia.data.classes import NAMED, PLACE, joined, mapping, normal_form
from leukemia.data.layouts.class_names import class_names
from leukemia.data.layouts.companions import companion_words
from leukemia.data.layouts.file_words import are_letters, proposed_words
from leukemia.data.layouts.folder_levels import Level, class_level, other_levels

Read: TypeAlias = Callable[[tuple[str, ...]], object]
"""Reads data with a value of ``--classes``, or raises ``UserError``."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Words that may be the classes."""

    words: Sequence[str]
    """One per image."""

    ignored: frozenset[str]
    """Folders, and last words of names, to leave out."""

    words_of: str = ""
    """Whose words they are, such as "the names of the files"; empty if they are whole names of folders."""

    @property
    def are_folders(self) -> bool:
        """Whether the words are names of folders, rather than words in names."""
        return not self.words_of

    @property
    def forms(self) -> set[str]:
        """The different words."""
        return set(map(normal_form, self.words))

    @property
    def is_known(self) -> bool:
        """Whether one of them is known."""
        return any(word in NAMED for word in self.forms)

    @property
    def is_hinted(self) -> bool:
        """Whether most of them suggest a class."""
        words = set(self.words)
        return 2 * self._num_hinted > len(words)

    @property
    def has_hints(self) -> bool:
        """Whether one of them suggests a class."""
        return self._num_hinted > 0

    @property
    def are_letters(self) -> bool:
        """Whether they are single letters."""
        return are_letters(set(self.words))

    @property
    def _num_hinted(self) -> int:
        return sum(hinted_label(word) is not None for word in set(self.words))

    def problem(self, read: Read) -> str | None:
        """Why data cannot be read with these words; None if they can, as whatever class the unknown ones are mapped.

        A problem that depends on the classes, which nobody has given yet, is empty.
        """
        typed, unclear = mapping(self.words, None, self.ignored)
        items = shlex.split(typed)[1:]
        found = [_refused(read, _filled(items, [unclear[:1], unclear[1:]]))]
        if found[0] is not None and typed.count(PLACE) > 1:
            found.append(_refused(read, _filled(items, [unclear[1:], unclear[:1]])))
        return found[0] if len(set(found)) == 1 else ""


def _filled(items: Sequence[str], words: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The value of ``--classes`` with two sets of words for the classes without any, or both for the only one."""
    num_places = sum(item.endswith(PLACE) for item in items)
    parts = iter(words if num_places > 1 else [[word for each in words for word in each]])
    return tuple(_with_words(item, next(parts)) if item.endswith(PLACE) else item for item in items)


def _with_words(item: str, words: Sequence[str]) -> str:
    """A part of ``--classes`` with words in the place of those that the user must write; those before it may do."""
    return item.replace(PLACE, joined(words)) if words else item.removesuffix(f",{PLACE}")


def _refused(read: Read, classes: tuple[str, ...]) -> str | None:
    try:
        read(classes)
    except UserError as error:
        return str(error)
    return None


def proposals(data: Path, levels: Sequence[Level]) -> list[Proposal]:
    """What may be the classes of the images in a folder, the likeliest first.

    That is what has a known word, then what has mostly words that suggest a class, then what has one, then what has the
    fewest words, folders before files; numbered folders and single letters are last.
    Words in the names of folders are before these.

    Args:
        levels: of ``data``.
    """
    named, companions = class_names(data), frozenset(companion_words(data))
    chosen = class_level(levels) or next((level for level in levels if named.has_all(level.names)), None)
    whole = [level for level in (chosen, *other_levels(levels)) if level is not None]
    words = [
        (place, [Proposal(words=found, ignored=companions, words_of=place.names)])
        for place, found in proposed_words(data)
    ]
    of_levels = {level.above: _variants(level, companions) for level in whole}
    groups = [*of_levels.values(), *(group for place, group in words if place.level is None)]
    numbered = {level.names for level in levels if level.are_numbered}
    groups.sort(
        key=lambda group: (
            group[0].are_letters and not group[0].are_folders,
            tuple(group[0].words) in numbered,
            len(group[0].forms),
        )
    )
    for place, group in words:
        if place.level is not None:
            # They say the same as the whole names of their level, in fewer words.
            own = of_levels.get(place.level)
            groups.insert(len(groups) if own is None else groups.index(own), group)
    groups.sort(key=lambda group: (not group[0].is_known, not group[0].is_hinted, not group[0].has_hints))
    return [each for group in groups for each in group if len(each.forms) > 1]


def _variants(level: Level, ignored: frozenset[str]) -> list[Proposal]:
    """All folders of a level, and then those without images of another level, which may be something else."""
    words = [name for name in level.names if name not in level.shallow]
    whole = Proposal(words=level.names, ignored=ignored)
    rest = [Proposal(words=words, ignored=ignored | level.shallow)] if level.shallow else []
    return [whole, *rest]
