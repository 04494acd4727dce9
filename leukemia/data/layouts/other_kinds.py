"""Files that contain images or lists, but are read by nothing here: what each is, and what to do with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import open_file
from leukemia.data.layouts.record_file import has_records
from leukemia.data.layouts.source import is_image

MOST_SEEN = 5
"""So many files of one suffix are opened to see what they are."""

_NUM_BYTES = 4096
_UNPACK = "unpack it, and give the folder"
_EXPORT = "export its images as PNG files, in folders named by class or with a CSV Path,label"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file."""

    what: str
    advice: str
    suffixes: tuple[str, ...]
    """Lower-case ends of its names."""

    starts: tuple[bytes, ...] = ()
    """First bytes of such files, whatever their name."""

    marks: tuple[bytes, ...] = ()
    """Text of which such a file has one near its beginning, in lower case; empty: the name is enough."""

    def has_mark(self, path: Path) -> bool:
        """Whether a file with such a name has one of these texts."""
        start = _begin(path, _NUM_BYTES).lower() if self.marks else b""
        return not self.marks or any(mark in start for mark in self.marks)


_KINDS = (
    Kind(
        what="a pointer of Git LFS, not the file",
        advice="run `git lfs pull` where it was cloned",
        suffixes=(),
        starts=(b"version https://git-lfs.github.com/spec/",),
    ),
    Kind(
        what="a spreadsheet",
        advice="export its sheet as CSV (UTF-8)",
        suffixes=(".xlsx", ".xlsm", ".xls", ".ods", ".numbers"),
        starts=(b"\xd0\xcf\x11\xe0",),
    ),
    Kind(
        what="an archive of arrays",
        advice="write it as images and a CSV, once, with `python -m leukemia.unpack FILE FOLDER`",
        suffixes=(".npz",),
    ),
    Kind(
        what="an array, which has images or labels, but not both",
        advice="store both in an .npz (numpy.savez), and unpack that with `python -m leukemia.unpack FILE FOLDER`",
        suffixes=(".npy",),
        starts=(b"\x93NUMPY",),
    ),
    Kind(
        what="an archive",
        advice=_UNPACK,
        suffixes=(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"),
        starts=(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"),
    ),
    Kind(
        what="a spreadsheet or a zip archive",
        advice="export its sheet as CSV (UTF-8), or unpack it and give the folder",
        suffixes=(),
        starts=(b"PK\x03\x04",),
    ),
    Kind(
        what="a pickle, which may run code when it is opened and is never read",
        advice=_EXPORT,
        suffixes=(".pkl", ".pickle", ".joblib", ".pt", ".pth"),
        starts=(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    ),
    Kind(
        what="a file of MATLAB, HDF5, TensorFlow, LMDB or Parquet",
        advice=_EXPORT,
        suffixes=(".mat", ".h5", ".hdf5", ".tfrecord", ".tfrecords", ".mdb", ".parquet", ".arrow"),
        starts=(b"MATLAB 5.0", b"\x89HDF", b"PAR1"),
    ),
    Kind(
        what="a whole-slide or DICOM image, or a video",
        advice="export its cells as PNG files, in folders named by class or with a CSV Path,label",
        suffixes=(".dcm", ".svs", ".ndpi", ".mrxs", ".scn", ".czi", ".avi", ".mp4"),
    ),
    Kind(
        what="an image in a format that is not read",
        advice="convert it to PNG",
        suffixes=(".gif", ".jp2", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".tga"),
    ),
    Kind(
        what="annotations, such as those of COCO",
        advice="write a CSV with the columns Path and label from them, and give that",
        suffixes=(".json", ".jsonl", ".xml", ".yaml", ".yml"),
        marks=(b"annotation", b"bndbox", b"bbox", b"<object", b"shapes", b"label", b"class", b"categor", b"names:"),
    ),
)
_TEXT = Kind(
    what="a file of JSON, XML or YAML",
    advice="if it has the labels, write a CSV with the columns Path and label from it, and give that",
    suffixes=(),
)
_LONGEST_START = max(len(start) for kind in _KINDS for start in kind.starts)


def require_text(path: Path) -> None:
    """Refuse a file of one of these kinds, which is expected to be a CSV.

    Raises:
        UserError: what it is, and what to do.
    """
    kind = None if has_records(path) else _named(path) or _started(path)
    if kind is not None:
        raise UserError(f"{path}: expected a CSV or a folder, got {kind.what}; {kind.advice}")


def describe_others(paths: Iterable[Path]) -> str | None:
    """What files are that are no images, by the first kind that occurs; None if none does.

    Of files that may have anything, nothing is said beside images.
    """
    paths = [path for path in paths if not has_records(path)]
    found = sorted((_KINDS.index(kind), path) for path in paths if (kind := _suffixed(path)))
    kinds = {index: [path for each, path in found if each == index] for index, _ in found}
    for index, files in kinds.items():
        kind = _KINDS[index]
        path = next(filter(kind.has_mark, files[:MOST_SEEN]), None)
        if path is None and not any(map(is_image, paths)):
            kind, path = _TEXT, files[0]
        if path is not None:
            named = path.name if len(files) == 1 else f"{len(files)} files such as {path.name}"
            return f"{named}, {kind.what}: {kind.advice}"
    return None


def _named(path: Path) -> Kind | None:
    kind = _suffixed(path)
    return _TEXT if kind is not None and not kind.has_mark(path) else kind


def _suffixed(path: Path) -> Kind | None:
    return next((kind for kind in _KINDS if path.name.lower().endswith(kind.suffixes)), None) if path.suffix else None


def _started(path: Path) -> Kind | None:
    start = _begin(path, _LONGEST_START)
    return next((kind for kind in _KINDS if kind.starts and start.startswith(kind.starts)), None)


def _begin(path: Path, num_bytes: int) -> bytes:
    """The first bytes of a file; empty if it cannot be read: the reader of the CSV will name the reason."""
    try:
        with open_file(path) as stream:
            return stream.read(num_bytes)
    except OSError:
        return b""
