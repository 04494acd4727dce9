"""A catalogue as text: what ``leukemia.catalog`` prints about a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from leukemia.base.errors import listed
from leukemia.base.printable import printable
from leukemia.data.catalog import Catalog
from leukemia.data.subjects import UNKNOWN
from leukemia.data.versions import distinct_images

LEAST_COPIED, LEAST_SHARE = 3, 0.9
"""A folder that is called a copy of another one has at least so many duplicates, and such a share of all."""


def describe(catalog: Catalog, *data: Path) -> str:
    """A plain-text report on a data set.

    Args:
        data: the paths it was read from.
    """
    lines = _report_lines(catalog, " ".join(map(str, data)))
    return "\n".join(f"{title and title + ':':<13}{printable(text)}" for title, text in lines) + "\n"


def _report_lines(catalog: Catalog, data: str) -> Iterator[tuple[str, str]]:
    table = catalog.table
    # Without subjects, the first note says what that means.
    num_first = 0 if catalog.has_subjects else 1
    for text in catalog.subject_notes[:num_first]:
        yield "warning", text
    yield "data", f"{data} (layout {catalog.layout}{catalog.parts and '; ' + catalog.parts})"
    yield "fingerprint", catalog.fingerprint
    yield "images", _images(catalog)
    yield "subjects", _subjects(catalog) if catalog.has_subjects else "unknown"
    yield "groups", _groups(catalog)
    subjects = dict(zip(table["image_id"], table["subject"], strict=True))
    across = [images for images in catalog.duplicates if len({subjects[name] for name in images}) > 1]
    inside = [images for images in catalog.duplicates if len({subjects[name] for name in images}) == 1]
    if catalog.has_subjects:
        yield "duplicates", f"across subjects: {_sets(across)}"
        yield "", f"within a subject: {_sets(inside)}"
    else:
        yield "duplicates", _sets(inside)
    sizes = Counter(catalog.sizes).most_common()
    yield "sizes", ", ".join(f"{width}x{height} px: {number}" for (width, height), number in sizes[:8])
    if len(sizes) > 8:
        yield "", f"and {len(sizes) - 8} more sizes; the smallest side is {min(map(min, catalog.sizes))} px"
    yield "unreadable", "none"
    for number, text in enumerate(catalog.remarks[num_first:]):
        yield "" if number else "notes", text
    yield "protocol", _PROTOCOL[catalog.protocols]


_PROTOCOL = {
    ("given",): "given: the split of the data is kept",
    ("grouped", "random-cell"): "grouped or random-cell",
    (
        "random-cell",
    ): "random-cell only: subjects are unknown, so images of one patient may be on both sides of a split",
}


def _images(catalog: Catalog) -> str:
    if not catalog.has_labels:
        return f"{len(catalog.table)}, without labels (for prediction only)"
    counts = [int((catalog.table["label"] == label).sum()) for label in (0, 1)]
    majority = catalog.class_names[counts.index(max(counts))]
    each = ", ".join(f"{number} {name}" for number, name in zip(counts, catalog.class_names, strict=True))
    return f"{sum(counts)} ({each}); majority rate {max(counts) / sum(counts):.3f} (always {majority})"


def _subjects(catalog: Catalog) -> str:
    table = catalog.table[catalog.table["subject"] != UNKNOWN]
    text = str(table["subject"].nunique())
    if not catalog.has_labels:
        return text
    names = catalog.class_names
    each = [f"{table.loc[table['label'] == label, 'subject'].nunique()} {names[label]}" for label in (0, 1)]
    both = int((table.groupby("subject")["label"].nunique() > 1).sum())
    return f"{text} ({', '.join(each)})" + (f"; {both} with images of both classes" if both else "")


def _groups(catalog: Catalog) -> str:
    groups = catalog.table["group"]
    if not catalog.has_subjects:
        images = distinct_images(catalog.table)
        versions = " and versions of one original" if images.nunique() < groups.nunique() else ""
        return f"{images.nunique()} (images with identical pixels{versions} form one group)"
    members = catalog.table.groupby("group")["subject"].nunique()
    joined = [str(name) for name in members.index[members > 1]]
    return f"{groups.nunique()}" + (f"; joined by shared images: {', '.join(joined)}" if joined else "")


def _sets(duplicates: list[tuple[str, ...]]) -> str:
    """Their number, folders that are copies of each other, and the first ones; all of them are in a file."""
    if not duplicates:
        return "none"
    copies = _copied_folders(duplicates)
    lines = listed(" = ".join(images) for images in duplicates).splitlines()
    return "\n".join([f"{len(duplicates)}{copies}", *(f"{'':<13}{line}" for line in lines)])


def _copied_folders(duplicates: list[tuple[str, ...]]) -> str:
    """Names two folders that nearly all duplicates are in, at the same paths; empty if there are none."""
    found: Counter[tuple[str, str]] = Counter()
    for one, *others in duplicates:
        for other in others:
            pairs = list(zip(one.split("/"), other.split("/"), strict=False))
            differing = [level for level, (a, b) in enumerate(pairs) if a != b]
            if one.count("/") == other.count("/") and len(differing) == 1 and differing[0] < len(pairs) - 1:
                end = differing[0] + 1
                found["/".join(one.split("/")[:end]), "/".join(other.split("/")[:end])] += 1
    (folders, number), *_ = [*found.most_common(1), (("", ""), 0)]
    if number < max(LEAST_COPIED, LEAST_SHARE * len(duplicates)):
        return ""
    return f"; {folders[0]}/ and {folders[1]}/ have {number} images in common, at the same paths: one is a copy"
