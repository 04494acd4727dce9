"""Labels in a file beside each image, or of each folder: ``7.json``, ``7.png.json``, ``7.xml`` or ``7.txt``, and
``diagnosis.txt`` of the folder of a patient."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.data.classes import CLASSES, PLACE, LabelError, joined
from leukemia.data.layouts.class_names import class_names
from leukemia.data.layouts.csv_listing import list_images
from leukemia.data.layouts.label_candidates import label_candidates
from leukemia.data.layouts.label_column import label_column
from leukemia.data.layouts.listing import Listing, with_one_hot
from leukemia.data.layouts.record_file import MARKED, Record, records_of
from leukemia.data.layouts.source import Source, is_image, walk
from leukemia.data.reading import Reading
from leukemia.data.split import part_of

SUFFIXES = (".json", ".xml", ".txt")
"""Of files that may be about one image or folder."""

LEAST_SHARE = 0.9
"""Such a share of the images has a file."""

MOST_BYTES = 20_000
"""A larger text is none of one image."""

NUMBER = "class"
"""The column of the numbers of YOLO."""

LABEL = "label"
"""The column of texts that are nothing but a label."""

MOST_WORDS = 4
"""A line of more words without a key is a sentence."""

MOST_COLUMNS = 200
"""Files with more different keys are no records of one kind."""

_KEYED = re.compile(r"(?P<key>[^\W\d_][^:=\t]{0,40}?)\s*[:=\t]\s*(?P<value>.*)")
# Class, centre, width and height, or the corners of a polygon.
_YOLO = re.compile(r"(?P<number>\d+)(?:\s+-?\d*\.?\d+(?:e-?\d+)?){4,}")


def sidecars(data: Path, reading: Reading, *, labels: bool) -> Source | None:
    """The images below ``data`` with what the files beside them say, read as a table with a row for each image; None if
    nearly all images do not have such a file, or if the files have nothing that may be a label.

    Args:
        labels: as for ``leukemia.data.layouts.detect.find_images``.

    Raises:
        UserError: a label is missing or unknown, or images have several labels.
    """
    if not labels:
        return None
    files = [path for path in walk(data) if not is_image(path) and path.suffix.lower() in SUFFIXES]
    images = [path for path in walk(data) if is_image(path)] if len(files) > 1 else []
    for found in _candidates(images, files):
        listing = _listing(data, found, len(images))
        if listing is not None and _may_have_labels(listing, reading):
            _check_numbers(listing, data, reading)
            return list_images(listing, reading, labels=labels)
    return None


def _candidates(images: Sequence[Path], files: Sequence[Path]) -> Iterator[Mapping[Path, Path]]:
    """The file of each image that has one: of its name in its folder, of its name elsewhere, and that of its folder."""
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_suffix[path.suffix.lower()].append(path)
    keys: tuple[Callable[[Path], object], ...] = (_bare, lambda path: _bare(path).name)
    for suffix in SUFFIXES:
        for key in keys:
            yield from _matched(images, by_suffix[suffix], key, key)
    for name, number in Counter(path.name for path in files).most_common():
        if number > 1:
            yield from _matched(images, [path for path in files if path.name == name], lambda path: path.parent, None)


def _bare(path: Path) -> Path:
    """A path without its suffix, and without that of the image in ``7.png.json``."""
    bare = path.with_suffix("")
    return bare.with_suffix("") if is_image(bare) and not is_image(path) else bare


def _matched(
    images: Sequence[Path],
    files: Sequence[Path],
    key: Callable[[Path], object],
    different: Callable[[Path], object] | None,
) -> Iterator[Mapping[Path, Path]]:
    """The file with the key of each image, if nearly all have one, and no two of them the same where these differ."""
    by_key = {key(path): path for path in files}
    of_images = [key(path) for path in images]
    found = {path: by_key[each] for path, each in zip(images, of_images, strict=True) if each in by_key}
    is_unique = len(by_key) == len(files) and (different is None or len(set(found.values())) == len(found))
    if found and is_unique and len(found) >= LEAST_SHARE * len(images):
        yield found


def _listing(data: Path, files: Mapping[Path, Path], num_images: int) -> Listing | None:
    """The table of the files; None if one of them is no record."""
    read: dict[Path, list[Record]] = {}
    rows: list[tuple[int, Record]] = []
    for image, file in files.items():
        if file not in read:
            try:
                read[file] = _records(file)
            except UserError:
                return None
        if not read[file]:
            return None
        written = image.relative_to(data).as_posix()
        rows += [(len(rows) + 1, {**each, "path": written}) for each in _distinct(read[file])]
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    if not 1 < len(names) <= MOST_COLUMNS:
        return None
    first = next(iter(read))
    note = f"labels are looked up in the files *{first.suffix} of the images or their folders, as in a table"
    absent = num_images - len(files)
    notes = (note, *((f"{absent} images have no such file, and are not read",) if absent else ()))
    return with_one_hot(
        Listing(
            path=_pattern(data, list(read)),
            base=data,
            columns=tuple(names),
            rows=tuple((number, {name: row.get(name, "") for name in names}) for number, row in rows),
            notes=notes,
            path_column="path",
            joined=tuple(read),
        )
    )


def _check_numbers(listing: Listing, data: Path, reading: Reading) -> None:
    """Refuse numbers of classes in texts of YOLO, which are in any order, without a file with their names."""
    if listing.columns != (NUMBER, "path") or reading.classes is not None:
        return
    words = listing.column(NUMBER)
    if not any(class_names(folder, words).has_all(words) for folder in (listing.path.parent, data) if folder.is_dir()):
        raise LabelError(
            f"{listing.path}: the numbers of the classes have no names; write each of {joined(sorted(set(words)))} "
            f"after its class: --classes {' '.join(f'{name}={PLACE}' for name in CLASSES)}"
        )


def _pattern(data: Path, files: Sequence[Path]) -> Path:
    """What matches all of the files, for messages, in the folder that contains them."""
    if len({path.name for path in files}) == 1:
        return data / "*" / files[0].name
    return Path(os.path.commonpath([path.parent for path in files])) / f"*{files[0].suffix}"


def _may_have_labels(listing: Listing, reading: Reading) -> bool:
    if reading.label_column is not None:
        return listing.has(reading.label_column.strip().lower())
    column = label_column(listing, reading, required=False)[0]
    # A text that is the same for all images is none.
    is_read = column is not None and (len(set(listing.column(column))) > 1 or column != LABEL)
    return is_read or bool(label_candidates(listing))


def _records(path: Path) -> list[Record]:
    """The records of a file, with keys in lower case."""
    if path.suffix.lower() == ".txt":
        return _of_text(path)
    found = [_with_split({name.lower(): value for name, value in record.items()}) for record in records_of(path)]
    if path.suffix.lower() == ".xml" and not any("label" in record for record in found):
        # The class of an object, as VOC calls it.
        found = [{"label" if name == "name" else name: value for name, value in record.items()} for record in found]
    return found


def _of_text(path: Path) -> list[Record]:
    """The records of a text: lines of YOLO, keys with values, or one line that is a label; empty if it is another."""
    try:
        with open_file(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError:
        return []
    lines = [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if not lines or len(content) > MOST_BYTES:
        return []
    boxes = [_YOLO.fullmatch(line) for line in lines]
    if all(boxes):
        return [{NUMBER: match["number"]} for match in boxes if match]
    keyed = [_KEYED.fullmatch(line) for line in lines]
    if all(keyed):
        return [{match["key"].strip().lower(): match["value"].strip() for match in keyed if match}]
    return [{LABEL: lines[0]}] if len(lines) == 1 and len(lines[0].split()) <= MOST_WORDS else []


def _with_split(record: Record) -> Record:
    """A record whose tags without a value, such as ``train`` and ``val``, are those of one column."""
    parts = [name for name, value in record.items() if value == MARKED and part_of(name)]
    if len(parts) != 1 or "split" in record:
        return record
    return {name: value for name, value in record.items() if name not in parts} | {"split": parts[0]}


def _distinct(records: Sequence[Record]) -> list[Record]:
    """Each different record once."""
    found: dict[tuple[tuple[str, str], ...], Record] = {}
    for record in records:
        found.setdefault(tuple(record.items()), record)
    return list(found.values())
