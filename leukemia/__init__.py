"""Training and evaluation of leukemia cell classifiers: from images to a model with trustworthy scores.

From Python, ``leukemia.load`` opens a delivered model, ``leukemia.Study`` the results of a search, and
``search.search`` runs one (docs/python.md). What computes is imported only when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from leukemia.delivery.delivered_model import DeliveredModel
    from leukemia.study.results import StudyResults as Study

__all__ = ["ALL", "CLASS_NAMES", "HEM", "Study", "load"]

__version__ = "0.1.0"

HEM, ALL = 0, 1
"""Class order everywhere: 0 is a normal cell (C-NMC's ``hem``), 1 a leukemic cell (``all``)."""

CLASS_NAMES = ("hem", "all")
"""Class names by label."""


def load(folder: str | Path, device: str = "auto", plugins: Sequence[str | Path] = ()) -> DeliveredModel:
    """Open a delivered model, to classify images and to score it on test sets; no pickle is run.

    Args:
        folder: written by ``leukemia.final``, such as ``runs/STUDY/final``.
        device: ``cpu``, ``cuda`` or ``mps``; ``auto`` takes cuda, else mps, else cpu.
        plugins: files that are run, with all your rights, for a model whose network is that of a plug-in
            (docs/plugins.md); the copy in the model's folder runs only if it is named here.

    Raises:
        MissingFile: the folder lacks the recipe or the weights.
        UserError: a file is damaged, or the device is not available; or the network is that of a plug-in that is not
            named.
    """
    from pathlib import Path

    from leukemia.delivery.delivered_model import DeliveredModel

    return DeliveredModel(Path(folder), device, [Path(each) for each in plugins])


def __dir__() -> list[str]:
    """What callers use, for completion in notebooks."""
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    """``Study``, imported at its first use."""
    if name != "Study":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    from leukemia.study.results import StudyResults

    return StudyResults
