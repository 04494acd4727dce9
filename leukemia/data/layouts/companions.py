"""Companions of images in folders: masks, thumbnails and other versions of a cell, which are no cells of their own."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import listed
from leukemia.base.printable import INDENT
from leukemia.data.classes import LabelError, Vocabulary, counted, mapping, normal_form
from leukemia.data.layouts.ignored_endings import ignored_ending, last_word
from leukemia.data.layouts.masks import mask_endings, mask_folders, mask_suffixes
from leukemia.data.layouts.named_masks import named_masks
from leukemia.data.layouts.reduced_copies import reduced_endings, reduced_folders
from leukemia.data.layouts.source import Source, is_image, walk
from leukemia.data.layouts.subclasses import words_of
from leukemia.data.reading import Reading

# ``7_mask``: a stem and the word; ``masks`` and ``cell_masks``: a folder.
_NAME = re.compile(
    r"(?:(?P<stem>.+)[_. -])?(?P<word>masks?|seg|segmented|segmentations?|labels?|annotations?|annotated|overlays?"
    r"|thumbs?|thumbnails?|previews?|gt|ground[_ -]?truth)",
    re.IGNORECASE,
)
_AUGMENTED = re.compile(r"(?:.+[_. -])?aug(?:mented|mentations?)?", re.IGNORECASE)
_SEGMENTED = re.compile("segmented", re.IGNORECASE)
# As a program for slides writes one beside each.
_OF_A_SLIDE = re.compile(r"thumb(?:s|nails?)?|previews?", re.IGNORECASE)
_SEPARATOR = re.compile(r"[_. -]")


@dataclass(frozen=True)
class _Image:
    """An image below the root of its source."""

    folders: tuple[str, ...]
    stem: str
    suffix: str

    @classmethod
    def of(cls, path: Path, root: Path) -> _Image:
        path = path.relative_to(root)
        return cls(path.parts[:-1], path.stem, path.suffix)

    def __str__(self) -> str:
        return "/".join([*self.folders, self.stem + self.suffix])


@dataclass(frozen=True, kw_only=True)
class Companion:
    """Why an image is no cell of its own."""

    kind: str
    """The folder, or the end of the name, that says so."""

    is_in_folder: bool
    """Whether ``kind`` is a folder."""

    is_seen: bool
    """Whether pixels say so, too."""


_Place = tuple[tuple[str, ...], str]
"""Folders and a stem, whatever the suffix."""


def refuse_companions(data: Path, source: Source, reading: Reading) -> None:
    """Refuse images in folders that are companions of others, by their names, or by their pixels masks or copies.

    ``7_mask.png`` is one of ``7.png`` in the same folder, and an image in a folder ``masks`` is one of the image with
    the same path in another folder instead, or without that folder. Folders of masks may have any name, and masks that
    are called so need no image of the same name. Rows of a CSV for one image each were chosen, and C-NMC has none.

    Args:
        source: the images, without those that ``--classes`` leaves out.

    Raises:
        LabelError: how many and which they are, and how to leave them out.
    """
    if not reading.reads_labels:
        return
    found = companions_in(source)
    if not found:
        return
    images = {path: _Image.of(path, source.root) for path in found}
    in_folders = [(images[path], each.kind) for path, each in found.items() if each.is_in_folder]
    by_name = [(images[path], each.kind) for path, each in found.items() if not each.is_in_folder]
    kinds = counted([*(f"{folder}/" for _, folder in in_folders), *(f"*{word.lower()}" for _, word in by_name)])
    advice = []
    words = words_of(source.rows) if reading.classes is None else reading.classes
    endings = {kind: _ending(image.stem, kind) for image, kind in by_name}
    if found_words := [*(folder for _, folder in in_folders), *dict.fromkeys(filter(None, endings.values()))]:
        what = "folders" if not any(endings.values()) else "files" if not in_folders else "folders and files"
        advice.append(f"to leave out these {what}: {mapping([], words, found_words)[0]}")
    if not all(endings.values()):
        advice.append("move the files away that are named so, or give a CSV Path,label of the cells")
    by_pixels = " and pixels" if any(each.is_seen for each in found.values()) else ""
    raise LabelError(
        f"{data}: {len(found)} of {len(source.rows)} images are masks, thumbnails or other versions of "
        f"images in the data, by their names{by_pixels}: {', '.join(kinds)}; leave them out, or rename them if they "
        f"are cells:\n"
        f"{listed(str(image) for image, _ in [*in_folders, *by_name])}\n"
        + "\n".join(f"{INDENT}{line}" for line in advice)
    )


def companions_in(source: Source) -> dict[Path, Companion]:
    """The companions among the images that a layout found by itself: those in folders, and those of rows of a CSV that
    stand for several images each."""
    in_folders = source.layout == "folders"
    rows = [row for row in source.rows if in_folders or row.is_found]
    classes = frozenset(row.word for row in rows if row.word is not None and in_folders)
    return companions_among(source.root, [row.path for row in rows], classes=classes) if rows else {}


def with_ignored(source: Source, reading: Reading) -> Source:
    """The images, where those that were found for rows of a CSV have the word of ``ignore=`` that a folder of theirs is
    called, or that their name ends with, in the place of the word and label of their row."""
    if reading.classes is None or not any(row.is_found for row in source.rows):
        return source
    ignored = Vocabulary.given(reading.classes).ignored - {normal_form(word) for word in source.words}
    rows = []
    for row in source.rows:
        folders = row.path.relative_to(source.root).parts[:-1] if row.is_found else ()
        word = next((name for name in folders if normal_form(name) in ignored), None)
        word = word or (ignored_ending(row.path, ignored) if row.is_found else None)
        rows.append(row if word is None else dataclasses.replace(row, label=None, word=word))
    return dataclasses.replace(source, rows=tuple(rows))


def companions_among(
    root: Path, paths: Sequence[Path], *, classes: frozenset[str] = frozenset()
) -> dict[Path, Companion]:
    """The companions among images below a folder.

    Args:
        classes: folders that the user, or the data, call a class: these are no kind of companion.
    """
    images = [_Image.of(path, root) for path in paths]
    places = {(image.folders, image.stem) for image in images}
    masks, suffixes = _seen_folders(root, paths), mask_suffixes(paths)
    endings = mask_endings(paths) | reduced_endings(paths)
    files = Counter(path.with_suffix("") for path in paths)
    companions = _companions_among(images, masks) - classes
    siblings = _sibling_places(images, companions)
    seen = masks | endings | suffixes
    found = {}
    for image, path in zip(images, paths, strict=True):
        if (folder := _companion_folder(image, places, siblings, companions)) is not None:
            found[path] = Companion(kind=folder, is_in_folder=True, is_seen=folder in seen)
        elif path.suffix in suffixes and files[path.with_suffix("")] > 1:
            found[path] = Companion(kind=path.suffix, is_in_folder=False, is_seen=True)
        elif (word := _companion_word(image, places, endings)) is not None:
            found[path] = Companion(kind=word, is_in_folder=False, is_seen=word in seen)
    for path, (kind, is_in_folder) in named_masks(root, paths, classes=classes).items():
        found.setdefault(path, Companion(kind=kind, is_in_folder=is_in_folder, is_seen=True))
    of_slides = {path: each for image, path in zip(images, paths, strict=True) if (each := _of_slide(image, classes))}
    return (of_slides if len(of_slides) < len(paths) else {}) | found


def _of_slide(image: _Image, classes: frozenset[str]) -> Companion | None:
    """An image that is called for the thumbnail of a slide, or in a folder that is; None if it is none."""
    if folder := next((name for name in image.folders if name not in classes and _OF_A_SLIDE.fullmatch(name)), None):
        return Companion(kind=folder, is_in_folder=True, is_seen=False)
    is_one = _OF_A_SLIDE.fullmatch(image.stem)
    return Companion(kind=image.stem, is_in_folder=False, is_seen=False) if is_one else None


def names_companions(folder: str) -> bool:
    """Whether a folder of this name may have companions, such as ``masks``."""
    return any(kind.fullmatch(folder) for kind in (_NAME, _AUGMENTED))


def companion_folders(data: Path) -> set[str]:
    """The names of folders below ``data`` that have companions of images elsewhere, whatever the classes are called."""
    paths = [path for path in walk(data) if is_image(path)]
    images = [_Image.of(path, data) for path in paths]
    companions = _companions_among(images, _seen_folders(data, paths))
    places, siblings = {(image.folders, image.stem) for image in images}, _sibling_places(images, companions)
    found = (_companion_folder(image, places, siblings, companions) for image in images)
    masks = {kind for kind, is_in_folder in named_masks(data, paths).values() if is_in_folder}
    return masks | {folder for folder in found if folder is not None}


def companion_words(data: Path) -> set[str]:
    """What leaves out companions below ``data`` after ``ignore=``: the names of their folders, and the last words of
    their own names."""
    paths = [path for path in walk(data) if is_image(path)]
    by_name = {path.stem: each.kind for path, each in companions_among(data, paths).items() if not each.is_in_folder}
    return companion_folders(data) | {word for stem, kind in by_name.items() if (word := _ending(stem, kind))}


def _ending(stem: str, kind: str) -> str | None:
    """The word that leaves out companions whose names have this end; None for one that is a suffix, or a number."""
    return last_word(stem) if stem.endswith(kind) else None


def note_twins(source: Source) -> tuple[str, ...]:
    """A note on images in folders that have the same name but for the extension, which may be copies of one cell."""
    if source.layout != "folders":
        return ()
    places = Counter(row.path.with_suffix("") for row in source.rows)
    number = sum(times for times in places.values() if times > 1)
    if not number:
        return ()
    return (
        f"warning: {number} images have the name of another one but for the extension (.bmp, .jpg); if these are "
        "copies of one cell, remove one of each, or both sides of a split have it",
    )


def _seen_folders(root: Path, paths: Sequence[Path]) -> set[str]:
    """The names of folders of masks and of reduced copies, by their pixels and sizes."""
    return mask_folders(root, paths) | reduced_folders(root, paths)


def _companions_among(images: Iterable[_Image], seen: set[str]) -> set[str]:
    """The names of folders that may have companions, because their pixels say so, or by their names.

    A folder ``Segmented`` may have cells without their background, as Taleqani's: it is none if its images have folders
    that no other images have, such as a class.
    """
    images = list(images)
    named = {name for name in {name for image in images for name in image.folders} if names_companions(name)}
    return seen | {name for name in named if not (_SEGMENTED.search(name) and _has_own_folders(name, images))}


def _has_own_folders(kind: str, images: Iterable[_Image]) -> bool:
    """Whether images in folders of this name have other folders that no image outside of them has."""
    inside: set[str] = set()
    outside: set[str] = set()
    for image in images:
        (inside if kind in image.folders else outside).update(image.folders)
    return not inside - {kind} <= outside


def _sibling_places(images: Iterable[_Image], companions: set[str]) -> Mapping[int, set[_Place]]:
    """By level, the places of images without their folder of that level, if that is no companion's."""
    found = defaultdict(set)
    for image in images:
        for level, name in enumerate(image.folders):
            if name not in companions:
                found[level].add((_without(image.folders, level), image.stem))
    return found


def _companion_folder(
    image: _Image, places: set[_Place], siblings: Mapping[int, set[_Place]], companions: set[str]
) -> str | None:
    """The folder that makes an image a companion; None if none does."""
    match = _NAME.fullmatch(image.stem)
    stems = {image.stem, match["stem"] or image.stem} if match else {image.stem}
    # ``7_rot90`` is made of ``7``.
    begins = {image.stem[: found.start()] for found in _SEPARATOR.finditer(image.stem)}
    for level, name in enumerate(image.folders):
        if name in companions:
            of = stems if _NAME.fullmatch(name) else stems | begins
            wanted = {(_without(image.folders, level), stem) for stem in of}
            if not wanted.isdisjoint(places) or not wanted.isdisjoint(siblings.get(level, ())):
                return name
    return None


def _companion_word(image: _Image, places: set[_Place], endings: set[str]) -> str | None:
    """The end of a name that makes an image a companion, such as ``_mask``; None if it is none."""
    match = _NAME.fullmatch(image.stem)
    ends = [image.stem[len(match["stem"] or "") :]] if match else []
    ends += sorted((end for end in endings if image.stem.endswith(end)), key=len)
    return next((end for end in ends if (image.folders, image.stem.removesuffix(end)) in places), None)


def _without(folders: tuple[str, ...], level: int) -> tuple[str, ...]:
    return folders[:level] + folders[level + 1 :]
