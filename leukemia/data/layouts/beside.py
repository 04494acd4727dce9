"""Images beside the folders of cells, such as an overview of each slide: a few are left out, and named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from leukemia.data.layouts.source import Source
from leukemia.data.subjects import some

LARGEST_SHARE = 0.25
"""More images of a data set than this are no overviews of the others."""


def are_few(number: int, total: int) -> bool:
    """Whether so many of all images may be beside the folders of the others without being cells."""
    return number <= LARGEST_SHARE * total


def folders_above(folders: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """All folders that contain one of these folders, the data folder, which is empty, included."""
    return {each[:level] for each in set(folders) for level in range(len(each))}


def num_common(folders: Sequence[tuple[str, ...]]) -> int:
    """How many outermost folders all images have.

    >>> num_common([("data", "hem"), ("data", "all")]), num_common([])
    (1, 0)
    """
    levels = list(zip(*folders, strict=False))
    return next((number for number, names in enumerate(levels) if len(set(names)) > 1), len(levels))


def few_above(folders: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Those of the folders of all images that have only overviews: a few images, above the folders of the others."""
    above = folders_above(folders)
    return above if are_few(sum(each in above for each in folders), len(folders)) else set()


def with_beside(source: Source) -> Source:
    """The images, with how many and which others beside their folders are left out."""
    if not source.beside:
        return source
    names = some([path.relative_to(source.root).as_posix() for path in source.beside])
    return dataclasses.replace(
        source,
        excluded=(*source.excluded, f"{len(source.beside)} images beside the folders of the classes"),
        named_notes=(*source.named_notes, f"did not read {names}, beside the folders of the classes"),
    )
