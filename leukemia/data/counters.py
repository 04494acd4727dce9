"""Places in the paths of images that count something: images, cells, fields, or the slides of each patient."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from leukemia.data.part_words import plain
from leukemia.data.subject_words import looks_like_subjects

LEAST_DENSE = 0.5
"""A running number has such a share of the numbers from its first one to its last one."""

_NUMBERED = re.compile(r"(?P<word>.*?)[\W_]*(?P<number>\d+)")
_COUNTED = frozenset(
    "image images img imgs im pic picture photo foto bild imagen imagem immagine dsc frame field fov view scan crop "
    "tile patch roi box cell cells wbc zelle zellen celula celulas cellule cellula feld campo champ batch serie series "
    "no nr num number index idx изображение снимок клетка поле 图像 图片 细胞 视野".split()
)
_SAMPLES = frozenset(
    "slide slides smear smears sample samples specimen visit day week ausstrich probe praparat frottis lame lamina "
    "vetrino striscio frotis мазок 涂片 玻片".split()
)
_PATIENTS = frozenset("p pt pat pac paz pz id uid s".split())


@dataclass(frozen=True, kw_only=True)
class Place:
    """A level of folders, or a word of the names, whose values may be patients."""

    values: tuple[str | None, ...]
    """One per image; None if its name has another form."""

    where: str
    """What the values are read from: the folders or the names."""

    before: str = ""
    """What is before the value in a path, as a regular expression."""

    group: str = ""
    """The value, as a regular expression."""

    after: str = ""
    """What is after it, as a regular expression."""

    words: frozenset[str] = frozenset()
    """The words before the values, in plain letters, if they are numbers."""

    @property
    def pattern(self) -> str:
        """Finds the value in a path, as a group."""
        return f"{self.before}({self.group}){self.after}"

    @property
    def distinct(self) -> list[str]:
        """The different values, sorted."""
        return sorted({value for value in self.values if value is not None})

    @property
    def prefixes(self) -> set[str]:
        """What is before the numbers of the values: their own letters, or the words before them."""
        found = {match["word"] for value in self.distinct if (match := _NUMBERED.fullmatch(value))}
        return {plain(prefix) for prefix in found if prefix} or set(self.words)

    @property
    def counts_images(self) -> bool:
        """Whether the word before each value says that it is the number of an image, a cell or a field.

        >>> [Place(values=(value,), where="names").counts_images for value in ("img_0001", "cell12", "P12")]
        [True, True, False]
        """
        return bool(self.prefixes) and self.prefixes <= _COUNTED

    @property
    def are_called_patients(self) -> bool:
        """Whether the word before each value stands for a patient."""
        return bool(self.prefixes) and all(each in _PATIENTS or looks_like_subjects(each) for each in self.prefixes)

    def restarts_in(self, outer: Place, others: Collection[str]) -> bool:
        """Whether the values are a running number that starts again in each value of a place before.

        Args:
            outer: a place of the same images.
            others: values of ``outer`` that are no groups.
        """
        groups: dict[str, set[int]] = defaultdict(set)
        for value, name in zip(self.values, outer.values, strict=True):
            match = None if value is None else _NUMBERED.fullmatch(value)
            if name is None or name in others:
                continue
            if match is None:
                return False
            groups[name].add(int(match["number"]))
        several = [each for each in groups.values() if len(each) > 1]
        return len(several) > 1 and all(map(_is_run, groups.values()))


def is_counter(place: Place, before: Sequence[Place], classes: Collection[str]) -> bool:
    """Whether a place counts images, or things of which each patient has several.

    Args:
        before: the places before it in the paths, those of folders first.
        classes: the values that stand for classes or for parts of a split. Patients may be numbered in each of them;
            what is called a slide or a sample is then one of several.
    """
    if place.counts_images:
        return True
    if place.are_called_patients:
        return False
    are_samples = bool(place.prefixes) and place.prefixes <= _SAMPLES
    return any(place.restarts_in(outer, () if are_samples else classes) for outer in before)


def _is_run(numbers: Collection[int]) -> bool:
    """Whether numbers begin with 0 or 1 and have few gaps.

    >>> _is_run({1, 2, 3}), _is_run({0}), _is_run({7, 8}), _is_run({1, 17, 91})
    (True, True, False, False)
    """
    return min(numbers) <= 1 and len(numbers) >= LEAST_DENSE * max(numbers)
