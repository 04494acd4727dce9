"""Names that texts beside images give to class numbers, in the forms that tools and people write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from leukemia.data.class_hints import hinted_label
from leukemia.data.layouts.source import is_image

LISTS = frozenset(
    "classes.txt class_names.txt labels.txt label_names.txt names.txt categories.txt obj.names _darknet.labels".split()
)
"""Files with one name per line, from 0."""

MOST_NAMES = 20
"""A text that numbers more things than this does not number classes."""

_KEYS = frozenset("names classes class_names labels label_names categories".split())
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?\n)---\s*$", re.DOTALL | re.MULTILINE)
# What may stand before the number of a class in a sentence; a fold or a table may be numbered, too.
_BEFORE = frozenset(
    "and are as class classe classes category code if is klasse label labels of or to value where with".split()
)

_QUOTE = r"[\"'`*]*"
# Where the next name begins: ``... and 1 for``, ``... 1=``
_NEXT = r"\s+(?:(?:and|or|und|oder|et|y|e)\s+(?=\d)|\d{1,2}\s*(?:[:=)]|->))"
_NAME = rf"(?P<name>[^\W\d_](?:(?!{_NEXT})[^\n,;:|=\"'`{{}}\[\]]){{0,60}})"
_NAME_BEFORE = r"(?P<name>[^\W\d_][^\n,;:|=\"'`{}\[\]().]{0,60})"
_IS = r"(?::|=+>?|-+>|→|[-–—|(]|(?<!\(\d)(?<!\(\d\d)\)|\b(?:is|means|stands\s+for|for)\b)"
_SENTENCES = (
    # ``0: ALL, 1: HEM``, ``'0': 'ALL'``, ``0 = normal``, ``| 0 | ALL |``
    re.compile(rf"(?P<before>[^\W\d_]+[ \t]+)?(?<![\w.,-])(?P<number>\d{{1,2}}){_QUOTE}\s*{_IS}\s*{_QUOTE}{_NAME}"),
    # ``ALL: 0, HEM: 1``, ``normal (0)``, ``| ALL | 0 |``
    re.compile(rf"{_NAME_BEFORE}{_QUOTE}\s*(?:[:=|(]|=>|->|→|\bis\b)\s*{_QUOTE}(?P<number>\d{{1,2}})(?![\w.%/])"),
    # ``1 neutrophil, 2 lymphocyte``
    re.compile(rf"(?P<before>[^\W\d_]+[ \t]+)?(?<![\w.,-])(?P<number>\d{{1,2}})[ \t]+{_NAME}(?=[,;.\n]|\Z)"),
)
_TABLES = (
    # ``0,ALL`` and ``ALL,0`` as lines
    re.compile(rf"^[ \t]*(?P<number>\d{{1,2}})[ \t]*[,;\t ][ \t]*{_QUOTE}{_NAME}{_QUOTE}[ \t]*$", re.MULTILINE),
    re.compile(rf"^[ \t]*{_QUOTE}{_NAME}{_QUOTE}[ \t]*[,;\t ][ \t]*(?P<number>\d{{1,2}})[ \t]*$", re.MULTILINE),
)
_LEGEND = re.compile(r"\s*(?P<number>\d{1,2}):\s+(?P<name>\S.*?)\s*")
_END = re.compile(r"[.)](?:\s|$)|\s+\d+\s*$")
_LAST = re.compile(r".*\b(?:and|are|as|is|or|where|with)\s+", re.IGNORECASE)


def names_in(path: Path, text: str) -> dict[str, str]:
    """The names by number, as text, that a file says in the first form that has any; empty if it says none.

    >>> names_in(Path("data.yaml"), "names: [hem, all]"), names_in(Path("id2label.json"), '{"0": "ALL", "1": "HEM"}')
    ({'0': 'hem', '1': 'all'}, {'0': 'ALL', '1': 'HEM'})
    >>> names_in(Path("readme.txt"), "Label 0 is a normal cell, 1 is a blast."), names_in(Path("labels.txt"), "a\\nb")
    ({'0': 'a normal cell', '1': 'a blast'}, {'0': 'a', '1': 'b'})
    >>> names_in(Path("readme.txt"), "Fold 0: training, fold 1: validation. We used 2 microscopes, 1 camera.")
    {}
    """
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        return _best(list(_in_structure(_parsed(text, is_json=suffix == ".json"))))
    match = _FRONT_MATTER.match(text)
    if match is not None and (found := _best(list(_in_structure(_parsed(match[1]))))):
        return found
    plain = text if match is None else text[match.end() :]
    found = _best(list(filter(None, (_in_text(form, plain) for form in (*_SENTENCES, *_TABLES)))))
    return found or (_listed(text) if path.name.lower() in LISTS else {})


def legend_in(text: str) -> dict[str, str]:
    """The names by number in a text that has nothing else, a line ``NUMBER: NAME`` for each; empty in any other text.

    >>> legend_in("0: normal\\n1: blast\\n"), legend_in("0: normal\\n1: blast\\nRead by two people.\\n")
    ({'0': 'normal', '1': 'blast'}, {})
    """
    lines = [_LEGEND.fullmatch(line) for line in text.splitlines() if line.strip()]
    names = {match["number"]: match["name"] for match in lines if match is not None}
    return next(_numbered(names), {}) if len(names) == len(lines) else {}


def _best(found: Sequence[dict[str, str]]) -> dict[str, str]:
    """The first of these with a name that suggests a class, else the first."""
    hinted = (names for names in found if any(hinted_label(name) is not None for name in names.values()))
    return next(hinted, next(iter(found), {}))


def _parsed(text: str, *, is_json: bool = False) -> Any:
    try:
        return json.loads(text) if is_json else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _in_structure(content: Any, key: str = "") -> Iterator[dict[str, str]]:
    """The names in lists called so, and in mappings of numbers to names or of names to numbers, at any depth."""
    if isinstance(content, list):
        if key in _KEYS and content and all(isinstance(each, str) for each in content):
            yield from _numbered({str(number): name for number, name in enumerate(content)})
        if key in _KEYS and all(isinstance(each, dict) for each in content):
            yield from _numbered({str(each.get("id")): str(each.get("name")) for each in content})
        for each in content:
            yield from _in_structure(each)
    elif isinstance(content, dict):
        texts = {str(name): value for name, value in content.items() if isinstance(value, str)}
        numbers = {str(value): str(name) for name, value in content.items() if type(value) is int}
        yield from _numbered(texts if len(texts) == len(content) else {})
        yield from _numbered(numbers if len(numbers) == len(content) else {})
        for name, each in content.items():
            yield from _in_structure(each, str(name).lower())


def _in_text(form: re.Pattern[str], text: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for match in form.finditer(text):
        before = (match.groupdict().get("before") or "").strip().lower()
        is_before = match.start("name") < match.start("number")
        name = (_LAST.sub("", match["name"]) if is_before else _ended(match["name"])).strip(" *_.\t")
        is_name = name and (not before or before in _BEFORE)
        if is_name and names.setdefault(match["number"], name) != name and form in _TABLES:
            # The rows are images.
            return {}
    return next(_numbered(names), {})


def _ended(text: str) -> str:
    """The name at the beginning of a text, with the parentheses that it opens and closes; others are cut off.

    >>> _ended("a leukemic cell (ALL). Others"), _ended("leukemic) and"), _ended("leukemic cell (ALL")
    ('a leukemic cell (ALL)', 'leukemic', 'leukemic cell ')
    """
    for match in _END.finditer(text):
        before = text[: match.start()]
        if not (match[0].startswith(")") and before.count("(") > before.count(")")):
            text = before
            break
    return text if text.count("(") <= text.count(")") else text.rpartition("(")[0]


def _numbered(names: dict[str, str]) -> Iterator[dict[str, str]]:
    """The names, if they are different ones for numbers from 0 or 1 without gaps, and none of images."""
    numbers = sorted(map(int, names)) if all(map(str.isdecimal, names)) else []
    if (
        1 < len(numbers) <= MOST_NAMES
        and numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
        and len(set(names.values())) == len(names)
        and not any(map(is_image, map(Path, names.values())))
    ):
        yield {str(int(number)): name.strip() for number, name in names.items()}


def _listed(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines()]
    return next(_numbered({str(number): line for number, line in enumerate(lines) if line}), {})
