"""The two classes: which words of a data set, in folder names or as labels, stand for which of them."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from leukemia.base.errors import UserError, listed
from leukemia.base.printable import INDENT
from leukemia.data.subjects import key

CLASSES = ("normal", "leukemic")
"""The classes by label, as ``--classes`` names them."""

IGNORE = "ignore"
"""What ``--classes`` calls the words whose images are left out."""

_PAIRS = (
    ("hem", "all"),
    ("normal", "leukemic"),
    ("healthy", "cancer"),
    ("benign", "malignant"),
    ("0", "1"),
    ("false", "true"),
)
_SYNONYMS = {"leukemia": 1, "leukaemia": 1, "leukaemic": 1}

# Some spreadsheets write a decimal comma.
_DECIMAL_COMMA = re.compile(r"(?<=[0-9]),(?=0+$)")


NO_LABEL = "no-label"
"""The word for an empty label, which may be left out with ``ignore=``."""

MOST_WORDS = 20
"""An example has at most as many words of the data."""

PLACE = "WORD,..."
"""Stands for words that the user must write."""

_NUMBER = re.compile(r"-?\d+")
# Words for images that have no class, or show no cell.
_NO_CLASS = re.compile(
    r"-\d+|un-?(?:label+ed|known|defined|classified|sorted|certain|usable)|ignored?|empty|blank|debris|backgrounds?"
    r"|overviews?|art[ei]fa[ck]?t+[eios]*|hintergrund|leer|ubersicht|übersicht|fondo|fundo|unbrauchbar"
)


class LabelError(UserError):
    """A refusal about labels or classes, which ends with what always remains to be done (``layouts.last_resort``)."""

    example: tuple[str, ...] | None = None
    """The value of ``--classes`` that the last line of the message proposes, if it has words for both classes."""


class OtherWords(LabelError):
    """Data that have none of the words of ``--classes``."""


# A data set has few words and many images.
@lru_cache(maxsize=1024)
def normal_form(word: str) -> str:
    """What spellings of one word share: case, blanks, Unicode form, and ``1.0`` for ``1``.

    >>> normal_form(" Pre-B"), normal_form("1.0"), normal_form("0,0")
    ('pre-b', '1', '0')
    """
    return key(_DECIMAL_COMMA.sub(".", word.strip()))


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words in their normal form, and the class that each stands for."""

    labels: Mapping[str, int]
    """0 normal, 1 leukemic, by word."""

    ignored: frozenset[str] = frozenset()
    """Words whose images are left out."""

    @classmethod
    def given(cls, items: Sequence[str]) -> Vocabulary:
        """Parse the values of ``--classes``, such as ``leukemic=Early,Pre``.

        Raises:
            UserError: another form, a class that is missing or given twice, or a word that occurs twice.
        """
        words: dict[str, list[str]] = {}
        for item in items:
            name, _, text = item.partition("=")
            found = _split(text)
            if name not in (*CLASSES, IGNORE) or not found or not all(found):
                raise UserError(
                    f"--classes: expected normal=WORD,... leukemic=WORD,... and perhaps ignore=WORD,..., got {item!r}; "
                    "write other arguments before --classes"
                )
            if name in words:
                raise UserError(f"--classes: {name} is given twice; write its words as one item, with commas")
            words[name] = list(map(normal_form, found))
        if missing := [name for name in CLASSES if name not in words]:
            raise UserError(f"--classes: expected words for both classes; add {missing[0]}=WORD,...")
        counts = Counter(word for each in words.values() for word in each)
        if twice := [word for word, number in counts.items() if number > 1]:
            raise UserError(f"--classes: {', '.join(map(repr, twice))} occurs twice; a word stands for one class")
        labels = {word: label for label, name in enumerate(CLASSES) for word in words[name]}
        return cls(labels=labels, ignored=frozenset(words.get(IGNORE, [])))

    def __contains__(self, word: str) -> bool:
        form = normal_form(word)
        return form in self.labels or form in self.ignored

    def label(self, word: str) -> int | None:
        """The label of a word; None if it is ignored or unknown."""
        return self.labels.get(normal_form(word))

    def ignores(self, word: str) -> bool:
        """Whether images with this word are left out."""
        return normal_form(word) in self.ignored


KNOWN = Vocabulary(labels={word: label for pair in _PAIRS for label, word in enumerate(pair)} | _SYNONYMS)
"""Words that need no ``--classes``."""

NAMED = Vocabulary(labels={word: label for word, label in KNOWN.labels.items() if word not in {"0", "1"}})
"""``KNOWN`` without numbers, which in the name of a folder may as well count batches, folds or patients."""

_STAGES = ("early", "pre", "pro", "early pre-b", "pre-b", "pro-b")
_MALIGNANT = ("{}", "[malignant] {}", "malignant {}", "all_{}")

TALEQANI = Vocabulary(
    labels={"benign": 0, "all_benign": 0} | {form.format(stage): 1 for form in _MALIGNANT for stage in _STAGES}
)
"""Names in the data set of Taleqani Hospital (doi:10.34740/KAGGLE/DSV/2175623) and its copies. By themselves such words
are no classes (``pre`` may be a time), so they are known only where all words are of this vocabulary."""


def vocabularies(classes: Sequence[str] | None) -> tuple[Vocabulary, ...]:
    """The vocabularies that may apply: that of ``--classes``, else the known ones."""
    return (KNOWN, TALEQANI) if classes is None else (Vocabulary.given(classes),)


def vocabulary_of(words: Sequence[str], classes: Sequence[str] | None) -> Vocabulary | None:
    """The first of the ``vocabularies`` that has all words; None if none has."""
    distinct = set(words)
    return next((each for each in vocabularies(classes) if all(word in each for word in distinct)), None)


def known_labels(words: Sequence[str], classes: Sequence[str] | None) -> list[tuple[str, int | None]]:
    """Each word, and its label if it is known: 0 normal, 1 leukemic. Beside other numbers, 0 and 1 are unknown.

    >>> known_labels(["hem", "odd", "1"], None), known_labels(["0", "2"], None)
    ([('hem', 0), ('odd', None), ('1', 1)], [('0', None), ('2', None)])
    """
    vocabulary = vocabularies(classes)[0]
    if classes is None and any(word not in KNOWN and _NUMBER.fullmatch(normal_form(word)) for word in set(words)):
        vocabulary = NAMED
    return [(word, vocabulary.label(word)) for word in words]


def unknown_words(
    message: str,
    words: Sequence[str],
    classes: Sequence[str] | None,
    lines: Iterable[str] | None = None,
    ignored: Iterable[str] = (),
    option: str = "",
) -> LabelError:
    """The error for data with unknown words: the message, the words, and an example of ``--classes``.

    Args:
        message: one line without a colon at its end.
        words: those of all images, known or not.
        classes: what was given.
        lines: what to list instead of the words.
        ignored: other words of the data, whose images are to be left out.
        option: to type before ``--classes``.

    Returns:
        ``OtherWords`` if ``--classes`` was given and has none of the words.
    """
    is_other = classes is not None and not any(word in Vocabulary.given(classes) for word in set(words))
    shown = listed(counted(words) if lines is None else lines)
    typed, unclear = mapping(words, None if is_other else classes, ignored, are_all=True)
    more = f" and {len(unclear) - MOST_WORDS} more" if len(unclear) > MOST_WORDS else ""
    each = f"{joined(unclear[:MOST_WORDS])}{more}"
    known = KNOWN if classes is None else Vocabulary.given(classes)
    left_out = [word for word, _ in counts(words) if word not in known][:MOST_WORDS]
    if unclear:
        advice = f"write each of {each} after its class, or after ignore= to leave it out"
    elif left_out:
        advice = f"write each of {joined(left_out)} after its class, or leave its images out, for example"
    else:
        advice = "for example"
    text = f"{message}:\n{shown}\n{INDENT}{advice}: {f'{option} {typed}'.strip()}"
    error = OtherWords(text) if is_other else LabelError(text)
    error.example = None if unclear or option else tuple(shlex.split(typed)[1:])
    return error


def counted(words: Iterable[str]) -> list[str]:
    """Each word, in its commonest spelling, with its number of images, sorted.

    >>> counted(["pro", "Early", "early", "Early"])
    ['Early (3)', 'pro (1)']
    """
    return [f"{word} ({number})" for word, number in counts(words)]


def counts(words: Iterable[str]) -> list[tuple[str, int]]:
    """As ``counted``, as pairs."""
    spellings: dict[str, list[tuple[str, int]]] = {}
    for word, number in Counter(words).most_common():
        spellings.setdefault(normal_form(word), []).append((word, number))
    return sorted((each[0][0], sum(number for _, number in each)) for each in spellings.values())


def mapping(
    words: Iterable[str], classes: Sequence[str] | None, ignored: Iterable[str] = (), *, are_all: bool = False
) -> tuple[str, list[str]]:
    """``--classes`` to type, from the words of the data, and the words whose class the user must say.

    Known words, or those of ``classes``, have their class. Nobody guesses that of the others, however few images they
    have: the user must write them instead of ``WORD``. If both classes have words, those that are known to be no
    class, such as ``debris``, are ignored. Those of ``ignored`` are ignored anyway.
    With ``are_all``, ``words`` are those of all images, so that words of ``classes`` beside them are typing errors.

    >>> mapping(["hem", "all", "debris"], None), mapping(["Benign", "A", "B"], None)
    (('--classes normal=hem leukemic=all ignore=debris', []), ('--classes normal=Benign leukemic=WORD,...', ['A', 'B']))
    >>> mapping(["0", "-1"], ["normal=0", "leukemic=1"])
    ('--classes normal=0 leukemic=1 ignore=-1', [])
    >>> mapping(["hem", "all", "LAL", "temoin"], None)
    ('--classes normal=hem,WORD,... leukemic=all,WORD,...', ['LAL', 'temoin'])
    >>> mapping(["Benign", "Blast"], ["normal=Benign", "leukemic=Blst"], are_all=True)
    ('--classes normal=Benign leukemic=WORD,...', ['Blast'])
    """
    found = [word for word, _ in counts(words)]
    forms = set(map(normal_form, found))
    parts: dict[str, list[str]] = {name: [] for name in (*CLASSES, IGNORE)}
    if classes is not None:
        for name, _, text in (item.partition("=") for item in classes):
            parts[name] = [word for word in _split(text) if not are_all or normal_form(word) in forms]
        vocabulary = Vocabulary.given(classes)
    else:
        # 1 and 2 may as well be the first class and the second.
        is_numbered = any(word not in KNOWN and _NUMBER.fullmatch(normal_form(word)) for word in found)
        vocabulary = Vocabulary(labels={}) if is_numbered else KNOWN
        for word in found:
            if (label := vocabulary.label(word)) is not None:
                parts[CLASSES[label]].append(word)
    parts[IGNORE] += [word for word, _ in counts(ignored) if not vocabulary.ignores(word)]
    unknown = [word for word in found if word not in vocabulary]
    classless = [word for word in unknown if _is_no_class(word, forms)]
    if has_both := all(parts[name] for name in CLASSES):
        parts[IGNORE] += classless[:MOST_WORDS]
        unknown = [word for word in unknown if word not in classless]
    place = f",{PLACE}" if has_both and unknown else ""
    items = [f"{name}={joined(parts[name][:MOST_WORDS]) + place if parts[name] else PLACE}" for name in CLASSES]
    items += [f"{IGNORE}={joined(parts[IGNORE])}"] if parts[IGNORE] else []
    is_cut = has_both and len(classless) > MOST_WORDS
    more = f" (and {len(classless) - MOST_WORDS} more words)" if is_cut else ""
    typed = " ".join(map(shlex.quote, items))
    return f"--classes {typed}{more}", unknown


def _is_no_class(word: str, forms: Collection[str]) -> bool:
    """Whether images with a word are known to have no class: of none, or of two of the data, as ``hem+all``.

    Args:
        forms: the words of the data in their normal form.
    """
    form = normal_form(word)
    of_two = "+" in form and all(part in forms for part in map(normal_form, form.split("+")))
    return of_two or _NO_CLASS.fullmatch(form) is not None


def _split(text: str) -> list[str]:
    """Words with commas between them; one that has a comma itself is in quotation marks, as in a CSV."""
    try:
        return [word.strip() for values in csv.reader([text]) for word in values]
    except csv.Error:
        # A line break.
        return []


def joined(words: Sequence[str]) -> str:
    """Words as one value of ``--classes``."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(words)
    return text.getvalue()
