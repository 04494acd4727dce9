"""Training and evaluation of leukemia cell classifiers: from images to a model with trustworthy scores.

From Python, ``leukemia.Study`` opens the results of a search, and ``search.search`` runs one. What computes is imported
only when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leukemia.study.results import StudyResults as Study

__all__ = ["ALL", "CLASS_NAMES", "HEM", "Study"]

__version__ = "0.1.0"

HEM, ALL = 0, 1
"""Class order everywhere: 0 is a normal cell (C-NMC's ``hem``), 1 a leukemic cell (``all``)."""

CLASS_NAMES = ("hem", "all")
"""Class names by label."""


def __getattr__(name: str) -> Any:
    """``Study``, imported at its first use."""
    if name != "Study":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    from leukemia.study.results import StudyResults

    return StudyResults
