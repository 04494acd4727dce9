"""Tables and lists that say which part of a split each patient, slide or image belongs to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.data.layouts.listing import Listing, read_rows
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.layouts.tables import is_table
from leukemia.data.split import COLUMNS as SPLITS
from leukemia.data.split import part_of
from leukemia.data.subject_words import looks_like_subjects

MOST_FILES = 12
"""Of more files that may be such lists, none are read."""

MOST_BYTES = 5_000_000
"""A larger file is no list of patients."""

KEY, PART = "patient", "split"
"""The columns of the lists as a table; ``KEY`` if the files are called for patients."""

ID = "id"
"""The column of other ids."""

_LINE = re.compile(r"[^\s,;|]+(?: [^\s,;|]+){0,2}")


def part_listings(files: Sequence[Path]) -> list[Listing]:
    """The lists of ids among files as tables with the columns ``patient``, or ``id``, and ``split``.

    Lists are text files or CSVs with one column, at least two in a folder, which are called for parts of a split, as
    ``train_patients.txt``; or a JSON file such as ``{"train": ["P1", ...], "test": [...]}``.
    """
    found = []
    for path in [path for path in files if path.suffix.lower() == ".json"][:MOST_FILES]:
        if (parts := _of_json(path)) is not None:
            found.append(_listing(path, parts, [path]))
    lists: dict[Path, dict[Path, list[str]]] = {}
    named = [path for path in files if path.suffix.lower() in (".txt", ".csv", ".lst", "") and part_of(path.stem)]
    for path in named if len(named) <= MOST_FILES else ():
        if ids := _ids_in(path):
            lists.setdefault(path.parent, {})[path] = ids
    for each in lists.values():
        by_part = {part_of(path.stem) or "": ids for path, ids in each.items()}
        if len(by_part) == len(each) > 1:
            found.append(_listing(next(iter(each)), by_part, list(each)))
    return [each for each in found if each is not None]


def part_tables(folder: Path) -> list[tuple[Listing, str, str]]:
    """The tables below a folder with a part of a split for each id: a table, and its columns of ids and of parts, in
    lower case."""
    files = [path for path in walk(folder) if not is_image(path)]
    tables: list[Listing] = part_listings(files)
    paths = [path for path in files if is_table(path)]
    for path in paths if len(paths) <= MOST_FILES else ():
        try:
            tables.append(read_rows(path))
        except UserError:
            continue
    return [(table, *columns) for table in tables if (columns := _columns(table)) is not None]


def as_part(column: str, text: str) -> str:
    """A value of a column of parts as the name of one: that of a fold, if it is a number.

    >>> as_part("fold", "2"), as_part("split", "train"), as_part("split", "2")
    ('fold 2', 'train', '2')
    """
    return f"fold {text}" if column == "fold" and text.isdecimal() else text


def _columns(table: Listing) -> tuple[str, str] | None:
    """The columns of ids and of parts, in lower case; None unless there is one of parts and one of different ids."""
    columns = {name.lower(): [values[name.lower()] for _, values in table.rows] for name in table.columns if name}
    parts = [
        name
        for name, values in columns.items()
        if len(set(values)) > 1 and all(part_of(as_part(name, text)) for text in set(values))
        if name in SPLITS or part_of(name) is None
    ]
    ids = [name for name, values in columns.items() if name not in parts and len(set(values)) == len(values)]
    ids = sorted(ids, key=lambda name: not looks_like_subjects(name))
    return (ids[0], parts[0]) if len(parts) == 1 and ids else None


def _listing(path: Path, parts: dict[str, list[str]], files: Sequence[Path]) -> Listing | None:
    """Lists as a table; None if an id is in several of them."""
    every = [(each, part) for part, ids in parts.items() for each in ids]
    if len({each for each, _ in every}) < len(every):
        return None
    words = {word for file in files for word in re.split(r"[\W_\d]+", file.stem)}
    key = KEY if any(map(looks_like_subjects, words - {""})) else ID
    rows = tuple((number, {key: each, PART: part}) for number, (each, part) in enumerate(every, 1))
    return Listing(path=path, base=path.parent, columns=(key, PART), rows=rows, joined=tuple(files))


def _of_json(path: Path) -> dict[str, list[str]] | None:
    """The ids of each part; None if the file is no such one."""
    try:
        with open_file(path) as stream:
            content = stream.read(MOST_BYTES + 1)
        parsed = json.loads(content) if len(content) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    return next(_parts_in(parsed), None)


def _parts_in(content: object) -> Iterator[dict[str, list[str]]]:
    if not isinstance(content, dict):
        return
    parts = {str(name): value for name, value in content.items() if part_of(str(name))}
    if len(parts) > 1 and all(isinstance(each, list) and each for each in parts.values()):
        texts = {name: [str(item) for item in each if isinstance(item, (str, int))] for name, each in parts.items()}
        if all(len(texts[name]) == len(each) for name, each in parts.items()):
            yield texts
    for each in content.values():
        yield from _parts_in(each)


def _ids_in(path: Path) -> list[str]:
    """The lines of a file, if each is one id and none is the path of an image; else empty."""
    try:
        with open_file(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError:
        return []
    lines = [line.strip().strip("\"'") for line in content.decode("utf-8-sig", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if lines and (looks_like_subjects(lines[0]) or lines[0].casefold() in ("id", "name", "image")):
        lines = lines[1:]
    are_ids = all(map(_LINE.fullmatch, lines)) and not any(is_image(Path(line)) for line in lines)
    return list(dict.fromkeys(lines)) if are_ids else []
