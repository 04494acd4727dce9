"""The folder that the paths of a CSV must stay in, and the files that they mean there."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.data.classes import NAMED, LabelError
from leukemia.data.layouts.file_index import FileIndex, part_of_split
from leukemia.data.layouts.listing import Listing
from leukemia.data.layouts.masks import mask_suffixes
from leukemia.data.layouts.source import is_image, walk
from leukemia.data.layouts.written_path import WrittenPath
from leukemia.data.split import part_of
from leukemia.data.subjects import some

MOST_FOLDERS = 3
"""An error names at most so many folders that may be meant."""


class OtherBase(LabelError):
    """A CSV none of whose images is in its base folder."""


class Folder:
    """The folder that a CSV's paths must stay in. Counts the images that were not where their path says."""

    def __init__(self, root: Path, option: str) -> None:
        self.root = root
        """Without symbolic links, so that paths can be compared with it."""

        self._option = option
        self._index = FileIndex(root)
        self._num_found = self._num_respelled = self._num_masks = 0
        self._is_by_name = self._are_elsewhere = False
        self._masks: set[str] = set()
        """The suffixes of masks that are called like their cells."""

    def has_any(self, listing: Listing, column: str) -> bool:
        """Whether an image of the CSV is in the folder, or several that may be meant."""
        written = self._written(listing, column)
        if any(each and self._find(each) for each in written) or self._are_all_named(written):
            return True
        self._index = FileIndex(self.root, ignores_zeros=True)
        return any(each and self._find(each) for each in written)

    def resolve_all(self, listing: Listing, column: str) -> list[Path]:
        """The file of every row, as it is written or found; symbolic links are not replaced by their targets.

        Raises:
            UserError: a path is empty, outside the folder, missing or ambiguous.
        """
        written = self._written(listing, column)
        self._num_found = self._num_respelled = self._num_masks = 0
        outside, missing, dangling, ambiguous, folders = [], [], [], [], []
        links: list[Path] = []
        paths, several = [], []
        candidates = [[] if each is None else self._find(each) for each in written]
        for (number, values), each, found in zip(listing.rows, written, candidates, strict=True):
            text = values[column]
            if each is None or not all(map(self._is_inside, found)):
                outside.append(f"row {number}: {text or 'no path'}")
                if each is not None and (link := self._link_out(each)) is not None:
                    links.append(link)
            elif not found and os.path.islink(self.root / text):  # noqa: PTH114
                dangling.append(f"row {number}: {text}")
            elif not found:
                missing.append(f"row {number}: {text}{self._namesakes(each.name)}")
            elif len(found) > 1:
                ambiguous.append(f"row {number}: {text} may be {self._relative(found)}")
                several += found
            elif found[0].is_dir():
                folders.append(f"row {number}: {text}")
            else:
                paths.append(found[0])
        if masks := mask_suffixes(several) - self._masks:
            self._masks |= masks
            return self.resolve_all(listing, column)
        if links and len(links) == len(outside):
            targets = {link: Path(os.path.realpath(link)) for link in links}
            listing.reject(f"{self._leading_out(targets)}{self._wider(listing, column, targets)}", outside)
        listing.reject(f"expected paths inside {self.root} (change it with {self._option}), these are not", outside)
        listing.reject(
            "links to files that do not exist; fetch or restore these (`git annex get .` if they are of git-annex)",
            dangling,
        )
        listing.reject("expected the path of an image, these are folders; write a row for each image", folders)
        listing.reject(
            "the path does not exist and several files may be meant; write the full path"
            f"{self._one_folder(listing, candidates)}",
            ambiguous,
        )
        if not paths and not self._is_by_name and self._are_all_named(written):
            self._are_elsewhere = True
            return self.resolve_all(listing, column)
        if not paths and not self._index.ignores_zeros:
            self._index = FileIndex(self.root, ignores_zeros=True)
            return self.resolve_all(listing, column)
        if not paths:
            image = next(filter(is_image, walk(self.root)), None)
            example = "" if image is None else f", such as {self._relative([image])}"
            raise OtherBase(
                f"{listing.path}: none of the {len(missing)} images exists below {self.root}, the first is "
                f"{missing[0].partition(': ')[2]}; give the base folder of the paths with {self._option}, or write a "
                f"row for each image, with its path as it is below it{example}"
            )
        listing.reject(
            f"{len(missing)} of {len(written)} images {'does' if len(missing) == 1 else 'do'} not exist "
            f"below {self.root}; restore them, write their "
            f"paths as they are below it, give another folder with {self._option}, or remove these rows",
            missing,
        )
        return paths

    def there(self, listing: Listing, column: str) -> Listing:
        """The listing without the rows whose files are missing, or may be several."""
        if not self.has_any(listing, column):
            return dataclasses.replace(listing, rows=())
        self._are_elsewhere = not any(each and self._find(each) for each in self._written(listing, column))
        found = [[] if each is None else self._find(each) for each in self._written(listing, column)]
        rows = tuple(row for row, paths in zip(listing.rows, found, strict=True) if len(paths) == 1)
        return dataclasses.replace(listing, rows=rows)

    def notes(self, listing: Listing) -> tuple[str, ...]:
        """How the CSV was read, and a note on the images that were not where their path says."""
        masks = f"{self._num_masks} masks ({some(sorted(self._masks))}) are called like the images, and are not read"
        notes = (*listing.notes, *((masks,) if self._num_masks else ()))
        if not self._num_found:
            return notes
        way = "name alone" if self._is_by_name else "the last folders and the name of the path"
        zeros = "leading zeros, " if self._index.ignores_zeros else ""
        respelled = (
            f"{self._num_respelled} of them {'differs' if self._num_respelled == 1 else 'differ'} in "
            f"{zeros}case, Unicode form or by a missing extension"
        )
        spelling = f"; {respelled}" if self._num_respelled else ""
        return (
            *notes,
            f"{self._num_found} of {len(listing.rows)} paths in the CSV "
            f"{'does' if self._num_found == 1 else 'do'} not exist as written; "
            f"their images were found below {self.root} by {way}{spelling}",
        )

    def _written(self, listing: Listing, column: str) -> list[WrittenPath | None]:
        """The path of every row; None if it is none."""
        written = [WrittenPath.of(text, self.root) for text in listing.column(column)]
        # Where some of the images are at the names that were written, the others belong beside them.
        self._is_by_name = self._are_elsewhere or not any(each and (each.folders or each.is_there) for each in written)
        return written

    def _are_all_named(self, written: Sequence[WrittenPath | None]) -> bool:
        """Whether paths are of other folders, as on another machine, but each name is here once, in no folder that is
        called for another class or another part of a split."""
        found: set[Path] = set()
        for each in written:
            named = [] if each is None else self._index.called(each.name)
            if each is None or each.is_there or len(named) != 1 or _contradicts(each.folders, named[0], self.root):
                return False
            found.add(named[0])
        return len(found) == len({(each.folders, each.name) for each in written if each is not None})

    def _find(self, written: WrittenPath) -> list[Path]:
        """The file of a path, which may be outside; several if it is ambiguous, none if it is missing."""
        if written.is_there:
            return [written.path]
        if self._is_by_name:
            found = self._index.called(written.name)
        else:
            found = self._index.with_end(written.folders, written.name)
        cells = [path for path in found if path.suffix not in self._masks]
        if self._masks and cells:
            self._num_masks += len(found) - len(cells)
            found = cells
        self._num_found += len(found) == 1
        self._num_respelled += len(found) == 1 and not _ends_as_written(found[0], written)
        return [path for path in found if path.exists()]

    def _is_inside(self, path: Path) -> bool:
        """Whether a file, or the target of a link, is below the folder."""
        real = Path(os.path.realpath(path))
        return real.is_relative_to(self.root) and real != self.root

    def _link_out(self, written: WrittenPath) -> Path | None:
        """The outermost link in a path inside the folder that leads out of it; None if there is none."""
        if not written.path.is_relative_to(self.root):
            return None
        names = written.path.relative_to(self.root).parts
        steps = (self.root.joinpath(*names[:number]) for number in range(1, len(names) + 1))
        return next((step for step in steps if step.is_symlink() and not self._is_inside(step)), None)

    def _leading_out(self, links: Mapping[Path, Path]) -> str:
        """What is wrong with links that lead out of the folder, and where they lead."""
        link, target = next(iter(links.items()))
        number = "a link out of it:" if len(links) == 1 else f"{len(links)} links out of it, such as"
        shown = f"{link.relative_to(self.root).as_posix()} -> {target}"
        return f"expected images inside {self.root}, but these are behind {number} {shown}"

    def _wider(self, listing: Listing, column: str, links: Mapping[Path, Path]) -> str:
        """What to do about links that lead out: give a folder that has the targets, too, if all images are clear in
        it; else only to put them here."""
        wider = Path(os.path.commonpath([self.root, *links.values()]))
        copy = "put the images in the place of the links"
        if wider == Path(wider.anchor):
            return f"; {copy}"
        try:
            Folder(wider, self._option).resolve_all(listing, column)
        except UserError:
            return f"; {copy}"
        return f"; give {self._option} {shlex.quote(str(wider))}, which has their images, too, or {copy}"

    def _one_folder(self, listing: Listing, candidates: Sequence[Sequence[Path]]) -> str:
        """Which folder to give, of those that have a single file that may be meant for every row; empty if none has.

        One that is called for the same part of a split as the CSV is proposed before others.
        """
        counts = Counter(path.parent for found in candidates for path in found)
        each_once = [folder for folder, number in counts.items() if number == len(candidates)]
        folders = [
            folder
            for folder in each_once
            if all(sum(path.parent == folder for path in found) == 1 for found in candidates)
        ]
        part = part_of(listing.path.stem)
        folders = [folder for folder in folders if part and part_of(folder.name) == part] or folders
        ways = [f"{self._option} {shlex.quote(str(folder))}" for folder in sorted(folders)[:MOST_FOLDERS]]
        return f", or give this CSV with {' or '.join(ways)}" if ways else ""

    def _namesakes(self, name: str) -> str:
        found = self._index.called(name)
        return f" (of this name: {self._relative(found)})" if found else ""

    def _relative(self, paths: list[Path]) -> str:
        shown = [path.relative_to(self.root).as_posix() for path in paths[:3]]
        return ", ".join([*shown, *([f"and {len(paths) - 3} more"] if len(paths) > 3 else [])])


def _contradicts(folders: tuple[str, ...], path: Path, root: Path) -> bool:
    """Whether written folders name another class, or another part of a split, than those of a file."""
    inside = path.relative_to(root).parts[:-1]
    parts = [part_of_split(names) for names in (folders, (root.name, *inside))]
    labels = [{label for name in names if (label := NAMED.label(name)) is not None} for names in (folders, inside)]
    return (None not in parts and parts[0] != parts[1]) or (all(labels) and labels[0] != labels[1])


def _ends_as_written(path: Path, written: WrittenPath) -> bool:
    """Whether a file is spelled like the path that it was found for, in its name and, if it has one, its folder."""
    end = (*written.folders[-1:], written.name)
    return path.parts[-len(end) :] == end
