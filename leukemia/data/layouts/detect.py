"""Detection of the layout of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from leukemia.base.errors import MissingFile, UserError
from leukemia.data.classes import LabelError, OtherWords, normal_form
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
from leukemia.data.layouts.class_lists import class_lists
from leukemia.data.layouts.class_names import with_class_names
from leukemia.data.layouts.companions import note_twins, refuse_companions, with_ignored
from leukemia.data.layouts.contradicting_tables import refuse_contradicting_tables
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.file_words import named_by_class
from leukemia.data.layouts.folder_advice import Unmapped, advised, tried
from leukemia.data.layouts.folder_refusal import MOST_TABLES, images_without_labels, no_data_set
from leukemia.data.layouts.folder_tables import with_folder_subjects, with_subject_columns
from leukemia.data.layouts.last_resort import last_resort
from leukemia.data.layouts.lists import folder_of_lists, lists_of_folds, several_lists
from leukemia.data.layouts.lists_elsewhere import lists_elsewhere
from leukemia.data.layouts.mapped_masks import refuse_mapped_masks
from leukemia.data.layouts.other_kinds import describe_others, require_text
from leukemia.data.layouts.part_lists import lists_in_folders, part_lists
from leukemia.data.layouts.rater_folders import refuse_rater_folders
from leukemia.data.layouts.sidecars import sidecars
from leukemia.data.layouts.source import Source, ignored_files, is_os_metadata, walk
from leukemia.data.layouts.split_folders import split_folders
from leukemia.data.layouts.split_lists import with_split_lists
from leukemia.data.layouts.split_tables import with_split_tables
from leukemia.data.layouts.subclasses import class_notes, with_subclasses
from leukemia.data.layouts.tables import by_use, is_table
from leukemia.data.layouts.unlisted_images import with_unlisted
from leukemia.data.layouts.unread_files import unread_files
from leukemia.data.layouts.unread_levels import unread_levels
from leukemia.data.reading import Reading
from leukemia.data.split import with_split
from leukemia.data.subjects import NotApplicable

LISTS = (folder_of_lists, part_lists, lists_of_folds, lists_in_folders, class_lists, lists_elsewhere, sidecars)
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
        LabelError: labels are required, and cannot be read; ``OtherWords`` if the data have none of the words of
            ``--classes``.
        UserError: an unknown layout, no images, labels are required but missing, images in folders that are masks or
            other versions of others, or the layout's reader fails.
    """

    def read(classes: tuple[str, ...]) -> Source:
        return _find(data, dataclasses.replace(reading, classes=classes, split_column=None), labels=labels)

    with last_resort(data, reading, labels=labels):
        try:
            return _find(data, reading, labels=labels)
        except Unmapped as error:
            raise advised(error, data, read) from None
        except LabelError as error:
            raise (tried(error, read) if labels else error) from None


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
    found = with_unlisted(found, data, reading, labels=labels)
    found = with_ignored(found, reading)
    source = with_subclasses(found, reading, all_words=labels and not reading.is_partial)
    source = with_class_names(source, reading)
    if found.rows and not source.rows:
        raise LabelError(
            f"{data}: --classes leaves out all {len(found.rows)} images (ignore=); map some of their words"
        )
    if not source.rows:
        others = describe_others(walk(data))
        advice = f", but {others}" if others else "; unpack the data set again"
        raise UserError(f"{data}: the folders contain no images{advice}")
    if not reading.is_partial:
        if labels and source.rows[0].label is None:
            raise images_without_labels(data, reading)
        refuse_mapped_masks(data, source, reading)
        refuse_companions(data, source, reading)
        if labels:
            refuse_contradicting_tables(data, source, reading)
            refuse_rater_folders(data, source)
    source = with_split_tables(with_split_lists(source, reading), reading)
    kept = with_beside(with_split(source, data, reading, training=labels))
    of_tables = kept.layout == "csv" and data.is_dir()
    ignored = ignored_files([data.resolve()], read=kept.tables) if of_tables else ()
    classes, remarks = class_notes(kept), (*kept.notes, *ignored, *note_twins(kept))
    # What is as expected is said last.
    notes = (*remarks, *classes) if _are_plain(kept, reading) else (*classes, *remarks)
    num_left_out = len(found.rows) - len(kept.rows)
    named = (*kept.named_notes, *unread_levels(kept, reading), *unread_files(data, kept))
    return cnmc.with_doubts(dataclasses.replace(kept, num_left_out=num_left_out, notes=notes, named_notes=named))


def _are_plain(source: Source, reading: Reading) -> bool:
    """Whether labels are 0 and 1 in a CSV, and no option says what they mean."""
    is_numbered = {normal_form(word) for word in source.words} <= {"0", "1"}
    return is_numbered and source.layout != "folders" and reading.classes is None


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
        raise LabelError(
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
        if (found := with_folder_subjects(data, reading, folders=(data, *_wrapped(data)))) is not None:
            return found
        first, last = [partial(chosen_lists, labels=labels), *first, named_images], [cnmc.phase_images, flat_folder]
        middle = [split_folders, class_folders, *middle, named_by_class]
    inside = [partial(reader, folder) for reader in middle for folder in (data, *_wrapped(data))]
    others: OtherWords | None = None
    numbered: Source | None = None
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
        if source is not None and _is_one_number(source) and any(map(is_table, walk(data))):
            # As of the project in ``upload/1`` of Label Studio; what a table says is tried first.
            numbered = numbered or source
            continue
        if source is not None and (source.layout == "csv" or others is None):
            if source.layout == "csv":
                return source
            _refuse_options_of_csv(data, reading, labels=labels)
            return with_subject_columns(source, data) if source.layout == "folders" else source
    if others is not None:
        # The one CSV below, whose words a refusal shows.
        source = lists_in_folders(data, reading, labels=labels, least=1)
        if source is not None:
            return source
        raise others
    if numbered is not None:
        return numbered
    if not any(map(is_table, walk(data))):
        _refuse_options_of_csv(data, reading, labels=labels)
    expected = f"expected C-NMC's fold_*/{{all,hem}}, folders named by class ({NAMES}), or a CSV"
    raise no_data_set(data, f"{data}: {expected}; found", reading, labels=labels)


def _is_one_number(source: Source) -> bool:
    """Whether all images are in folders of one number, which need not stand for a class."""
    return source.layout == "folders" and len(source.words) == 1 and source.words <= {"0", "1"}


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
