"""What to type for images whose classes no known word names: words of folders or files, tried before they are said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from leukemia.base.errors import UserError, first_line
from leukemia.base.printable import INDENT
from leukemia.data.classes import CLASSES, PLACE, LabelError, OtherWords, counted, joined, mapping, unknown_words
from leukemia.data.layouts.class_names import class_names
from leukemia.data.layouts.file_words import OF_FOLDERS
from leukemia.data.layouts.folder_levels import Level, folder_levels
from leukemia.data.layouts.proposals import Proposal, Read, proposals
from leukemia.data.subjects import some

MOST_TRIED = 6
"""So many sets of words are tried."""


# The last sentence of a line, before a list.
_LIST = re.compile(r"\. [A-Z][^.]*:$")


class Unmapped(LabelError):
    """Images whose classes no known word, or none of ``--classes``, names; ``advised`` says what to type."""

    correct = ""
    """What else may be done, with a comma before it."""


class UnmappedWords(Unmapped, OtherWords):
    """As ``Unmapped``, where ``--classes`` was given."""


def unmapped(message: str, classes: Sequence[str] | None, correct: str = "") -> Unmapped:
    """The error before it is known what to type.

    Args:
        message: one line without a colon at its end.
        classes: what was given.
        correct: what else may be done, with a comma before it.
    """
    error = Unmapped(message) if classes is None else UnmappedWords(message)
    error.correct = correct
    return error


def advised(error: Unmapped, data: Path, read: Read) -> LabelError:
    """The error with what to type: the first words with which the data can be read.

    Args:
        error: of reading ``data``.
        data: a folder.
        read: reads it.

    Returns:
        ``OtherWords`` if ``error`` is one.
    """
    levels = folder_levels(data)
    found = proposals(data, levels)
    hindered: tuple[Proposal, str] | None = None
    for each in found[:MOST_TRIED]:
        problem = each.problem(read)
        if problem is None:
            message = _proposing(error, each, found, data, levels)
            text = str(unknown_words(message, each.words, None, ignored=each.ignored))
            break
        if problem and hindered is None:
            hindered = each, problem
    else:
        none = f"{error}{_look(levels, str(error))}, so no folder names a class; {_way_by_csv(levels)}"
        text = none if hindered is None else _hindered(*hindered)
    return OtherWords(text) if isinstance(error, OtherWords) else LabelError(text)


def tried(error: LabelError, read: Read) -> LabelError:
    """The error without an example of ``--classes`` that is refused itself for its words; of one that is refused for
    another reason, with the reason."""
    if error.example is None:
        return error
    try:
        read(error.example)
    except LabelError as problem:
        text, _, _ = str(error).rpartition("\n")
        reason = _LIST.sub("", first_line(problem)).removesuffix(":")
        way = f"write each word after its class, or after ignore=, in --classes ({reason})"
    except UserError as problem:
        text, way = str(error), f"after that, this remains: {problem}".replace("\n", f"\n{INDENT}")
    else:
        return error
    return type(error)(f"{text}\n{INDENT}{way}")


def _proposing(
    error: Unmapped, chosen: Proposal, found: Sequence[Proposal], data: Path, levels: Sequence[Level]
) -> str:
    """The error, and where the words that are proposed are, and others that may be meant."""
    # Folders whose names have the words are mapped by these.
    whole = [each.words for each in found if each.are_folders and not _has_words(each, chosen)]
    folders = _others(whole, chosen)
    files = _others([each.words for each in found if not each.are_folders], chosen)
    named = class_names(data)
    if chosen.are_folders:
        places = dict.fromkeys(each.words_of for each in found if not each.are_folders)
        in_files = f", or words in {' or '.join(places)}{files}" if files else ""
        way = f"map them, or folders of another level{folders}{in_files}, with --classes{error.correct}"
        return f"{error}; {way}{named.describe(chosen.words)}"
    look = "" if folders else f"{_look(levels, str(error))}, so no folder names a class"
    elsewhere = f", as have those at other places{files}" if files else ""
    elsewhere += f", and folders{folders}" if folders else ""
    words = f"{chosen.words_of} have words that may be classes{elsewhere}"
    return f"{error}{look}{named.describe(named.names)}; {words}"


def _has_words(whole: Proposal, chosen: Proposal) -> bool:
    """Whether each name of folders has one of the words chosen of such names."""
    return chosen.words_of == OF_FOLDERS and all(any(form in name for form in chosen.forms) for name in whole.forms)


def _hindered(proposal: Proposal, problem: str) -> str:
    """What must be done before the words of a proposal can be mapped, and how to map them."""
    typed, unclear = mapping(proposal.words, None, proposal.ignored)
    each = f"write each of {joined(unclear)} after its class" if unclear else "for example"
    return f"{problem}\n{INDENT}and map the words to classes; {each}: {typed}"


def _others(found: Sequence[Sequence[str]], chosen: Proposal) -> str:
    """The words that are not among the chosen ones, in brackets."""
    others = ([word for word in words if word not in chosen.words] for words in found)
    return "".join(dict.fromkeys(f" ({some(counted(words))})" for words in others if len(set(words)) > 1))


def _look(levels: Sequence[Level], message: str) -> str:
    """What folders look like, if all that is known of them is that they are no classes; after a message."""
    if not levels or any(level.may_be_classes for level in levels):
        return ""
    kind = "views" if levels[0].are_views else "subjects, dates or numbers"
    which = " that" if message.endswith(("folders", "names")) else "; the folders"
    return f"{which} look like {kind} ({some(counted(levels[0].names))})"


def _way_by_csv(levels: Sequence[Level]) -> str:
    """What to do if no words can be mapped. It has lines of its own, so it is the end of a message."""
    pattern = ""
    if levels:
        number = len(set(levels[0].names))
        option = f"--subject-pattern '([^/]+){'/[^/]+' * levels[0].from_file}$'"
        pattern = f"; if the {number} folders are patients, and no batches or dates, add {option}"
    after_all = f"\n{INDENT}if the folders are classes after all: --classes " + " ".join(
        f"{name}={PLACE}" for name in CLASSES
    )
    way = f"write a CSV Path,label with a line for each image, and give its path instead of the folder{pattern}"
    return way + (after_all if levels else "")
