"""Images in folders named by class, and folders of images without labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError, listed
from leukemia.data.classes import (
    CLASSES,
    KNOWN,
    NAMED,
    TALEQANI,
    LabelError,
    Vocabulary,
    counted,
    normal_form,
    unknown_words,
    vocabularies,
)
from leukemia.data.layouts.beside import are_few, folders_above, num_common
from leukemia.data.layouts.class_names import class_names
from leukemia.data.layouts.companions import companion_words
from leukemia.data.layouts.file_words import has_file_words
from leukemia.data.layouts.folder_advice import unmapped
from leukemia.data.layouts.folder_levels import is_centre, look_like_subjects
from leukemia.data.layouts.ignored_endings import ignored_ending, ignored_endings
from leukemia.data.layouts.source import (
    Row,
    Source,
    direct_images,
    ignored_files,
    is_image,
    subfolders,
    walk,
    walk_folders,
)
from leukemia.data.reading import Reading
from leukemia.data.split import part_of
from leukemia.data.subjects import some

NAMES = ", ".join(KNOWN.labels)
"""Names of class folders, ignoring case."""


@dataclass(frozen=True, kw_only=True)
class _Image:
    """An image below a folder."""

    path: Path
    folders: tuple[str, ...]
    """Between the folder and the file, outermost first."""

    level: int | None
    """Which of them is the class folder; None: none."""

    @property
    def word(self) -> str:
        """The name of the class folder, which there must be."""
        assert self.level is not None
        return self.folders[self.level]


def class_folders(data: Path, reading: Reading) -> Source | None:
    """The images below folders named by class, at any depth; None if there is no such folder.

    The class folder of an image is the outermost one in its path whose name is a word of ``--classes`` or, without that
    option, of ``leukemia.data.classes``; a folder that contains all images is none, if there are such folders inside. A
    few images beside class folders, in a folder that contains these, are left out.

    Raises:
        OtherWords: no folder has a name of ``--classes``.
        UserError: other images outside these folders, or images in a folder named for the other class within one.
    """
    vocabulary, images = _in_class_folders(data, reading)
    found = [image for image in images if image.level is not None]
    has_class = any(vocabulary.label(image.word) is not None for image in found)
    if not has_class and has_file_words(data, reading):
        return None
    # Folders of masks only, of what is left out, do not stand for classes that a table has.
    has_masks_only = not has_class and reading.classes is not None and len(found) < len(images)
    if not found or has_masks_only:
        if reading.classes is not None and any(image.folders for image in images):
            raise unmapped(f"{data}: no folder has a word of --classes", reading.classes)
        if not any(folder.name in vocabulary for folder in subfolders(data)):
            return None
    if reading.is_partial:
        # A folder 1 beside folders with names may be the first of something else.
        sure = NAMED if vocabulary is KNOWN and len(found) < len(images) else vocabulary
        rows = tuple(_as_far_as_known(image, sure) for image in images)
        return Source(layout="folders", root=data, rows=rows, notes=ignored_files([data]))
    beside = _beside(data, images, reading)
    _check_nested(data, found, vocabulary)
    if vocabulary is TALEQANI:
        _check_versions(data, found)
    endings = ignored_endings(vocabulary, (name for image in images for name in image.folders))
    words = [ignored_ending(image.path, endings) or image.word for image in found]
    rows = tuple(
        Row(path=image.path, label=vocabulary.label(word), word=word) for image, word in zip(found, words, strict=True)
    )
    return Source(layout="folders", root=data, rows=rows, beside=tuple(beside), notes=ignored_files([data]))


def _as_far_as_known(image: _Image, vocabulary: Vocabulary) -> Row:
    """An image with its label, if its folders do not name both classes."""
    named = {label for name in image.folders if (label := vocabulary.label(name)) is not None}
    if image.level is None or len(named) > 1:
        return Row(path=image.path, label=None)
    return Row(path=image.path, label=vocabulary.label(image.word), word=image.word)


def flat_folder(data: Path, reading: Reading) -> Source | None:
    """Unlabelled images directly in ``data``; None if there are none. A note counts images in folders below."""
    rows = tuple(Row(path=path, label=None) for path in direct_images(data))
    if not rows:
        return None
    below = sum(map(is_image, walk(data))) - len(rows)
    note = (f"{below} images in folders below are not read; give the path of their folder to read those",)
    return Source(layout="folders", root=data, rows=rows, notes=(*(note if below else ()), *ignored_files([data])))


def unlabelled_folder(data: Path, reading: Reading) -> Source | None:
    """The images anywhere below ``data``, without labels; None if there are none."""
    rows = tuple(Row(path=path, label=None) for path in walk(data) if is_image(path))
    return Source(layout="folders", root=data, rows=rows, notes=ignored_files([data])) if rows else None


def _in_class_folders(data: Path, reading: Reading) -> tuple[Vocabulary, list[_Image]]:
    """All images, with their class folders by the first vocabulary that knows one for each, else by the first."""
    places = [
        (base.relative_to(data).parts, [path for path in map(base.joinpath, names) if is_image(path)])
        for base, names in walk_folders(data)
    ]
    located = []
    first = num_common([folders for folders, paths in places if paths])
    for vocabulary in vocabularies(reading.classes) if reading.classes else (NAMED, KNOWN, TALEQANI):
        inner = any(
            vocabulary.label(name) is not None for folders, paths in places if paths for name in folders[first:]
        )
        images = [
            _Image(path=path, folders=folders, level=level)
            for folders, paths in places
            for level in [_level(folders, vocabulary, first if inner else 0)]
            for path in paths
        ]
        if all(image.level is not None for image in images):
            if vocabulary is KNOWN:
                _check_numbers(data, images)
            return vocabulary, images
        located.append((vocabulary, images))
    # Numbers are no classes beside words that are.
    return next((each for each in located if any(image.level is not None for image in each[1])), located[0])


def _check_numbers(data: Path, images: Sequence[_Image]) -> None:
    """Refuse folders ``0`` and ``1`` that may be batches, since other folders recur in both or with both."""
    above: set[tuple[str, ...]] = set()
    below: dict[str, set[str]] = defaultdict(set)
    for image in images:
        assert image.level is not None
        above.add(tuple(name for name in image.folders[: image.level] if not part_of(name)))
        below[normal_form(image.word)].update(image.folders[image.level + 1 :][:1])
    recurring = {name for name in set.intersection(*below.values()) if not part_of(name)}
    others = sorted({name for folders in above for name in folders} if len(above) > 1 else recurring)
    if len(below) > 1 and others:
        raise LabelError(
            f"{data}: the folders 0 and 1 may be classes, or batches with the folders {some(others)}; say which: "
            "--classes normal=0 leukemic=1, or --classes with the words of the other folders"
        )


def _level(folders: tuple[str, ...], vocabulary: Vocabulary, first: int) -> int | None:
    """Which of the folders, from a first one, is the class folder, or one whose images are left out."""
    levels = [level for level, name in enumerate(folders) if level >= first and name in vocabulary]
    return next((level for level in levels if vocabulary.ignores(folders[level])), levels[0] if levels else None)


def _beside(data: Path, images: Sequence[_Image], reading: Reading) -> list[Path]:
    """The images beside class folders, if they are few and all others are in class folders.

    Raises:
        UserError: they are not, and what to do.
    """
    outside = [image for image in images if image.level is None]
    above = folders_above(image.folders[: image.level + 1] for image in images if image.level is not None)
    beside = [image.path for image in outside if image.folders in above]
    if len(beside) == len(outside) and are_few(len(beside), len(images)):
        return beside
    # Outermost folders that have no class folders inside, wherever they are: these can be ignored.
    containing = {name for folders in above for name in folders}
    level = _inner_level(images, containing)
    found = [
        (image, next((name for name in image.folders[level:] if name not in containing), None)) for image in outside
    ]
    names = [name for _, name in found if name is not None]
    stray = [image.path.relative_to(data).as_posix() for image, name in found if name is None]
    message = (
        f"{data}: images must be in folders named by class "
        f"({NAMES if reading.classes is None else ' '.join(reading.classes)}); rename, move or remove "
        f"{'these files' if stray else 'these'}"
    )
    if not names:
        raise LabelError(f"{message}:\n{listed(stray)}")
    words = [image.word for image in images if image.level is not None]
    lines = [*counted(f"{name}/" for name in names), *stray]
    if reading.classes is None and look_like_subjects([*words, *names]):
        # 0 or 1 is one of their numbers.
        raise unmapped(f"{data}: images in folders with names", None)
    if look_like_subjects(names):
        raise LabelError(f"{message}:\n{listed(lines)}")
    # No option leaves out files.
    message += ", or map the folders with --classes" if not stray else ", and map the folders with --classes"
    companions = companion_words(data) - set(words)
    words += [name for name in names if name not in companions]
    message += class_names(data, words).describe(words)
    raise unknown_words(message, words, reading.classes, lines, companions)


def _inner_level(images: Sequence[_Image], containing: set[str]) -> int:
    """The level of all class folders if other images are in folders of that level, too, below folders of hospitals or
    patients; else 0."""
    levels = {image.level for image in images if image.level is not None}
    level = levels.pop() if len(levels) == 1 else 0
    if not level or any(len(image.folders) <= level for image in images):
        return 0
    above = [{name for image in images if not part_of(name := image.folders[each])} for each in range(level)]
    are_others = all(all(map(is_centre, names)) or look_like_subjects(names) for names in above if names - containing)
    return level if are_others else 0


def _check_nested(data: Path, images: Iterable[_Image], vocabulary: Vocabulary) -> None:
    """Reject images in ``1/hem/``: either folder may be the class, and the other a fold or a patient."""
    for image in images:
        assert image.level is not None
        label, inner = vocabulary.label(image.word), image.folders[image.level + 1 :]
        if label is None:
            continue
        other = next((name for name in inner if vocabulary.label(name) == 1 - label), None)
        if other is not None:
            folder = "/".join(image.folders)
            raise LabelError(
                f"{data}: folder {folder} is named for both classes: {image.word!r} is {CLASSES[label]}, {other!r} is "
                f"{CLASSES[1 - label]}; if {image.word!r} is no class, rename it (folds of C-NMC are fold_0, fold_1, "
                "...), or give the words that are classes with --classes normal=... leukemic=..."
            )


def _check_versions(data: Path, images: Iterable[_Image]) -> None:
    """Reject Taleqani's original and segmented images together: they are the same fields."""
    versions: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for image in images:
        rest = (*image.folders[image.level :], image.path.name)
        versions.setdefault(image.folders[: image.level], set()).add(rest)
    if len(versions) > 1 and len(set(map(frozenset, versions.values()))) == 1:
        raise UserError(
            f"{data}: several versions of the same images; choose one:\n"
            f"{listed(data.joinpath(*folders).as_posix() for folders in versions)}"
        )
