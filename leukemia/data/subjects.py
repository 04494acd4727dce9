"""Subjects of images: where they are read from, their normal form, and what is said about them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from leukemia.base.errors import UserError
from leukemia.base.quantity import have, quantity
from leukemia.data.names import composed
from leukemia.data.reading import Reading, Spelling

UNKNOWN = "unknown"
"""Subject of the images without one, if others have one. It is never compared with another data set."""

_NO_SUBJECT_WORDS = (
    "nan none na n/a n.a. #n/a <na> nat nil null unk unknown undefined missing - -- \u2013 \u2014 . ? ?? ???"
)
NO_SUBJECT = frozenset(["", "not available", "not known", *_NO_SUBJECT_WORDS.split()])
"""Texts that mean that there is no subject, ignoring case and blanks around them."""

MOST_NAMED = 10
"""Notes name at most as many files or subjects."""

# "1" as pandas writes integers if values are missing, or with leading zeros.
_INTEGER = re.compile(r"0*([0-9]+)(?:\.0*)?")
# The last one of a path: of a file rather than of its folders.
_CNMC_NAME = re.compile(r"(?:.*[^A-Za-z0-9])?UID_(?P<subject>[^_/]+)[_/]", re.IGNORECASE | re.DOTALL)


class NotApplicable(UserError):
    """An option for subjects that these data cannot obey, such as a column that they lack."""


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """The subjects of a data set."""

    names: tuple[str, ...] | None
    """One per image; None if no image has one."""

    notes: tuple[str, ...]
    """What was understood, one line each; the first one says how to give subjects if there are none."""


def key(subject: str, spelling: Spelling | None = None) -> str:
    """The normal form, which spellings of one subject share; ``exact`` keeps the text.

    >>> {key(" h3"), key("H3 ")}, {key("1"), key("1.0"), key("01")}, key("H3", "exact")
    ({'h3'}, {'1'}, 'H3')
    """
    if spelling == "exact":
        return subject
    text = " ".join(composed(subject).casefold().split())
    number = _INTEGER.fullmatch(text)
    return number[1] if number else text


def cnmc_subject(name: str) -> str | None:
    """The subject in a C-NMC name, wherever it stands in a path, in upper case since some are written ``h3``.

    >>> cnmc_subject("UID_h3_2_1_hem.bmp"), cnmc_subject("train/aug_0_UID_20_1_1_all.bmp"), cnmc_subject("cell.bmp")
    ('H3', '20', None)
    """
    match = _CNMC_NAME.match(name)
    return match["subject"].upper() if match else None


def cnmc_subjects(names: Sequence[str]) -> list[str | None]:
    """The subject in each name, None in others; None in all unless most of the names are C-NMC's."""
    found = [cnmc_subject(name) for name in names]
    return found if 2 * _num_known(found) > len(found) else [None] * len(found)


def read_subjects(
    image_ids: Sequence[str],
    written: Sequence[str | None],
    reading: Reading,
    *,
    columns: Iterable[str] = (),
    recurring: Collection[str] = (),
    left: Iterable[str] = (),
    pattern: Callable[[], str | None] = lambda: None,
) -> Subjects:
    """The subjects of all images, in their normal form: a subject is named by its shortest spelling.

    If images have none while others do, theirs is ``UNKNOWN``.

    Args:
        image_ids: one per image; where nothing is written, subjects are read from C-NMC names in them.
        written: subjects as written in the data, one per image. None: not written.
        reading: the user's options.
        columns: columns that are called like subjects, but are not read.
        recurring: other columns whose values recur as patients do.
        left: columns of which nothing says what they are.
        pattern: what to type for subjects that may be in the paths, looked up only if there are none.

    Raises:
        NotApplicable: no image has a subject where an option says that it has.
        UserError: the pattern is invalid.
    """
    values, notes = _values(image_ids, written, reading)
    exact = reading.subject_spelling == "exact"
    known = [None if value is None or _is_none(value, exact=exact) else value for value in values]
    words = sorted({_quoted(value) for value, found in zip(values, known, strict=True) if value and found is None})
    if not _num_known(known):
        if reading.subject_column is not None and reading.subject_pattern is None:
            raise NotApplicable(
                f"--subject-column {reading.subject_column}: expected subjects, but no row has one"
                f"{_in_brackets(words)}; give another column, or leave the option out"
            )
        return Subjects(names=None, notes=(_how_to_give(columns, recurring, left, pattern),))
    notes += [_unread(column, reading) for column in columns]
    names, joined = _normal({value for value in known if value is not None}, reading.subject_spelling)
    if joined:
        notes.append(
            f"{quantity(len(joined), 'subject')} {have(len(joined))} several spellings, which are taken "
            f"for one: {some(joined)}; "
            "--subject-spelling exact keeps them apart"
        )
    without = [image_id for image_id, value in zip(image_ids, known, strict=True) if value is None]
    if without:
        notes.append(
            f"{len(without)} of {len(image_ids)} images {have(len(without))} no "
            f"subject{_in_brackets(words)}: {some(without)}; they "
            f"stay together as one group, {UNKNOWN!r}, which is not compared with other data: remove them if their "
            "patients have other images"
        )
    return Subjects(names=tuple(UNKNOWN if value is None else names[value] for value in known), notes=tuple(notes))


def _values(
    image_ids: Sequence[str], written: Sequence[str | None], reading: Reading
) -> tuple[list[str | None], list[str]]:
    """What each image has where subjects are read, and a note if that is not said by the data."""
    if reading.subject_pattern is not None:
        return _matched(image_ids, written, reading), []
    if _num_known(written):
        in_names = cnmc_subjects([value or "" for value in written])
        return in_names if _num_known(in_names) else list(written), []
    # With another copy, subjects are looked up there.
    in_names = [None] * len(image_ids) if reading.subjects_from is not None else cnmc_subjects(image_ids)
    if not _num_known(in_names):
        return in_names, []
    return in_names, ["subjects are read from the names, as C-NMC's UID_SUBJECT_...; --subject-pattern reads others"]


def _matched(image_ids: Sequence[str], written: Sequence[str | None], reading: Reading) -> list[str | None]:
    """What ``--subject-pattern`` finds: in the column given by ``--subject-column``, else in the image ids."""
    text = reading.subject_pattern or ""
    if not text:
        # Explicitly none.
        return [None] * len(image_ids)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"--subject-pattern {text}: expected a regular expression ({error}); correct it") from None
    if pattern.groups != 1:
        raise UserError(
            f"--subject-pattern {text}: expected one group, the subject, got {pattern.groups}; write it in "
            "parentheses, such as 'patient(\\d+)', and other parentheses as (?:...)"
        )
    sources = image_ids if reading.subject_column is None else [value or "" for value in written]
    if reading.subject_spelling != "exact":
        pattern, sources = re.compile(composed(text)), list(map(composed, sources))
    matches = [pattern.search(source) for source in sources]
    if not any(matches):
        raise NotApplicable(f"--subject-pattern {text}: none of the {len(sources)} texts matches, such as {sources[0]}")
    return [match[1] if match else None for match in matches]


def _normal(spellings: Iterable[str], spelling: Spelling | None) -> tuple[dict[str, str], list[str]]:
    """The name of the subject of each spelling, and, as text, which ones were joined."""
    variants: dict[str, list[str]] = {}
    for text in sorted(spellings, key=lambda each: (len(each), each)):
        variants.setdefault(key(text, spelling), []).append(text)
    names = {text: texts[0] for texts in variants.values() for text in texts}
    return names, [" = ".join(map(_quoted, texts)) for texts in variants.values() if len(texts) > 1]


def _is_none(text: str, *, exact: bool) -> bool:
    return not text.strip() if exact else key(text) in NO_SUBJECT


def _num_known(values: Sequence[str | None]) -> int:
    return sum(value is not None for value in values)


def _unread(column: str, reading: Reading) -> str:
    way = "reads it" if reading.subject_column is None else "reads it instead"
    return f"the column {column} looks like subjects, but is not read; --subject-column {_argument(column)} {way}"


def _how_to_give(
    columns: Iterable[str], recurring: Collection[str], left: Iterable[str], pattern: Callable[[], str | None]
) -> str:
    """What to type for subjects: columns that are called so; without any, what else recurs as patients do, and what
    else a table has."""
    ways = [f"--subject-column {_argument(column)} reads the column {column}" for column in columns]
    others = [] if ways else [column for column in left if column not in recurring]
    if not ways:
        ways = [
            f"--subject-column {_argument(column)} reads the column {column}, whose values recur as patients do, if "
            "these are patients"
            for column in recurring
        ]
        ways += filter(None, [pattern()])
    return (
        "subjects are unknown, so images of one patient may be on both sides of a split, and scores too high; "
        + ", ".join(ways or ["a CSV with a column subject gives them"])
        + (
            f", --subject-column NAME reads another column, if one of these has patients ({some(others)})"
            if others
            else ""
        )
        + ", --subjects-from looks them up in a copy with subjects (for renumbered images of C-NMC)"
    )


def _argument(text: str) -> str:
    return text if re.fullmatch(r"[\w.-]+", text) else f"'{text}'"


def _in_brackets(words: Sequence[str]) -> str:
    return f" ({some(words)})" if words else ""


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.-]+", text) else repr(text)


def some(items: Sequence[str]) -> str:
    """At most ``MOST_NAMED`` items as text, and the number of the others."""
    more = len(items) - MOST_NAMED
    return ", ".join(items[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
