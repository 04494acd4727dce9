"""The report's section about subclasses."""

from __future__ import annotations

from collections.abc import Sequence

from leukemia import CLASS_NAMES
from leukemia.reporting.page import Section, describe_interval
from leukemia.scoring.subclasses import SubclassScore


def subclass_sections(scores: Sequence[SubclassScore], images: str) -> list[Section]:
    """A table of the accuracies; empty if there are no subclasses.

    Args:
        images: which images were scored.
    """
    if not scores:
        return []
    rows = [(each.name, CLASS_NAMES[each.label], each.n, describe_interval(each.accuracy)) for each in scores]
    return [
        Section(
            title=f"Subclasses {images}",
            text=(
                f"Share of the images of each subclass that are classified correctly as normal ({CLASS_NAMES[0]}) or "
                f"leukemic ({CLASS_NAMES[1]}), with 95 % intervals from a bootstrap over groups. The model is not "
                "trained to tell subclasses apart."
            ),
            table=[("subclass", "class", "images", "accuracy (interval)"), *rows],
        )
    ]
