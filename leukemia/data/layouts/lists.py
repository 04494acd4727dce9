"""Several CSVs as one data set: given one by one, or as the folder that they are in."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import MissingFile, UserError, listed, with_line
from leukemia.base.printable import INDENT
from leukemia.data.layouts.base_folder import has_any, located_listing
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.fold_lists import ReadList, are_called_folds, as_folds, disjoint_choice, fold_and_part
from leukemia.data.layouts.folder_levels import class_level, folder_levels
from leukemia.data.layouts.joint_refusals import refuse_columns_of_all, refuse_words_of_all
from leukemia.data.layouts.key_tables import Contradiction
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.label_column import label_column
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.other_kinds import require_text
from leukemia.data.layouts.part_lists import lists_in_folders
from leukemia.data.layouts.source import Source, direct_others, walk
from leukemia.data.layouts.tables import by_use, counted_rows, is_table, is_template
from leukemia.data.reading import Reading
from leukemia.data.split import CSVS, FOLDERS, TRAIN, part_of
from leukemia.data.subjects import some


def several_lists(paths: Sequence[Path], reading: Reading) -> Source:
    """The images of several CSVs with labels, as one data set.

    Raises:
        UserError: a path is not a CSV ``Path,label``, or two CSVs have the same image.
    """
    if absent := [path for path in paths if not path.exists()]:
        raise MissingFile(
            f"no CSV at {absent[0]}; every path after the first one is a further CSV of the data: give a study before "
            "the data"
        )
    if folders := [path for path in paths if path.is_dir()]:
        raise UserError(f"expected one folder, or one or more CSVs, got {len(paths)} paths with {folders[0]}")
    for path in paths:
        require_text(path)
    listings = [located_listing(path.resolve(), reading) for path in paths]
    for listing in listings:
        if _is_list(listing) and not _has_labels(listing, reading):
            refuse_columns_of_all(listings, reading)
            raise UserError(
                f"{listing.path}: a list without labels is no training data; give it to leukemia.final with --test"
            )
    return merged(_read_parts(listings, reading, labels=True))


def folder_of_lists(data: Path, reading: Reading, *, labels: bool, top: Path | None = None) -> Source | None:
    """The images of the CSVs ``Path,label`` directly in ``data``; None if there are none.

    Lists without labels are not training data, and a note names them. So does one for lists without the column of
    ``--label-column``, if others have it.

    Args:
        labels: as for ``leukemia.data.layouts.detect.find_images``; if False, all lists must have labels, or none.
        top: the folder that was given, which is ``data`` or above.

    Raises:
        UserError: a CSV beside a list cannot be read; ``labels`` is False and only some lists have labels; or as
            ``several_lists``.
    """
    listings, others, broken = _read_all(data, reading, top or data)
    with_labels = [each for each in listings if _has_labels(each, reading) and not is_template(each.path)]
    without = [each for each in listings if each not in with_labels]
    wanted = (reading.label_column or "").strip().lower()
    chosen = [each for each in with_labels if wanted and each.has(wanted)]
    with_labels = chosen or with_labels
    of_folders: list[Listing] = []
    if labels and with_labels and not chosen and not any(each.has_row_per_image for each in with_labels):
        # Rows for images say more than rows for their folders.
        finer = [each for each in without if each.has_row_per_image and label_candidates(each)]
        try:
            inside = None if finer else lists_in_folders(data, reading, labels=labels, least=1)
        except UserError as error:
            raise _naming(with_labels, error) from None
        if inside is not None:
            return inside
        if finer:
            of_folders, with_labels = with_labels, finer
    without = [each for each in without if each not in with_labels]
    unchosen = [each for each in listings if each not in with_labels and each not in without]
    if not (with_labels if labels else listings) or (labels and _are_of_other_images(with_labels, data)):
        return None
    if broken:
        raise broken[0]
    if not labels and with_labels and without:
        raise UserError(
            f"{data}: has lists with labels ({_names(with_labels)}) and without ({_names(without)}); give the path of "
            "one of them"
        )
    try:
        parts = _read_parts(with_labels or without, reading, labels=labels)
    except UserError as error:
        raise _naming(of_folders, error) from None
    source = parts[0].source if len(parts) == 1 else merged(parts)
    notes = [f"read {_names(with_labels or without)}"]
    if with_labels and without:
        # Images that are numbered from 0 in each folder have the same ids.
        lists = [each for each in without if not is_template(each.path)]
        same = [each for each in lists if _images_of([each]) <= _images_of(with_labels)]
        if examples := [_counted(each) for each in without if each not in lists]:
            notes.append(f"never used for training: {some(examples)}, by its name the example of a submission")
        rest = [each for each in lists if each not in same]
        if tests := [_counted(each) for each in rest]:
            notes.append(f"without labels, never used for training: {some(tests)}; leukemia.final --test predicts it")
        for each in rest:
            own = [name for name in label_candidates(each) if not with_labels[0].has(name.lower())]
            if own:
                column, path = _column_of(with_labels[0], reading), with_labels[0].path
                notes.append(
                    f"{each.path.name} may have labels in its column {own[0]}: call it {column}, as in {path.name}, to "
                    "train with them"
                )
        for each in same:
            columns = ", ".join(each.columns)
            notes.append(
                f"not read: {_counted(each)}, which lists the same images without labels; copy its columns "
                f"({columns}) into the CSV with labels to use them"
            )
    if others:
        notes.append(f"ignored {some(list(map(_counted, others)))}: no column of paths")
    if unchosen:
        why = (
            f"no column {reading.label_column}" if chosen else "its rows stand for folders, those of others for images"
        )
        notes.append(f"did not read {some(list(map(_counted, unchosen)))}: {why}")
    tables = tuple(path for each in (*listings, *others) for path in (each.path, *each.joined))
    return dataclasses.replace(source, tables=tables, named_notes=(*notes, *source.named_notes))


def lists_of_folds(data: Path, reading: Reading, *, labels: bool) -> Source | None:
    """The images of the lists of each fold, anywhere below ``data``, in one folder or in one for each; None if there
    are none with labels.

    Raises:
        UserError: as ``folder_of_lists``.
    """
    paths = [path for path in walk(data) if fold_and_part(_with_folder(path)) is not None and is_table(path)]
    if not are_called_folds(map(_with_folder, paths)):
        return None
    if len({path.parent for path in paths}) == 1:
        return folder_of_lists(paths[0].parent, reading, labels=labels, top=data)
    listings = [located_listing(path, reading, data) for path in paths]
    if not all(_is_list(each) and _has_labels(each, reading) for each in listings):
        return None
    source = merged(_read_parts(listings, reading, labels=labels))
    note = f"read {some([path.relative_to(data).as_posix() for path in paths])}"
    return dataclasses.replace(source, named_notes=(note, *source.named_notes))


def _with_folder(path: Path) -> str:
    """The name of a CSV, with that of its folder if its own does not say which fold it is of."""
    return path.stem if fold_and_part(path.stem) else f"{path.parent.name}/{path.stem}"


def _read_all(data: Path, reading: Reading, top: Path) -> tuple[list[Listing], list[Listing], list[UserError]]:
    """The lists of images in a folder, its other CSVs but those joined to lists, and why others could not be read."""
    listings: list[Listing] = []
    others: list[Listing] = []
    broken = []
    for path in [path for path in direct_others(data) if is_table(path) and path.is_file()]:
        try:
            listing = located_listing(path, reading, top)
        except Contradiction:
            raise
        except UserError as error:
            broken.append(error)
            continue
        (listings if _is_list(listing) else others).append(listing)
    joined = {path for each in listings for path in each.joined}
    kept = [each for each in listings if each.path not in joined]
    return kept or listings, [each for each in others if each.path not in joined], broken


def _read_parts(listings: Sequence[Listing], reading: Reading, *, labels: bool) -> list[ReadList]:
    """The images of each CSV."""
    stems = [listing.path.stem for listing in listings]
    names = [
        stem if stems.count(stem) == 1 else f"{listing.path.parent.name}/{stem}"
        for stem, listing in zip(stems, listings, strict=True)
    ]
    if labels:
        refuse_words_of_all(listings, reading)
    # What is wrong with training data is said first.
    first = by_use(listing.path for listing in listings)
    ordered = sorted(listings, key=lambda each: first.index(each.path))
    sources = {each.path: list_images(each, reading, labels=labels) for each in ordered}
    return [
        ReadList(name=name, path=listing.path, source=sources[listing.path])
        for name, listing in zip(names, listings, strict=True)
    ]


def _are_of_other_images(listings: Sequence[Listing], data: Path) -> bool:
    """Whether none of the images of CSVs is there, while folders may be classes of those that are."""
    return class_level(folder_levels(data)) is not None and not any(map(has_any, listings))


def _is_list(listing: Listing) -> bool:
    return listing.path_column is not None


def _has_labels(listing: Listing, reading: Reading) -> bool:
    return _column_of(listing, reading) is not None


def _column_of(listing: Listing, reading: Reading) -> str | None:
    return label_column(listing, reading, required=False)[0]


def _images_of(listings: Sequence[Listing]) -> set[str]:
    """The paths as written."""
    return {path for each in listings if each.path_column is not None for path in each.column(each.path_column)}


def _naming(of_folders: Sequence[Listing], error: UserError) -> UserError:
    """The error, which names CSVs that it is not about, since their rows stand for folders, before its last line."""
    if not of_folders:
        return error
    paths = shlex.join(str(each.path) for each in of_folders)
    counts = some(list(map(_counted, of_folders)))
    return with_line(error, f"to read the labels of whole folders instead ({counts}), give {paths}")


def _counted(listing: Listing) -> str:
    return f"{listing.path.name} ({counted_rows(listing.num_rows)})"


def _names(listings: Sequence[Listing]) -> str:
    return some([listing.path.name for listing in listings])


def merged(lists: Sequence[ReadList]) -> Source:
    """One data set of several CSVs, with image ids relative to the folder that contains all of them.

    The name of each CSV is the ``split`` of its images, unless all have the same column of it.

    Raises:
        UserError: two of them have the same image, and they are not lists of folds.
    """
    parts = as_folds(lists)
    root = Path(os.path.commonpath([each.source.root for each in parts]))
    owners: dict[str, ReadList] = {}
    twice = [
        f"{row.path.relative_to(root).as_posix()} in {owners[os.path.realpath(row.path)].name} and {each.name}"
        for each in parts
        for row in each.source.rows
        if owners.setdefault(os.path.realpath(row.path), each) is not each
    ]
    if twice:
        choice = disjoint_choice(parts)
        typed = shlex.join(str(each.path) for each in choice)
        named = {part_of(each.path.stem) for each in choice}
        keeps = f" --split-column {FOLDERS}" if TRAIN in named and None not in named and len(named) > 1 else ""
        raise UserError(
            f"{root}: the CSVs have {len(twice)} images in common; remove them from one, or give only those that are "
            f"meant:\n{listed(twice)}\n{INDENT}for example, these have none in common: {typed}{keeps}"
        )
    sources = [each.source for each in parts]
    columns = {source.split_from for source in sources}
    # A column that only some have is no split of all.
    column = columns.pop() if len(columns) == 1 else ""
    return Source(
        layout="csv",
        root=root,
        rows=tuple(
            dataclasses.replace(row, split=row.split if column else each.name)
            for each in parts
            for row in each.source.rows
        ),
        split_from=column or CSVS,
        excluded=tuple(dict.fromkeys(text for source in sources for text in source.excluded)),
        notes=tuple(dict.fromkeys(note for source in sources for note in source.notes)),
        named_notes=tuple(dict.fromkeys(note for source in sources for note in source.named_notes)),
        tables=tuple(path for source in sources for path in source.tables),
        unread_columns=tuple(dict.fromkeys(column for source in sources for column in source.unread_columns)),
        recurring_columns=tuple(dict.fromkeys(column for source in sources for column in source.recurring_columns)),
        is_sheet=all(source.is_sheet for source in sources),
        left_columns=tuple(dict.fromkeys(column for source in sources for column in source.left_columns)),
    )
