"""Masks that are called so, recognized by their pixels too, whatever the folders and names of their cells are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from leukemia.data.layouts.masks import NUM_SEEN, are_masks

_WORD = (
    r"(?:masks?|maske|masken|masques?|mascaras?|seg|segmented|segmentations?|labels?|annotations?|annotated|gt"
    r"|ground[_ -]?truth)"
)
_FOLDER = re.compile(rf"(?:.+[_. -])?(?P<word>{_WORD})", re.IGNORECASE)
_BEGIN = re.compile(rf"(?P<word>{_WORD})[_. -].+", re.IGNORECASE)
_END = re.compile(rf"(?:.*(?P<end>[_. -](?P<word>{_WORD}))|(?P<alone>{_WORD}))", re.IGNORECASE)


def named_masks(
    root: Path, paths: Sequence[Path], *, classes: frozenset[str] = frozenset()
) -> dict[Path, tuple[str, bool]]:
    """The masks among images, with the folder or the part of their names that says so, and whether it is a folder.

    ``masks/P1/7_mask.png`` is one beside ``P1/7_BF.png``: no image needs to have the same path or name. Only a few
    images for each word and kind of place are decoded. If all images are called so, none is a mask of others.

    Args:
        root: the folder above.
        paths: all images below.
        classes: folders that stand for a class.
    """
    kinds: dict[tuple[str, str], dict[Path, tuple[str, bool]]] = defaultdict(dict)
    for path in paths:
        place, word, kind, is_in_folder = _called(path, root, classes)
        if word:
            kinds[place, word.lower()][path] = (kind, is_in_folder)
    if sum(map(len, kinds.values())) == len(paths):
        return {}
    return {
        path: kind
        for found in kinds.values()
        if are_masks(list(found)[:: -(-len(found) // NUM_SEEN)])
        for path, kind in found.items()
    }


def _called(path: Path, root: Path, classes: frozenset[str]) -> tuple[str, str, str, bool]:
    """The kind of place and the word for masks that a path has, the folder or part of the name, and whether it is a
    folder; empty if it has none."""
    for name in path.relative_to(root).parts[:-1]:
        if name not in classes and (match := _FOLDER.fullmatch(name)):
            return "folder", match["word"], name, True
    if match := _END.fullmatch(path.stem):
        return "end", match["word"] or match["alone"], match["end"] or path.stem, False
    if match := _BEGIN.fullmatch(path.stem):
        return "begin", match["word"], f"{match['word']}*", False
    return "", "", "", False
