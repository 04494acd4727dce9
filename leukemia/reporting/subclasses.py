"""The report's section about subclasses."""

from __future__ import annotations

from collections.abc import Sequence

from leukemia.data.classes import CLASSES
from leukemia.reporting.page import Section, describe_interval
from leukemia.scoring.subclasses import SubclassScore


def subclass_sections(scores: Sequence[SubclassScore], images: str) -> list[Section]:
    """A table of the accuracies; empty if there are no subclasses.

    Args:
        images: which images were scored.
    """
    if not scores:
        return []
    rows = [(each.name, CLASSES[each.label], each.n, describe_interval(each.accuracy)) for each in scores]
    return [
        Section(
            title=f"Subclasses {images}",
            text=(
                "Share of the images of each subclass that are classified correctly as normal or leukemic, with 95 % "
                "intervals from a bootstrap over groups. The model is not trained to tell subclasses apart."
            ),
            table=[("subclass", "class", "images", "accuracy (interval)"), *rows],
        )
    ]
