"""VOC's lists of a class: ids without suffix, and 1 or -1."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest
from helpers.second_try import completed, refusal, touch

from leukemia.base.errors import UserError
from leukemia.data.layouts.detect import find_images
from leukemia.data.layouts.signed_lists import has_signed_ids
from leukemia.data.reading import Reading

CLASSES = ("normal=-1", "leukemic=1")


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def voc(data: Path, form: str = "{0:06d} {1:2d}", folder: str = "ImageSets/Main") -> Path:
    """Ten images, of which each third is a blast, in two parts."""
    touch(data, *(f"JPEGImages/{number:06d}.jpg" for number in range(10)))
    for part, numbers in (("train", range(7)), ("val", range(7, 10))):
        for word, sign in (("blast", 1), ("lymphocyte", -1)):
            lines = [form.format(n, sign if n % 3 == 0 else -sign) for n in numbers]
            write(data / folder / f"{word}_{part}.txt", lines)
        write(data / folder / f"{part}.txt", [f"{n:06d}" for n in numbers])
    return data


@pytest.mark.parametrize(
    ("form", "folder"), [("{0:06d} {1:2d}", "ImageSets/Main"), ("{0:06d}\t{1}", "lists"), ("{0:06d} {1:+d}", ".")]
)
def test_lists_of_a_class_are_named_and_read_at_the_third_try(tmp_path: Path, form: str, folder: str) -> None:
    message = refusal(voc(tmp_path, form, folder))
    assert "there are lists of ids with 1 or -1 (blast, lymphocyte): to read those of blast, give " in message
    *paths, option, base = shlex.split(message.partition("those of blast, give ")[2].splitlines()[0])
    assert option == "--base"
    first, *also = paths
    reading = Reading(also=tuple(also), base=base)
    with pytest.raises(UserError, match=r"or map the words with --classes") as caught:
        find_images(Path(first), reading, labels=True)
    classes = completed(str(caught.value), "-1", "1" if "+" not in form else "+1")
    source = find_images(Path(first), Reading(also=tuple(also), base=base, classes=tuple(classes)), labels=True)
    assert Counter(row.label for row in source.rows) == {0: 6, 1: 4}
    assert Counter(row.split for row in source.rows) == {"train": 7, "validation": 3}


@pytest.mark.parametrize("lines", [["a.png 1", "b.png 1"], ["0 1", "1 1"], ["7 0.5", "8 -1"], ["one two"], []])
def test_other_texts_are_no_such_lists(lines: list[str]) -> None:
    assert not has_signed_ids(lines)
