"""Names of uploaded images: Label Studio writes 8 hexadecimal digits before them, which the files on disk may lack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from leukemia.data.layouts.file_index import FileIndex
from leukemia.data.layouts.source import is_image
from leukemia.data.layouts.written_path import WrittenPath

_UPLOADED = re.compile(r"(?:.*/)?(?P<whole>[0-9a-f]{8}-(?P<name>[^/]+))")


def names_on_disk(columns: Mapping[str, Sequence[str]], root: Path) -> dict[str, list[str]]:
    """The columns all of whose values are names of uploaded images, as the files below a folder are called.

    Of the path as written, its name, and its name without the digits, the first that any file has is taken for all
    rows. Columns without such values, or whose values no file has in another form, are left out.

    Args:
        columns: the values by name.
        root: the base folder of the paths, without symbolic links.
    """
    index: FileIndex | None = None
    found = {}
    for column, values in columns.items():
        matches = [match for value in values if (match := _UPLOADED.fullmatch(value)) and is_image(Path(value))]
        if not matches or len(matches) < len(values):
            continue
        index = index or FileIndex(root)
        if any(_is_there(value, root, index) for value in values):
            continue
        whole, names = [match["whole"] for match in matches], [match["name"] for match in matches]
        chosen = next((each for each in (whole, names) if any(map(index.called, each))), None)
        if chosen is not None:
            found[column] = chosen
    return found


def _is_there(value: str, root: Path, index: FileIndex) -> bool:
    """Whether a file is at a path as written, or in folders with the same end."""
    written = WrittenPath.of(value, root)
    return written is not None and (written.is_there or bool(index.with_end(written.folders, written.name)))
