"""Columns of a CSV that may have labels, where none is called so: which are proposed, and what to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from leukemia.base.errors import listed
from leukemia.data.class_hints import hinted_label
from leukemia.data.classes import (
    MOST_WORDS,
    NAMED,
    NO_LABEL,
    LabelError,
    Vocabulary,
    counted,
    normal_form,
    unknown_words,
    vocabulary_of,
)
from leukemia.data.layouts.class_names import names_for
from leukemia.data.layouts.folder_levels import is_id, look_like_subjects
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.merged_cells import refuse_merged_cells
from leukemia.data.layouts.program_columns import OF_SHEET, is_label_sheet, is_of_program
from leukemia.data.part_words import plain
from leukemia.data.reading import Reading
from leukemia.data.split import COLUMNS as SPLITS
from leukemia.data.split import part_of
from leukemia.data.subject_words import looks_like_subjects

OTHERS = frozenset(
    "age alter birth dob date datum time day year sex gender geschlecht id index width height edad fecha sexo genero "
    "sexe genre idade data sesso eta yas tarih cinsiyet wiek plec возраст пол дата 年龄 性别 日期 年齢 性別 나이 "
    "성별".split()
)
"""Words in the names of columns that have neither labels nor, but for the ids, patients."""

_LIKELY = re.compile(r"diagnos|class|label|type|categor|target|group|result|outcome|stage|klasse|befund", re.IGNORECASE)
# What several raters agreed on.
_AGREED = re.compile(r"consens|konsens|adjudicat", re.IGNORECASE)
# Names and words of columns for a split by its hospital or its time.
_COHORTS = frozenset("cohort centre center site hospital zentrum".split())
_SPLIT_WORDS = frozenset(
    "development derivation discovery internal external holdout hold-out in-house prospective retrospective".split()
)
# Of numbers of which one has a fraction, which 1.0 has not.
_NUMBER, _FRACTION = re.compile(r"[+-]?\d*(?:[.,]\d*)?(?:e[+-]?\d+)?"), re.compile(r".*[.,]\d*[1-9].*")
_SEXES = frozenset(
    "m f w d v h male female man woman hombre mujer varon masculino femenino homme femme masculin feminin maschio "
    "femmina erkek kadin e k мужской женский м ж 男 女 남 여".split()
)


def label_candidates(listing: Listing) -> dict[str, list[str]]:
    """The columns that may have labels, the likeliest first, with the word of each row.

    They have few words. Columns of paths, subjects, parts of a split, ids, dates, ages, sexes and measures are none,
    nor are those that annotation tools write for themselves.
    """
    flags = {name for names in listing.one_hot.values() for name in names}
    names = [*listing.one_hot, *(name for name in listing.columns if name not in flags)]
    columns = {name: [values[name.lower()] for _, values in listing.rows] for name in names if name}
    columns.pop(next((name for name in columns if name.lower() == listing.path_column), ""), None)
    if is_label_sheet(listing.columns):
        columns.pop(OF_SHEET, None)
    possible = [name for name, words in columns.items() if may_be_classes(name, words)]
    ranks = {name: _rank(name, columns[name], is_one_hot=name in listing.one_hot) for name in possible}
    return {name: columns[name] for name in sorted(possible, key=ranks.__getitem__)}


def unread_candidates(listing: Listing, column: str, reading: Reading) -> tuple[str, ...]:
    """Notes on columns that may be meant: for labels, in the place of ``column``, in lower case, which was chosen by
    its name; and for a split."""
    notes = []
    candidates = {name: words for name, words in label_candidates(listing).items() if name.lower() != column}
    if candidates and reading.label_column is None and column not in listing.one_hot:
        shown = "; ".join(
            f"{_shown(listing, name)}: {', '.join(counted(filter(None, words)))}" for name, words in candidates.items()
        )
        notes.append(f"columns that may have labels, too, and are not read: {shown}")
    splits = {name: [values[name.lower()] for _, values in listing.rows] for name in listing.columns if name}
    for name, words in splits.items():
        if (
            reading.split_column is None
            and name.lower() not in (column, listing.path_column)
            and may_be_split(name, words)
        ):
            notes.append(
                f"the column {name} may be a split, and is not read ({', '.join(counted(words))}); to keep it, write "
                f"train, validation or test in the place of each word, and give --split-column {shlex.quote(name)}"
            )
    return tuple(notes)


def no_label_column(listing: Listing, reading: Reading) -> LabelError:
    """The error for a CSV of images without a known column of labels: which columns may have them, and what to type."""
    candidates = label_candidates(listing)
    message = f"{listing.path}: expected a column of labels, such as label, found {', '.join(listing.columns)}"
    numbers = {word for words in candidates.values() for word in words if word.isdecimal()}
    said = names_for(listing.path, listing.columns, numbers).describe(numbers)
    if not candidates:
        way = _class_folders(listing)
        return LabelError(f"{message}; add one, or rename it in the header{way}")
    best = next(iter(candidates))
    candidates = {name: [word or NO_LABEL for word in words] for name, words in candidates.items()}
    ignored = [NO_LABEL] if NO_LABEL in candidates[best] else []
    words = [word for word in candidates[best] if word != NO_LABEL]
    lines = [f"{_shown(listing, name)}: {', '.join(counted(words))}" for name, words in candidates.items()]
    if best in listing.one_hot:
        message = f"{message}; these may have labels, the first as one-hot columns; give the classes of their names"
        return unknown_words(message, words, None, lines, ignored)
    option = f"--label-column {shlex.quote(best)}"
    if vocabulary_of(candidates[best], reading.classes) is not None:
        return LabelError(f"{message}; these may have labels, read one with {option}:\n{listed(lines)}")
    refuse_merged_cells(listing, best)
    given = None if reading.classes is None else Vocabulary.given(reading.classes)
    if given is not None and not any(word in given for each in candidates.values() for word in each):
        message += ", and --classes has none of their words"
    error = unknown_words(
        f"{message}; these may have labels, read one with {option} and the classes of its words{said}",
        words,
        reading.classes,
        lines,
        ignored,
        option=option,
    )
    return LabelError(str(error))


def _shown(listing: Listing, column: str) -> str:
    """The name of a column as written; of one-hot columns, all names."""
    return ", ".join(listing.one_hot.get(column, (column,)))


def _class_folders(listing: Listing) -> str:
    """What else may be done if the folders in all paths name classes; empty if they do not."""
    paths = [] if listing.path_column is None else listing.column(listing.path_column)
    if not paths or not all(any(name in NAMED for name in re.split(r"[/\\]", path)[:-1]) for path in paths):
        return ""
    return f"; the folders of its images name classes: to read these, give their folder instead, {listing.path.parent}"


def may_be_split(name: str, words: Sequence[str]) -> bool:
    """Whether a column may be a split that is not written as one, by its name or its words."""
    distinct = set(map(normal_form, set(words))) - {""}
    is_called_so = not _COHORTS.isdisjoint(re.split(r"[\W_]+", name.lower()))
    return (
        1 < len(distinct) <= MOST_WORDS
        and (is_called_so or distinct <= _SPLIT_WORDS)
        and not all(map(part_of, distinct))
    )


def may_be_classes(name: str, words: Sequence[str]) -> bool:
    """Whether a column may have labels, by its name and its words."""
    distinct = set(map(normal_form, set(words)))
    is_called_so = _LIKELY.search(plain(name)) is not None and len(distinct) < len(words)
    few = 2 <= len(distinct) <= MOST_WORDS and (
        len(distinct) <= len(words) // 2 or is_called_so or vocabulary_of(words, None) is not None
    )
    is_other = (
        name.lower() in SPLITS
        or is_of_program(name)
        or may_be_split(name, words)
        or looks_like_subjects(name)
        or not OTHERS.isdisjoint(re.split(r"[\W_]+", plain(name)))
    )
    values = distinct - {""}
    are_measured = all(map(_NUMBER.fullmatch, values)) and any(map(_FRACTION.fullmatch, values))
    return (
        not are_measured
        and few
        and not is_other
        and not all(map(part_of, values))
        and not all(map(is_id, values))
        and not set(map(plain, values)) <= _SEXES
    )


def _rank(name: str, words: Sequence[str], *, is_one_hot: bool) -> tuple[int, bool, bool, bool, bool, bool, bool]:
    """Least for the likeliest: with known words that are no numbers, agreed on by raters, in all rows, called so, with
    words that suggest a class, and with no numbers or subjects."""
    distinct = set(map(normal_form, set(words)))
    named = sum(word in NAMED for word in distinct)
    are_flags = distinct <= {"0", "1", "false", "true"}
    is_called_so = is_one_hot or _LIKELY.search(plain(name)) is not None
    has_hints = any(hinted_label(word) is not None for word in set(words))
    is_agreed = _AGREED.search(plain(name)) is not None
    return -named, not is_agreed, "" in distinct, not is_called_so, not has_hints, look_like_subjects(words), are_flags
