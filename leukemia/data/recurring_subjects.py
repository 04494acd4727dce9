"""Subjects found in several folders, or in several CSVs, such as equal patient numbers of two hospitals."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from leukemia.base.quantity import are
from leukemia.data.classes import Vocabulary, vocabularies
from leukemia.data.names import composed
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.subjects import UNKNOWN, NotApplicable, Subjects, some
from leukemia.data.unpacked import outer_folders, without

SITE = "site"
"""The value of ``--subject-scope`` that keeps equal subjects of several sites apart."""

_GROUP = re.compile(r"\^?(?P<before>[^()\\]*)\((?P<inside>[^()]*)\)(?P<after>.*)")


def recurring_subjects(image_ids: Sequence[str], subjects: Sequence[str] | None, reading: Reading) -> tuple[str, ...]:
    """A note on subjects with images in several folders above their name, apart from classes and the parts of a split.

    Each is one subject, since that never leaks; the note says what to type if they are several persons.

    Args:
        image_ids: one per image.
        subjects: what was read, one per image; None if there are none.
        reading: the user's options.
    """
    text = reading.subject_pattern
    if not text or reading.subject_column is not None or subjects is None:
        return ()
    known = vocabularies(reading.classes)
    image_ids = list(map(composed, image_ids))
    matches = [re.search(composed(text), image_id) for image_id in image_ids]
    found = {
        image_id: (_folders(without(image_id[: match.start(1)], outer), known), subject)
        for image_id, match, subject, outer in zip(image_ids, matches, subjects, outer_folders(image_ids), strict=True)
        if match
    }
    places = defaultdict(set)
    for folders, subject in found.values():
        places[subject].add(folders)
    recurring = {subject: sorted(each) for subject, each in places.items() if len(each) > 1}
    if not recurring:
        return ()
    pattern = next((each for each in _patterns(text, list(recurring.values())) if _is_apart(each, found)), None)
    advice = "write a pattern whose group has the folder, or give a CSV with a column of subjects"
    if pattern is not None:
        advice = f"--subject-pattern {shlex.quote(pattern)} keeps them apart"
    subject, each = min(recurring.items())
    example = " and ".join(f"{'/'.join(filter(None, folders)) or '.'}/" for folders in each[:2])
    return (
        f"{len(recurring)} of {len(places)} subjects {are(len(recurring))} in several folders ({subject} "
        f"in {example}), and each of them "
        f"is taken for one patient; if they are several, {advice}",
    )


def subjects_of_tables(
    tables: Sequence[Path | None], subjects: Sequence[str] | None, reading: Reading
) -> tuple[str, ...]:
    """As ``recurring_subjects``, for those in the column of several CSVs: each site may number its patients from 1.

    Args:
        tables: the CSV of each image, None if it is in none. Those of parts of a split, of classes and of folds are of
            the same patients.
        subjects: what was read, one per image; None if there are none.
        reading: the user's options.
    """
    if subjects is None or reading.subject_scope == SITE:
        return ()
    owners, names = _owners(tables, reading)
    places: dict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
    for table, subject in zip(tables, subjects, strict=True):
        if table is not None and subject != UNKNOWN:
            places[subject].setdefault(owners[table], names[table])
    recurring = {subject: sorted(each.values()) for subject, each in places.items() if len(each) > 1}
    if not recurring:
        return ()
    subject, each = min(recurring.items())
    return (
        f"{len(recurring)} of {len(places)} subjects {are(len(recurring))} in several CSVs ({subject} in "
        f"{' and '.join(each[:2])}), and "
        f"each of them is taken for one patient; if they are several, --subject-scope {SITE} keeps them apart",
    )


def of_sites(subjects: Subjects, tables: Sequence[Path | None], reading: Reading) -> Subjects:
    """The subjects with the site of their CSV before each, if ``--subject-scope`` keeps sites apart.

    Args:
        tables: as for ``subjects_of_tables``.

    Raises:
        NotApplicable: the subjects are not in CSVs of several sites.
    """
    if reading.subject_scope != SITE:
        return subjects
    owners, names = _owners(tables, reading)
    if subjects.names is None or None in tables or len(set(owners.values())) < 2:
        found = "no subjects" if subjects.names is None else some(sorted(names.values())) or "no CSV"
        raise NotApplicable(
            f"--subject-scope {SITE}: expected subjects in CSVs of several sites, such as a/cells.csv and b/cells.csv, "
            f"found {found}; leave it out, or give the CSVs of all sites, and --subject-column"
        )
    sites = {table: "/".join(filter(None, folders)) for table, folders in owners.items()}
    named = tuple(
        name if name == UNKNOWN or table is None or not sites[table] else f"{sites[table]}/{name}"
        for name, table in zip(subjects.names, tables, strict=True)
    )
    return dataclasses.replace(subjects, names=named)


def _owners(tables: Sequence[Path | None], reading: Reading) -> tuple[dict[Path, tuple[str, ...]], dict[Path, str]]:
    """The site of each CSV, as the names of its folders and its own but those of classes and parts of a split; and its
    path below the folder of all."""
    every = sorted({table for table in tables if table is not None})
    if not every:
        return {}, {}
    known = vocabularies(reading.classes)
    top = Path(os.path.commonpath([table.parent for table in every]))
    names = {table: table.relative_to(top) for table in every}
    owners = {table: _folders(f"{name.with_suffix('').as_posix()}/", known) for table, name in names.items()}
    return owners, {table: name.as_posix() for table, name in names.items()}


def _folders(text: str, known: Sequence[Vocabulary]) -> tuple[str, ...]:
    """The folders in the beginning of a path; classes are all the same, since a patient may have images of both."""
    names = text.split("/")[:-1]
    return tuple("" if part_of(name) or any(name in words for words in known) else name for name in names)


def _patterns(text: str, places: Sequence[Sequence[tuple[str, ...]]]) -> Iterator[str]:
    """Patterns whose group begins with the outermost folder that differs."""
    depths = {len(folders) for each in places for folders in each}
    if len(depths) > 1:
        return
    (depth,) = depths
    first = min(level for each in places for level in range(depth) if len({folders[level] for folders in each}) > 1)
    above, below = "[^/]+/" * first, "[^/]+/" * (depth - first)
    if match := _GROUP.fullmatch(text):
        group = f"({below}{match['before']}{match['inside']}){match['after']}"
        # The latter for paths that have more folders above.
        yield from (f"^{above}{group}", group)
    yield f"^{above}({below}[^/]+)"


def _is_apart(pattern: str, found: dict[str, tuple[tuple[str, ...], str]]) -> bool:
    """Whether a pattern tells apart what is in different folders, and nothing else."""
    matches = {image_id: re.search(pattern, image_id) for image_id in found}
    if not all(matches.values()):
        return False
    pairs = {(match[1], place) for image_id, place in found.items() if (match := matches[image_id])}
    return len(pairs) == len({name for name, _ in pairs}) == len({place for _, place in pairs})
