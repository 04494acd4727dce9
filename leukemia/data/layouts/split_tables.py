"""The split of images in folders by lists of their patients: ``train_patients.txt``, or a CSV ``patient,split``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from leukemia.data.classes import normal_form
from leukemia.data.layouts.name_ids import ids_of
from leukemia.data.layouts.part_tables import as_part, part_tables
from leukemia.data.layouts.source import Source, ignored_files
from leukemia.data.reading import Reading
from leukemia.data.split import in_folders
from leukemia.data.subject_words import looks_like_subjects
from leukemia.data.subjects import some

IDS = "lists of ids"
"""``Source.split_from`` of a split that is written for the patients of the images, or for other ids."""


def with_split_tables(source: Source, reading: Reading) -> Source:
    """The images of folders with the part of a split that a table or lists give to their ids.

    An id is the name of an image, of one of its folders, or a part of its name. Each image must have one, at the same
    place; a note names lists of which this is not so. If the ids are called patients, they are the subjects of images
    without any.
    """
    if source.layout != "folders" or any(row.split for row in source.rows) or any(in_folders(source)):
        return source
    for table, key, part in part_tables(source.root):
        parts = {normal_form(values[key]): as_part(part, values[part]) for _, values in table.rows}
        ids = next(_ids(source, [values[key] for _, values in table.rows]), None)
        files = table.joined or (table.path,)
        if ids is None:
            names = some([path.name for path in files])
            note = f"{names} are no split of the images, which do not all have one of their ids at the same place"
            named = (note,) if table.joined else ()
            source = dataclasses.replace(source, named_notes=(*source.named_notes, *named))
            continue
        is_patient = looks_like_subjects(key) and not any(row.subject for row in source.rows)
        note = f"read {some([path.name for path in files])} for the split{' and the subjects' if is_patient else ''}"
        others = [name for name in table.columns if name.lower() not in (key, part) and name]
        note += f"; not its columns {some(others)}" if others else ""
        ignored = ignored_files([source.root])
        return dataclasses.replace(
            source,
            rows=tuple(
                dataclasses.replace(
                    row,
                    split=parts[normal_form(each)],
                    subject=each if is_patient and reading.subject_pattern is None else row.subject,
                )
                for row, each in zip(source.rows, ids, strict=True)
            ),
            split_from=IDS,
            lists=(*source.lists, *files),
            notes=(*(each for each in source.notes if each not in ignored), *ignored_files([source.root], read=files)),
            named_notes=(*source.named_notes, note),
        )
    return source


def _ids(source: Source, ids: Sequence[str]) -> Iterator[list[str]]:
    """The id of each image, at each place where all images have one."""
    by_form = {normal_form(each): each for each in ids}
    inside = [row.path.relative_to(source.root) for row in source.rows]
    places = [[path.as_posix() for path in inside], [path.name for path in inside], [path.stem for path in inside]]
    for level in range(min((len(path.parts) - 1 for path in inside), default=0)):
        places.append([path.parts[level] for path in inside])
    for texts in places:
        found = [by_form.get(normal_form(text)) for text in texts]
        if all(found):
            yield [each for each in found if each is not None]
    named = ids_of(ids, [row.path for row in source.rows])
    if named is not None:
        by_path = {path: each for each, paths in named.items() for path in paths}
        if len(by_path) == len(inside):
            yield [by_path[row.path] for row in source.rows]
