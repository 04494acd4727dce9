"""Detection of the layout of a data set."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from leukemia.base.errors import MissingFile, UserError, first_line, with_line
from leukemia.data.classes import OtherWords
from leukemia.data.layouts import cnmc
from leukemia.data.layouts.allidb import named_images
from leukemia.data.layouts.base_folder import located_listing
from leukemia.data.layouts.beside import with_beside
from leukemia.data.layouts.chosen_lists import chosen_lists, header_of
from leukemia.data.layouts.class_folders import (
    NAMES,
    class_folders,
    flat_folder,
    unlabelled_folder,
)
from leukemia.data.layouts.class_names import class_names, with_class_names
from leukemia.data.layouts.companions import note_twins, refuse_companions
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.file_words import named_by_class, proposed_words
from leukemia.data.layouts.folder_advice import Unmapped, advised, unmapped
from leukemia.data.layouts.folder_levels import class_level, folder_levels, folder_names
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.lists import folder_of_lists, lists_of_folds, several_lists
from leukemia.data.layouts.mapped_masks import refuse_mapped_masks
from leukemia.data.layouts.other_kinds import describe_others, require_text
from leukemia.data.layouts.part_lists import lists_in_folders, part_lists
from leukemia.data.layouts.signed_lists import way_by_signed_lists
from leukemia.data.layouts.source import Source, direct_others, ignored_files, is_os_metadata, walk
from leukemia.data.layouts.split_folders import split_folders
from leukemia.data.layouts.split_lists import with_split_lists
from leukemia.data.layouts.subclasses import class_notes, with_subclasses
from leukemia.data.layouts.tables import by_use, is_table, is_template
from leukemia.data.layouts.unlabelled import Unlabelled, way_by_sheet
from leukemia.data.layouts.unread_files import unread_files
from leukemia.data.layouts.unread_levels import unread_levels
from leukemia.data.reading import Reading
from leukemia.data.split import with_split
from leukemia.data.subjects import NotApplicable, some

MOST_TABLES = 5
"""So many CSVs of a folder that is no data set are tried, to say which one can be read."""

LISTS = (folder_of_lists, part_lists, lists_of_folds, lists_in_folders)
"""Readers of CSVs in a folder, in the order in which they are tried."""

_Reader: TypeAlias = Callable[[Path, Reading], Source | None]


def find_images(data: Path, reading: Reading, *, labels: bool) -> Source:
    """The images of a folder or a CSV, not read yet.

    Args:
        data: the C-NMC folder, the folder of one of its test phases or its labels CSV; a CSV ``Path,label``, or the
            first one of several; a folder of such CSVs or of folders named by class; or, if ``labels`` is False, a
            folder of images.
        reading: the user's options.
        labels: whether every image must have a label.

    Raises:
        MissingFile: ``data`` does not exist.
        NotApplicable: there is no such column of subjects, or no CSV.
        OtherWords: labels are required, and the data have none of the words of ``--classes``.
        UserError: an unknown layout, no images, labels are required but missing, images in folders that are masks or
            other versions of others, or the layout's reader fails.
    """

    def read(classes: tuple[str, ...]) -> Source:
        return _find(data, dataclasses.replace(reading, classes=classes, split_column=None), labels=labels)

    try:
        return _find(data, reading, labels=labels)
    except Unmapped as error:
        raise advised(error, data, read, way_by_sheet(data, reading)) from None
    except Unlabelled as error:
        raise UserError(f"{error}{way_by_sheet(data, reading) if labels else ''}") from None


def _find(data: Path, reading: Reading, *, labels: bool) -> Source:
    """As ``find_images``, whose refusals of unknown words have no advice yet."""
    try:
        found = _read(data, reading, labels=labels)
    except OtherWords:
        if labels:
            raise
        # A test set may have other words than the training data.
        reading = dataclasses.replace(reading, classes=None)
        found = _read(data, reading, labels=labels)
        note = "the data have none of the words of --classes; their classes are read without that option"
        found = dataclasses.replace(found, notes=(note, *found.notes))
    source = with_subclasses(found, reading, all_words=labels)
    source = with_class_names(source, reading)
    if found.rows and not source.rows:
        raise UserError(f"{data}: --classes leaves out all {len(found.rows)} images (ignore=); map some of their words")
    if not source.rows:
        others = describe_others(walk(data))
        advice = f", but {others}" if others else "; unpack the data set again"
        raise UserError(f"{data}: the folders contain no images{advice}")
    if labels and source.rows[0].label is None:
        raise _no_labels(data, reading)
    refuse_mapped_masks(data, source, reading)
    refuse_companions(data, source, reading)
    kept = with_beside(with_split(with_split_lists(source, reading), data, reading, training=labels))
    of_tables = kept.layout == "csv" and data.is_dir()
    ignored = ignored_files([data.resolve()], read=kept.tables) if of_tables else ()
    notes = (*class_notes(kept, reading), *kept.notes, *ignored, *note_twins(kept))
    num_left_out = len(found.rows) - len(kept.rows)
    named = (*kept.named_notes, *unread_levels(kept, reading), *unread_files(data, kept))
    return cnmc.with_doubts(dataclasses.replace(kept, num_left_out=num_left_out, notes=notes, named_notes=named))


def _read(data: Path, reading: Reading, *, labels: bool) -> Source:
    if reading.also:
        return several_lists(reading.paths(data), reading)
    if not data.exists():
        raise MissingFile(f"no folder or CSV at {data}; give C-NMC's folder, a CSV Path,label, or folders by class")
    if data.is_dir():
        return _in_folder(data.resolve(), reading, labels=labels)
    require_text(data)
    listing = located_listing(data.resolve(), reading)
    if cnmc.is_test_listing(listing):
        _refuse_label_column(data, reading, labels=labels)
        return cnmc.listed_test_images(listing, reading)
    return list_images(listing, reading, labels=labels)


def _refuse_label_column(data: Path, reading: Reading, *, labels: bool) -> None:
    """Refuse the option for data with labels of their own; with a test set, it may be meant for the training data."""
    if labels and reading.label_column is not None:
        raise UserError(
            f"--label-column {reading.label_column} has no effect with {data}, which is no CSV Path,label"
            f"{_unread(data)}; leave it out"
        )


def _unread(data: Path) -> str:
    """Names the CSVs in a folder, which an option does not choose, and their columns; empty if there are none."""
    tables = [path for path in by_use(filter(is_table, walk(data))) if header_of(path)][:MOST_TABLES]
    named = [f"{path.relative_to(data).as_posix()} (columns {', '.join(header_of(path))})" for path in tables]
    return f", and lists no images so in {', '.join(named)}" if named else ""


def _refuse_options_of_csv(data: Path, reading: Reading, *, labels: bool) -> None:
    """Refuse options that only CSVs obey, for images that are read from folders."""
    what = f"which is a folder, not a CSV{_unread(data)}"
    if reading.base is not None:
        raise UserError(f"{reading.base_option} has no effect with {data}, {what}; leave it out")
    if reading.subject_column is not None:
        raise NotApplicable(
            f"--subject-column {reading.subject_column} has no effect with {data}, {what}; leave it out, or give "
            "--subject-pattern"
        )
    _refuse_label_column(data, reading, labels=labels)


def _in_folder(data: Path, reading: Reading, *, labels: bool) -> Source:
    # C-NMC's own folders stand for its classes, whatever ``--classes`` says.
    first: list[_Reader] = [cnmc.training_images, cnmc.phase_images] if reading.classes is None else []
    middle: list[_Reader] = [partial(each, labels=labels) for each in LISTS]
    last: list[_Reader] = [unlabelled_folder]
    if reading.reads_labels:
        first, last = [partial(chosen_lists, labels=labels), *first, named_images], [cnmc.phase_images, flat_folder]
        middle = [split_folders, class_folders, *middle, named_by_class]
    inside = [partial(reader, folder) for reader in middle for folder in (data, *_wrapped(data))]
    others: OtherWords | None = None
    for read in (
        *(partial(reader, data) for reader in first),
        *inside,
        *(partial(reader, data) for reader in last),
    ):
        try:
            source = read(reading)
        except OtherWords as error:
            # The words may be those of a CSV.
            others = others or error
            continue
        if source is not None and (source.layout == "csv" or others is None):
            if source.layout != "csv":
                _refuse_options_of_csv(data, reading, labels=labels)
            return source
    if others is not None:
        # The one CSV below, whose words a refusal shows.
        source = lists_in_folders(data, reading, labels=labels, least=1)
        if source is not None:
            return source
        raise others
    if not any(map(is_table, walk(data))):
        _refuse_options_of_csv(data, reading, labels=labels)
    expected = f"expected C-NMC's fold_*/{{all,hem}}, folders named by class ({NAMES}), or a CSV"
    raise _refusal(data, f"{data}: {expected}; found", reading, labels=labels)


def _no_labels(data: Path, reading: Reading) -> UserError:
    """The error for images without labels: words in their names, or the CSVs beside them, may have these."""
    message, tables = f"{data}: images without labels", _tables(data)
    unknown = "" if reading.classes is None else ", and without a word of --classes in the names of folders and files"
    if not tables and data.is_dir():
        if class_level(folder_levels(data)) is not None:
            return unmapped(f"{message}{unknown}; no known word names the folders", reading.classes)
        if proposed_words(data):
            return unmapped(f"{message}, directly in this folder{unknown}", reading.classes)
    message += unknown
    expected = f"C-NMC's fold_*/{{all,hem}}, folders named by class ({NAMES}), or a CSV with the columns Path and label"
    return Unlabelled(f"{message}; expected {expected}{tables}")


def _tables(data: Path) -> str:
    """Names the CSVs beside images without labels."""
    found = by_use(filter(is_table, direct_others(data))) if data.is_dir() else []
    names = ", ".join(path.name for path in found[:3])
    return f"; give the path of the CSV to read its columns: {names}" if found else ""


def _wrapped(data: Path) -> list[Path]:
    """The folders inside that contain everything, as some archives have them; up to two."""
    found: list[Path] = []
    for _ in range(2):
        entries = [path for path in data.iterdir() if not is_os_metadata(path.name)]
        if len(entries) != 1 or not entries[0].is_dir():
            break
        data = entries[0]
        found.append(data)
    return found


def _refusal(data: Path, message: str, reading: Reading, *, labels: bool) -> UserError:
    """The error for a folder that is no data set: what it has, and what to do.

    If it has no folders that may be classes, and none of its CSVs can be read, it is the error of a CSV.
    """
    tables = by_use(filter(is_table, walk(data)))
    readable, found = [], []
    bases: set[str] = set()
    for path in [path for path in tables if not is_template(path)][:MOST_TABLES] or tables[:1]:
        rank, listing = 3, None
        try:
            listing = located_listing(path, reading, data)
            rank = 2 if listing.path_column is None else int(not label_candidates(listing))
            list_images(listing, reading, labels=labels)
            readable.append(path.relative_to(data).as_posix())
            if listing.base != path.parent:
                bases.add(str(listing.base))
        except UserError as error:
            if len(tables) > 1 and path.parent != data:
                # The options below are read with this CSV only.
                base = [] if listing is None or listing.base == path.parent else ["--base", str(listing.base)]
                error = with_line(error, f"for this CSV, give its path: {shlex.join([str(path), *base])}")
            found.append((rank, error))
    # First that of a CSV with images, and with columns that may have their labels.
    found.sort(key=itemgetter(0))
    errors = [error for _, error in found]
    if readable:
        paths = "its path" if len(readable) == 1 else "the path of one, or of several as one data set"
        way = f", with {reading.base_option} {' or '.join(map(shlex.quote, sorted(bases)))}" if bases else ""
        return UserError(f"{message} {', '.join(readable)}: give {paths}{way}")
    levels, names, others = folder_levels(data), folder_names(data), describe_others(walk(data))
    has_labels = any(rank == 0 for rank, _ in found)
    beside = f" ({others})" if others else ""
    chosen = class_level(levels)
    may_be_meant = chosen is not None and not (errors and chosen.are_fields)
    if levels and (may_be_meant or not errors) and not has_labels:
        correct = f", or correct the CSV ({first_line(errors[0])})" if errors else ", or give a CSV Path,label"
        return unmapped(f"{message} images in folders with other names{beside}", None, correct)
    has_words = bool(proposed_words(data))
    if errors and (has_labels or not has_words):
        return errors[0]
    only = f"images in {some(sorted(set(names)))} only" if names else ""
    if has_words:
        return unmapped(f"{message} {only or 'images'}{beside}", None)
    way = "" if labels else "; give the path of the one with the cells, or a CSV"
    only += f", so no folder names a class{way}" if names else ""
    text = "; ".join(filter(None, (only, others))) or ("other files only" if any(walk(data)) else "no images at all")
    named = class_names(data)
    return Unlabelled(f"{message} {text}{named.describe(named.names)}{way_by_signed_lists(data)}")
