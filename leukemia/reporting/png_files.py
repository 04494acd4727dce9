"""Figures of a page that are also written as PNG files, for W&B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from leukemia.reporting.page import Section


def write_pngs(folder: Path, sections: Sequence[Section], files: Mapping[str, str]) -> None:
    """Write those of the sections' figures that have a file, and remove files of an earlier page without a figure.

    Args:
        files: names of the files in ``folder`` by name of the figure.
    """
    figures = [figure for section in sections for figure in section.figures]
    drawn = {files[figure.name]: figure for figure in figures if figure.name in files}
    for name in files.values():
        # Another process may be reading one that is drawn again: it is replaced.
        if name in drawn:
            drawn[name].write_png(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
