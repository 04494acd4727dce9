"""Subjects that ``--subject-pattern`` finds in several folders, such as equal patient numbers of two hospitals."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence

from leukemia.data.classes import Vocabulary, vocabularies
from leukemia.data.reading import Reading
from leukemia.data.split import part_of

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
    matches = [re.search(text, image_id) for image_id in image_ids]
    found = {
        image_id: (_folders(image_id[: match.start(1)], known), subject)
        for image_id, match, subject in zip(image_ids, matches, subjects, strict=True)
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
        f"{len(recurring)} of {len(places)} subjects are in several folders ({subject} in {example}), and each of them "
        f"is taken for one patient; if they are several, {advice}",
    )


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
        yield f"^{above}({below}{match['before']}{match['inside']}){match['after']}"
    yield f"^{above}({below}[^/]+)"


def _is_apart(pattern: str, found: dict[str, tuple[tuple[str, ...], str]]) -> bool:
    """Whether a pattern tells apart what is in different folders, and nothing else."""
    matches = {image_id: re.search(pattern, image_id) for image_id in found}
    if not all(matches.values()):
        return False
    pairs = {(match[1], place) for image_id, place in found.items() if (match := matches[image_id])}
    return len(pairs) == len({name for name, _ in pairs}) == len({place for _, place in pairs})
