"""Names of versions of one image: what scripts and tools write around the name of the original."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from leukemia.data.split import part_of

LEAST_ORIGINALS = 2
"""A word that is not known ends the names of versions if it follows the names of so many originals."""

_SIDES = r"(?:[_. -]*(?:horizontal(?:ly)?|vertical(?:ly)?|left|right|up|down|both|hv|vh|lr|ud|[hvxy]))?"
# With a number, which may be an angle or count the copies; without one, since a number may as well count cells.
_TURNED = r"(?:aug(?:m?ented|mentations?)?|rot(?:at(?:ed?|ion))?|r(?=90|180|270)|angle)[_. -]*-?\d*(?:\.\d+)?(?:deg)?"
_CHANGED = (
    r"(?:[hv]?flip(?:ped)?|mirror(?:ed)?|transposed?|bright(?:er|ness|ened)?|dark(?:er|ened)?|contrast|blur(?:red|ry)?"
    r"|gauss(?:ian)?|nois[ey]|sharp(?:en(?:ed)?)?|(?:colou?r)?jitter|hue|saturat(?:ed|ion)|hsv|gr[ae]y(?:scale)?|gamma"
    r"|clahe|equali[sz]ed|shear(?:ed)?|shift(?:ed)?|translated?|zoom(?:ed)?|scaled?|resized?|cropped|elastic|cutout"
    rf"|orig(?:inal)?){_SIDES}(?:[_. -]*\d{{1,2}}\.\d+|\d{{0,2}})"
    r"|(?:copy|kopie|copie|copia)(?:[_. -]*\(?\d{1,2}\)?)?"
)
_MAGNIFIED = r"(?:x\d{1,4}|\d{1,4}x)"
# Also those of stain normalization, and the one that Augmentor writes to.
_FOLDER = re.compile(
    rf"(?:{_TURNED}|{_CHANGED}|x\d{{2,4}}|\d{{2,4}}x|output"
    r"|(?:stain[_. -]*)?(?:macenko|reinhard|vahadane|normali[sz]ed))",
    re.IGNORECASE,
)
_START = re.compile(rf"^(?:(?:{_TURNED}|{_CHANGED}|{_MAGNIFIED})[_. -]+)+", re.IGNORECASE)
_END = re.compile(rf"(?:[_. -]+(?:{_TURNED}|{_CHANGED}|{_MAGNIFIED}))+$", re.IGNORECASE)
# Of Roboflow (https://docs.roboflow.com/datasets/dataset-versions), and of Augmentor: ``CLASS_original_NAME.png_UUID``.
_ROBOFLOW = re.compile(r"(?:[_.](?:bmp|jpe?g|png|tiff?|webp))?\.rf\.[0-9a-z]{8,}$", re.IGNORECASE)
_AUGMENTOR = re.compile(r"^.*?_original_(?P<name>.+?)\.(?:bmp|jpe?g|png|tiff?)_[0-9a-f-]{32,36}$", re.IGNORECASE)
_TAIL = re.compile(r"(?P<original>.*[^_. -])(?P<tail>[_. -]+[^\W\d_]{2,}\d{0,3})")
_NUMBERED = re.compile(rf"(?P<original>.*[^_. -])(?P<tail>[_. -]+(?:{_CHANGED})[_. -]+\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class VersionName:
    """The name of an image, apart from what tells versions of one original apart."""

    folders: tuple[str, ...]
    """Without those of the parts of a split and of versions."""

    stem: str
    part: tuple[str, ...]
    """The folders that are parts of a split."""

    is_version: bool
    """Whether the name of the file says that it is a version."""

    is_in_folder: bool
    """Whether a folder says so, such as ``40x`` or ``flipped``."""

    @classmethod
    def of(cls, image_id: str) -> VersionName:
        """Of a POSIX path."""
        above, _, name = image_id.rpartition("/")
        folders, part, is_in_folder = _folders(above)
        written = PurePosixPath(name).stem
        stem = _original(written)
        return cls(folders, stem, part, stem != written, is_in_folder)

    @property
    def place(self) -> tuple[tuple[str, ...], str]:
        """What versions of one original share."""
        return self.folders, self.stem


def version_names(image_ids: Sequence[str]) -> list[VersionName]:
    """The names of all images of a data set, in the order given.

    A word that is not known tells versions apart if it follows the names of several originals: ``7_giro`` beside ``7``.
    So does a known one with a number, which may as well count cells, beside one original: ``7_noise_25``.

    >>> [name.stem for name in version_names(["7.png", "7_giro.png", "8_giro.png", "8.png", "9_rot90.png"])]
    ['7', '7', '8', '8', '9']
    """
    names = [VersionName.of(image_id) for image_id in image_ids]
    places = {name.place for name in names}
    tails = [_NUMBERED.fullmatch(name.stem) or _TAIL.fullmatch(name.stem) for name in names]
    originals: dict[str, set[object]] = defaultdict(set)
    for name, match in zip(names, tails, strict=True):
        if match and (name.folders, match["original"]) in places:
            originals[match["tail"].lower()].add((name.folders, match["original"]))
    found = {
        tail for tail, each in originals.items() if len(each) >= LEAST_ORIGINALS or _NUMBERED.fullmatch(f"0{tail}")
    }
    return [
        VersionName(name.folders, match["original"], name.part, True, name.is_in_folder)
        if match and match["tail"].lower() in found and (name.folders, match["original"]) in places
        else name
        for name, match in zip(names, tails, strict=True)
    ]


def is_version_word(word: str) -> bool:
    """Whether a word, or a folder, tells a version apart, such as ``flip``."""
    return _FOLDER.fullmatch(word) is not None


# A data set has few folders and many images.
@lru_cache(maxsize=1024)
def _folders(above: str) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """The folders, the part and ``is_in_folder`` of a ``VersionName``, by the path of its folder."""
    names = above.split("/") if above else []
    versions = [name for name in names if is_version_word(name)]
    part = tuple(name for name in names if part_of(name))
    return tuple(name for name in names if name not in versions and name not in part), part, bool(versions)


def _original(stem: str) -> str:
    """The name of the original; the name itself if it has nothing else.

    >>> [_original(stem) for stem in ("7_rot_90", "aug_1_7", "7_flip_h_bright", "cell_2x", "7_jpg.rf.0123abcd")]
    ['7', '7', '7', 'cell', '7']
    >>> [_original(stem) for stem in ("UID1_august", "flip", "B_original_7.png_0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f")]
    ['UID1_august', 'flip', '7']
    """
    if match := _AUGMENTOR.fullmatch(stem):
        stem = match["name"]
    return _START.sub("", _END.sub("", _ROBOFLOW.sub("", stem)))
