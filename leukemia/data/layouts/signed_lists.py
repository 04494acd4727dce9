"""Lists of a class as VOC has them: in each line the id of an image, and 1 if it has the class, -1 if it has not."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.files import open_file
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.split import part_of

# 0 is an image that is hard to say.
_LINE = re.compile(r"(\S+)[ \t]+([+-]?[01])")
_NUM_BYTES = 1_000_000


def has_signed_ids(lines: Sequence[str]) -> bool:
    """Whether all lines but blank ones are of such a list."""
    found = [_LINE.fullmatch(line.strip()) for line in lines if line.strip()]
    return all(found) and {"1", "-1"} <= {match[2].removeprefix("+") for match in found if match}


def way_by_signed_lists(data: Path) -> str:
    """How to read the lists below a folder; empty if it has none of images in it."""
    lists: dict[str, list[Path]] = defaultdict(list)
    for path in walk(data):
        if path.suffix.lower() == ".txt" and has_signed_ids(_lines(path)):
            words = [word for word in re.split(r"[\W_]+", path.stem) if not part_of(word)]
            lists["_".join(words)].append(path)
    if not lists:
        return ""
    name, paths = min(lists.items())
    first = _lines(paths[0])[0].split()[0]
    image = next((path for path in walk(data) if is_image(path) and path.stem == first), None)
    if image is None:
        return ""
    typed = shlex.join([*map(str, paths), "--base", str(image.parent)])
    named = ", ".join(sorted(lists))
    return f"; there are lists of ids with 1 or -1 ({named}): to read those of {name}, give {typed}"


def _lines(path: Path) -> list[str]:
    try:
        with open_file(path) as stream:
            content = stream.read(_NUM_BYTES)
    except OSError:
        return []
    return [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
