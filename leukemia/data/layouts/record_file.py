"""Files of records as tables: JSON, JSON lines and XML, as programs for annotation and scripts write them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard
from xml.etree import ElementTree

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.data.layouts.folder_levels import look_like_subjects
from leukemia.data.layouts.source import is_image
from leukemia.data.split import part_of

SUFFIXES = (".json", ".jsonl", ".ndjson", ".xml")
"""Of files that may have many records."""

MOST_BYTES = 50_000_000
"""A larger file is not read as records."""

MOST_ROWS = 1_000_000
"""Of records with several lists inside, each combination is a row; there are at most so many."""

LEAST_IMAGES = 0.6
"""Such a share of the records of a table has the name of an image in one of their columns."""

LONGEST_VALUE = 1_000
"""A longer value is no text that is meant, such as an image itself."""

PATH = "Path"
"""The column of the key by which records are listed."""

MARKED = "yes"
"""The value of a tag that has none."""

Record: TypeAlias = dict[str, str]
"""Values by column."""

_IMAGE = re.compile(rb'([^"/]+\.(?:bmp|jpe?g|png|tiff?|webp))"', re.IGNORECASE)
_NUMBERED = re.compile(r".*\d\w?")
# Keys of an annotation of COCO that are not about its image.
_OF_BOXES = frozenset(["id", "image_id", "bbox", "segmentation"])


def records_of(path: Path) -> list[Record]:
    """What a file about one image says, once for each combination of the items of its lists, such as boxes.

    Names of columns are those of the innermost keys.

    Raises:
        UserError: the file is no such file, too large, or has too many combinations.
    """
    content = _parsed(path)
    return [row for each in (content if isinstance(content, list) else [content]) for row in _read_rows(path, each)]


def table_of(path: Path) -> tuple[list[str], list[Record]] | None:
    """The columns and the records of a file that lists images; None if it is none.

    The lists ``images``, ``annotations`` and ``categories`` of COCO are joined by their ids. Of other lists, the
    longest one has the records.

    Raises:
        UserError: as ``records_of``.
    """
    content = _parsed(path)
    records = _of_coco(path, content) if isinstance(content, dict) else []
    if not records:
        found: Sequence[Any] = max(_lists(content), key=len, default=[])
        records = [row for each in found for row in _read_rows(path, each)]
    if not any("label" in record for record in records):
        # As Label Studio calls them.
        records = [{"label" if name == "choices" else name: text for name, text in row.items()} for row in records]
    columns = list(dict.fromkeys(name for record in records for name in record))
    of_images = [name for name in columns if _has_images([record.get(name, "") for record in records])]
    if not of_images:
        return None
    if PATH in columns and PATH not in of_images:
        # The keys of VIA are names with sizes.
        columns.remove(PATH)
    return columns, records


def has_records(path: Path) -> bool:
    """Whether a file is called like one of records, and lists several images."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        folder = path.parent
        if path.stem in _image_stems(folder, folder.stat().st_mtime_ns):
            return False
        state = path.stat()
    except OSError:
        return False
    return state.st_size <= MOST_BYTES and _lists_images(path, state.st_mtime_ns, state.st_size)


# The files of a folder are asked again and again.
@lru_cache(maxsize=256)
def _image_stems(folder: Path, changed: int) -> frozenset[str]:
    """The names of the images in a folder, which is the same as long as its time is, without suffixes."""
    with os.scandir(folder) as entries:
        return frozenset(path.stem for entry in entries if is_image(path := Path(entry.name)))


@lru_cache(maxsize=4096)
def _lists_images(path: Path, changed: int, num_bytes: int) -> bool:
    """Whether a file, which is the same as long as its time and size are, lists images."""
    try:
        with open_file(path) as stream:
            content = stream.read()
        return len(set(_IMAGE.findall(content))) > 1 and table_of(path) is not None
    except (OSError, UserError):
        return False


def _has_images(values: Sequence[str]) -> bool:
    """Whether values are names of images, several ones."""
    return len(set(values)) > 1 and sum(map(_is_image_name, values)) >= LEAST_IMAGES * len(values)


def _parsed(path: Path) -> Any:
    """The content of a file of JSON, JSON lines or XML."""
    try:
        with open_file(path) as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: expected at most {MOST_BYTES // 1_000_000} MB; write a CSV Path,label from it")
    suffix = path.suffix.lower()
    try:
        text = content.decode("utf-8-sig")
        if suffix == ".xml":
            return _of_element(ElementTree.fromstring(text))
        return json.loads(text) if suffix == ".json" else list(map(json.loads, filter(str.strip, text.splitlines())))
    except (ValueError, RecursionError, ElementTree.ParseError) as error:
        raise UserError(f"{path}: expected {suffix[1:].upper()} ({error})") from None


def _read_rows(path: Path, record: Any) -> list[Record]:
    try:
        return list(_rows(record)) if isinstance(record, dict) else []
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {error}; write a CSV Path,label from it") from None


def _lists(content: Any) -> Iterator[Sequence[Any]]:
    """The lists of records in parsed JSON, at the outermost places."""
    if isinstance(content, list):
        yield [each for each in content if isinstance(each, dict)]
    elif isinstance(content, dict):
        values = list(content.values())
        if len(values) > 1 and all(isinstance(each, dict) for each in values):
            yield [{PATH: name} | each for name, each in content.items()]
        elif (
            len(values) > 1 and all(map(_is_image_name, content)) and not any(isinstance(each, dict) for each in values)
        ):
            yield [{PATH: name, "label": each} for name, each in content.items()]
        elif len(values) > 1 and all(map(_are_image_names, values)):
            are_subjects = all(map(_NUMBERED.fullmatch, content)) and look_like_subjects(content)
            what = "split" if all(map(part_of, content)) else "subject" if are_subjects else "label"
            yield [{PATH: name, what: key} for key, names in content.items() for name in names]
        for each in values:
            if isinstance(each, (dict, list)):
                yield from _lists(each)


def _is_image_name(name: str) -> bool:
    return is_image(Path(name.replace("\\", "/")))


def _are_image_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, str) and _is_image_name(each) for each in value)
    )


def _of_coco(path: Path, content: Mapping[str, Any]) -> list[Record]:
    """The images of a file of COCO, once for each of their annotations; empty if it is none."""
    images, annotations, categories = (content.get(name) for name in ("images", "annotations", "categories"))
    if not (_are_records(images) and _are_records(annotations)):
        return []
    names = {str(each.get("id")): str(each.get("name")) for each in categories} if _are_records(categories) else {}
    of_image: dict[str, list[Record]] = {}
    for each in annotations:
        texts = {
            key: text for key, value in each.items() if key not in _OF_BOXES and (text := _text(value)) is not None
        }
        label = {"label": name} if (name := names.get(str(each.get("category_id")))) else {}
        of_image.setdefault(str(each.get("image_id")), []).append(texts | label)
    return [
        row | each
        for image in images
        for row in _read_rows(path, image)
        for each in of_image.get(str(image.get("id")), [{}])
    ]


def _are_records(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _rows(record: Any) -> Iterator[Record]:
    """A record without the lists and records inside, whose values are columns of its own."""
    rows: list[Record] = [{}]
    for key, value in record.items():
        if isinstance(value, dict):
            inner = list(_rows(value))
        elif _are_tags(value):
            inner = [_of_tags(value)]
        elif _are_records(value):
            # Label Studio keeps annotations that were skipped.
            inner = [row for each in value if each.get("was_cancelled") is not True for row in _rows(each)]
        else:
            text = _text(value)
            inner = [] if text is None else [{str(key): text}]
        inner = [each for each in inner if each]
        if len(rows) * len(inner) > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS} combinations of the items of lists")
        # An outer value of this name is meant.
        rows = [row | new | row for row in rows for new in inner] if inner else rows
    yield from rows


def _are_tags(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a value is a list of tags, as Supervisely writes them: names with a value, or with none."""
    return _are_records(value) and all(
        isinstance(each.get("name"), str) and "value" in each and not isinstance(each["value"], (dict, list))
        for each in value
    )


def _of_tags(tags: Sequence[Mapping[str, Any]]) -> Record:
    """Tags as one record: the values by name, those of several tags of one name with commas."""
    found: dict[str, list[str]] = {}
    for tag in tags:
        text = MARKED if tag["value"] is None else _text(tag["value"])
        found.setdefault(tag["name"], []).append(text or "")
    return {name: ", ".join(dict.fromkeys(texts)) for name, texts in found.items()}


def _text(value: Any) -> str | None:
    """A value as in a CSV; None for one that is no text, such as the corners of a box."""
    if isinstance(value, list):
        if len(value) != 1:
            return None
        value = value[0]
    if isinstance(value, bool):
        return str(value)
    if value is None:
        return ""
    if not isinstance(value, (str, int, float)):
        return None
    text = str(value).strip()
    return text if len(text) <= LONGEST_VALUE else None


def _of_element(element: ElementTree.Element) -> dict[str, Any]:
    """An element of XML as a record: its attributes, and its children by their tags, several of one as a list."""
    record: dict[str, Any] = dict(element.attrib)
    for child in element:
        inner: Any = _of_element(child) if len(child) or child.attrib else (child.text or "").strip()
        if child.tag in record:
            before = record[child.tag]
            record[child.tag] = [*(before if isinstance(before, list) else [before]), inner]
        else:
            record[child.tag] = inner
    return record
