"""Where the data lie: a place that the user names, or the generated sample set."""

from __future__ import annotations

from pathlib import Path

from leukemia.data.sample import sample_set

SAMPLE = "sample"
"""Stands for the sample set in ``study.json`` and ``best.json``: it lies in another place on every machine."""


SAMPLE_WARNING = "the images are generated, not taken: right for trying the machinery, worthless as medical evidence"
"""Stands beside every number of a study on the sample set."""


def uri_of(data: str | None) -> str:
    """How a study remembers its data: an absolute path, or ``sample`` where none was named."""
    return SAMPLE if data is None else str(Path(data).resolve())


def locate(uri: str) -> Path:
    """The path behind ``uri``; the sample set is generated where it is absent."""
    return sample_set() if uri == SAMPLE else Path(uri)
