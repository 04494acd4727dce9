"""The location of the data: a path given by the user, or the generated sample set."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.base.files import resolved
from leukemia.data.sample import sample_set

SAMPLE = "sample"
"""The sample set in ``study.json`` and ``best.json``, since its path depends on the machine."""

SAMPLE_WARNING = "the images are synthetic: suitable for testing the pipeline, worthless as medical evidence"
"""Shown with every score of a study on the sample set."""


def uri_of(data: str | None) -> str:
    """The location of the data as recorded in a study: an absolute path, or ``sample`` for None."""
    return SAMPLE if data is None else absolute(Path(data))


def absolute(path: Path) -> str:
    """A path as recorded in a study.

    Raises:
        UserError: it is not UTF-8, which JSON cannot carry, or is a circle of links.
    """
    text = str(resolved(path, "remove the circle of links, or give another path"))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{text}: expected a path in UTF-8; rename the folder") from None
    return text


def locate(uri: str) -> Path:
    """The path of ``uri``; the sample set is generated if absent."""
    return sample_set() if uri == SAMPLE else Path(uri)
