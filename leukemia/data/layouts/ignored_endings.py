"""Files that ``--classes`` leaves out by the last word of their names, such as ``7_mask.png`` with ``ignore=mask``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from leukemia.data.classes import Vocabulary, normal_form
from leukemia.data.names import composed

# With a letter: a number may as well count images.
_ENDING = re.compile(r".*[\W_](?P<word>[^\W_]*[^\W\d_][^\W_]*)")


def last_word(stem: str) -> str | None:
    """The last word of a name that has something before it; None if it is a number.

    >>> [last_word(stem) for stem in ("Bild_001_Maske", "7 (Kopie)_klein", "mask", "7_0")]
    ['Maske', 'klein', None, None]
    """
    match = _ENDING.fullmatch(composed(stem))
    return match["word"] if match else None


def ignored_endings(vocabulary: Vocabulary, folders: Iterable[str]) -> frozenset[str]:
    """The words of ``ignore=``, in their normal form, that are not those of folders.

    Args:
        folders: the names of all folders of the images.
    """
    return vocabulary.ignored - set(map(normal_form, set(folders)))


def ignored_ending(path: Path, endings: frozenset[str]) -> str | None:
    """The last word of the name of a file, with the separator before it or without, if it is one of these.

    >>> [ignored_ending(Path(name), frozenset(["mask", "_klein"])) for name in ("7_mask.png", "_klein.png", "mask")]
    ['mask', '_klein', None]
    """
    stem = composed(path.stem)
    match = _ENDING.fullmatch(stem) if endings else None
    ends = [stem[match.start("word") :], stem[match.start("word") - 1 :]] if match else []
    return next((end for end in ends if normal_form(end) in endings), None)
