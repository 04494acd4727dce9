"""Lists of images without labels that are called for a class each: ``normal.csv`` and ``leukemia.csv``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import MOST_WORDS, NAMED, Vocabulary, unknown_words
from leukemia.data.layouts.base_folder import located_listing
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.fold_lists import ReadList
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.label_column import label_column
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.lists import merged
from leukemia.data.layouts.source import Source, direct_others
from leukemia.data.layouts.tables import is_table
from leukemia.data.reading import Reading
from leukemia.data.split import CSVS, part_of
from leukemia.data.subjects import some


def class_lists(data: Path, reading: Reading, *, labels: bool) -> Source | None:
    """The images of the lists directly in ``data``; None unless each is of other images, has no column that may have
    labels, and is not called for a part of a split.

    Args:
        labels: whether labels are required; if not, the images have none.

    Raises:
        LabelError: the names of the lists are no known words, or not those of ``--classes``.
        UserError: two lists have the same image.
    """
    listings = _lists(data, reading) if labels else []
    if len(listings) < 2:
        return None
    words = {listing.path: listing.path.stem for listing in listings}
    vocabulary = NAMED if reading.classes is None else Vocabulary.given(reading.classes)
    if not all(word in vocabulary for word in words.values()):
        message = f"{data}: the lists have no labels, but each may be of a class; map their names with --classes"
        raise unknown_words(message, [words[each.path] for each in listings for _ in each.rows], reading.classes)
    unlabelled = reading.without_labels()
    parts = [
        ReadList(name=words[each.path], path=each.path, source=list_images(each, unlabelled, labels=False))
        for each in listings
    ]
    source = merged(parts)
    word_of = {row.path: each.name for each in parts for row in each.source.rows}
    # Their names are no parts of a split.
    is_split = source.split_from != CSVS
    rows = tuple(
        dataclasses.replace(
            row,
            label=vocabulary.label(word_of[row.path]),
            word=word_of[row.path],
            split=row.split if is_split else None,
        )
        for row in source.rows
    )
    note = f"read {some([listing.path.name for listing in listings])}: labels are read from the names of the lists"
    return dataclasses.replace(
        source,
        rows=rows,
        split_from=source.split_from if is_split else "",
        named_notes=(note, *source.named_notes),
    )


def _lists(data: Path, reading: Reading) -> Sequence[Listing]:
    """The lists, if all tables in a folder are such; else none."""
    tables = [path for path in direct_others(data) if is_table(path)]
    if not 1 < len(tables) <= MOST_WORDS or any(part_of(path.stem) for path in tables):
        return []
    try:
        listings = [located_listing(path, reading, data) for path in tables]
        are_lists = all(
            each.path_column is not None
            and each.has_row_per_image
            and label_column(each, reading, required=False)[0] is None
            and not label_candidates(each)
            for each in listings
        )
    except UserError:
        return []
    return listings if are_lists else []
