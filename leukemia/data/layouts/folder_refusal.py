"""Refusals of a folder that is no data set: what it has, and what to do."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from leukemia.base.errors import UserError, first_line, with_line
from leukemia.data.classes import LabelError
from leukemia.data.layouts.base_folder import has_any, located_listing
from leukemia.data.layouts.chosen_lists import header_of
from leukemia.data.layouts.class_folders import NAMES
from leukemia.data.layouts.class_names import class_names
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.file_words import proposed_words
from leukemia.data.layouts.folder_advice import unmapped
from leukemia.data.layouts.folder_levels import class_level, folder_levels, folder_names
from leukemia.data.layouts.folder_tables import folder_tables
from leukemia.data.layouts.joint_refusals import refuse_columns_of_all
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.listed_folder import Folder
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.other_kinds import describe_others
from leukemia.data.layouts.path_column import SeveralPaths
from leukemia.data.layouts.signed_lists import way_by_signed_lists
from leukemia.data.layouts.source import Row, Source, direct_others, is_image, walk
from leukemia.data.layouts.tables import by_use, is_table, is_template
from leukemia.data.layouts.unlisted import unlisted_by
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.subjects import some

MOST_TABLES = 5
"""So many CSVs of a folder that is no data set are tried, to say which one can be read."""

MOST_ALIKE = 50
"""So many CSVs with the columns of others are tried."""

_LABELLED, _UNLABELLED, _WITHOUT_IMAGES, _BROKEN, _OF_OTHERS = range(5)
"""Ranks of CSVs that are no data set: with images and columns that may have their labels, with images only, with
neither, with another form, and with names of other images than those that are there."""


def images_without_labels(data: Path, reading: Reading) -> UserError:
    """The error for images without labels: words in their names, or the CSVs beside them, may have these."""
    message, tables = f"{data}: images without labels", _named_tables(data)
    unknown = "" if reading.classes is None else ", and without a word of --classes in the names of folders and files"
    if tables:
        for rank, error in _tried(data, reading, labels=True).refused:
            if rank == _LABELLED:
                return LabelError(str(error))
    elif data.is_dir():
        if class_level(folder_levels(data)) is not None:
            return unmapped(f"{message}{unknown}; no known word names the folders", reading.classes)
        if proposed_words(data):
            return unmapped(f"{message}, directly in this folder{unknown}", reading.classes)
    message += unknown
    expected = f"C-NMC's fold_*/{{all,hem}}, folders named by class ({NAMES}), or a CSV with the columns Path and label"
    return LabelError(f"{message}; expected {expected}{tables}")


def _named_tables(data: Path) -> str:
    """Names the CSVs beside images without labels."""
    found = by_use(filter(is_table, direct_others(data))) if data.is_dir() else []
    names = ", ".join(path.name for path in found[:3])
    return f"; give the path of the CSV to read its columns: {names}" if found else ""


def no_data_set(data: Path, message: str, reading: Reading, *, labels: bool) -> UserError:
    """The error for a folder that is no data set: what it has, and what to do.

    If it has no folders that may be classes, and none of its CSVs can be read, it is the error of a CSV.
    """
    tried = _tried(data, reading, labels=labels)
    found, readable, bases = tried.refused, tried.readable, tried.bases
    errors = [error for _, error in found]
    if readable:
        paths = "its path" if len(readable) == 1 else "the path of one, or of several as one data set"
        way = f", with {reading.base_option} {' or '.join(map(shlex.quote, sorted(bases)))}" if bases else ""
        more = f" and {tried.num_untried} more" if tried.num_untried else ""
        joins = f"; {tried.joined_subjects}" if tried.joined_subjects else ""
        return LabelError(f"{message} {', '.join(readable)}{more}: give {paths}{way}{joins}")
    levels, names, others = folder_levels(data), folder_names(data), describe_others(walk(data))
    has_labels = any(rank == _LABELLED for rank, _ in found)
    beside = f" ({others})" if others else ""
    chosen = class_level(levels)
    clear = [error for rank, error in found if rank < _OF_OTHERS]
    unlisted = unlisted_by(tried.listings, data)
    if has_labels and clear and unlisted.may_be_meant:
        paths = shlex.join(str(each.path) for each in tried.listings)
        return with_line(unlisted.refusal(data), f"to read the images of the CSV instead, give {paths}")
    may_be_meant = chosen is not None and not (clear and chosen.are_fields)
    if levels and (may_be_meant or not clear) and not has_labels:
        correct = f", or correct the CSV ({first_line(clear[0])})" if clear else ", or give a CSV Path,label"
        correct = _way_by_patients(data) or correct
        return unmapped(f"{message} images in folders with other names{beside}", None, correct)
    has_words = bool(proposed_words(data))
    if errors and (has_labels or not has_words):
        return LabelError(str(with_line(errors[0], str(unlisted)) if unlisted else errors[0]))
    only = f"images in {some(sorted(set(names)))} only" if names else ""
    if has_words:
        return unmapped(f"{message} {only or 'images'}{beside}", None)
    way = "" if labels else "; give the path of the one with the cells, or a CSV"
    only += f", so no folder names a class{way}" if names else ""
    text = "; ".join(filter(None, (only, others))) or ("other files only" if any(walk(data)) else "no images at all")
    named = class_names(data)
    return LabelError(f"{message} {text}{named.describe(named.names)}{way_by_signed_lists(data)}")


def _way_by_patients(data: Path) -> str:
    """The option that reads patients from a table with a row for each of other folders; empty if there is none."""
    images = [Row(path=path, label=None) for path in walk(data) if is_image(path)]
    tables = [table for table in folder_tables(data, images) if table.subjects]
    if not tables:
        return ""
    table = tables[0]
    option = f"--subject-column {shlex.quote(table.subjects[0])}"
    return f", and add {option} to read the patients of {table.listing.path.name}, by its column {table.column}"


@dataclass(frozen=True, kw_only=True)
class _Tables:
    """The CSVs below a folder, as far as they can be read."""

    readable: list[str]
    """Their paths below the folder, those of most images first."""

    bases: set[str]
    """The base folders of their images, where these are not their own folders."""

    listings: list[Listing]
    """Those with a column of paths."""

    num_untried: int
    """How many more there are."""

    joined_subjects: str
    """What to do about subjects that several of them have, in different folders; empty if there are none."""

    refused: list[tuple[int, UserError]]
    """The rank of each other one, and why it cannot be read: sorted by the rank, then those of most images first."""


def _tried(data: Path, reading: Reading, *, labels: bool) -> _Tables:
    # Of many tables, the longest are tried.
    tables = by_use(sorted(filter(is_table, walk(data)), key=lambda path: path.stat().st_size, reverse=True))
    readable: list[tuple[int, str]] = []
    found: list[tuple[int, int, UserError]] = []
    listings: list[Listing] = []
    bases: set[str] = set()
    every = [path for path in tables if not is_template(path)]
    chosen = every[:MOST_TABLES] or tables[:1]
    # Those of the same columns are parts of one data set.
    headers = [header_of(path) for path in chosen]
    chosen += [path for path in every[MOST_TABLES:MOST_ALIKE] if header_of(path) in headers]
    sources: list[tuple[Listing, Source]] = []
    for path in chosen:
        rank, number, listing = _BROKEN, 0, None
        try:
            listing = located_listing(path, reading, data)
            rank, number = _rank(listing), _num_images(listing)
            listings += [listing] if listing.path_column is not None else []
            sources.append((listing, list_images(listing, reading, labels=labels)))
            readable.append((number, path.relative_to(data).as_posix()))
            if listing.base != path.parent:
                bases.add(str(listing.base))
        except UserError as error:
            rank = _UNLABELLED if isinstance(error, SeveralPaths) else rank
            if len(tables) > 1 and path.parent != data:
                # The options below are read with this CSV only.
                base = [] if listing is None or listing.base == path.parent else ["--base", str(listing.base)]
                error = with_line(error, f"for this CSV, give its path: {shlex.join([str(path), *base])}")
            found.append((rank, number, error))
    try:
        refuse_columns_of_all(listings, reading)
    except LabelError as error:
        found.append((_LABELLED, sum(map(_num_images, listings)), error))
    # First that of a CSV with images, and with columns that may have their labels.
    found.sort(key=lambda each: (each[0], -each[1]))
    readable.sort(key=itemgetter(0), reverse=True)
    return _Tables(
        readable=[path for _, path in readable],
        bases=bases,
        listings=listings,
        num_untried=len(every) - len(chosen) if every else 0,
        joined_subjects=_joined_subjects(sources),
        refused=[(rank, error) for rank, _, error in found],
    )


def _joined_subjects(sources: Sequence[tuple[Listing, Source]]) -> str:
    """What to do about a column of subjects whose values are in CSVs of several folders, as of sites that number their
    patients from 1; empty if there is none."""
    found: dict[str, dict[str, set[tuple[str, ...]]]] = defaultdict(lambda: defaultdict(set))
    for listing, source in sources:
        for column in source.unread_columns:
            for value in listing.column(column.lower()):
                found[column][value].add(tuple(name for name in listing.path.parent.parts if not part_of(name)))
    shared = [name for name, values in found.items() if any(len(each) > 1 for each in values.values())]
    if not shared:
        return ""
    option = f"--subject-column {shlex.quote(shared[0])}"
    return (
        f"{shared[0]} has the same values in CSVs of several folders, and {option} joins them; if they are different "
        "patients, add --subject-scope site"
    )


def _num_images(listing: Listing) -> int:
    """How many of the images that are there a CSV lists."""
    column = listing.path_column
    if column is None or not listing.base.is_dir():
        return 0
    there = Folder(listing.base.resolve(), Reading.base_option).there(listing, column)
    return len({values[column] for _, values in there.rows})


def _rank(listing: Listing) -> int:
    if listing.path_column is None:
        return _WITHOUT_IMAGES
    if not has_any(listing):
        return _OF_OTHERS
    return _LABELLED if label_candidates(listing) else _UNLABELLED
