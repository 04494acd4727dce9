"""The file of a delivered model's scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class MetricsRecord:
    """``metrics.json``: the scores of a delivered model, by metric; those of a test are null without labels."""

    test: dict[str, Any] | None
    out_of_fold: dict[str, Any]
    difference: dict[str, Any] | None
    """To another model on the same test images; null if there was no comparison."""

    caveats: list[str]
    verdict: list[str] = field(default_factory=list)
    """Sentences if the model is no better than a constant answer; also empty in files of earlier versions."""

    quote: str = ""
    """The corrected score of the search, with what it is of; empty without one, and in files of earlier versions."""
