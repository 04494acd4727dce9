"""W&B's client replaced by a recorder, to compare what would be sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pandas as pd

from leukemia.tracking import charts, client
from leukemia.tracking.client import RunSpec


class RecordedRun:
    """A run that records what is logged."""

    starting_step = 0
    offline = True

    def __init__(self, spec: RunSpec) -> None:
        self.settings = SimpleNamespace(sync_dir="")
        self.summary: dict[str, Any] = {}
        self.content: list[Any] = [spec.id, dict(spec.config), self.summary]

    def log(self, values: dict[str, Any], step: int) -> None:
        self.content.append((step, values))

    def define_metric(self, *arguments: Any, **options: Any) -> None:
        """Panels are not numbers."""

    def log_artifact(self, artifact: Any, **options: Any) -> None:
        self.content.append(artifact)

    def finish(self, exit_code: int = 0) -> None:
        self.content.append(exit_code)


@contextmanager
def recorded_runs() -> Iterator[list[RecordedRun]]:
    """The runs that are opened in the block, with all their content."""
    runs: list[RecordedRun] = []

    def open_run(spec: RunSpec, *arguments: Any) -> RecordedRun:
        runs.append(RecordedRun(spec))
        return runs[-1]

    def table(found: pd.DataFrame) -> Any:
        return found.to_dict("records")

    def artifact(name: str, kind: str, files: Mapping[str, Path | str], metadata: Any) -> Any:
        # Files are compared elsewhere; text was made for the upload.
        return name, kind, {key: each if isinstance(each, str) else key for key, each in files.items()}, dict(metadata)

    with ExitStack() as stack:
        for module, name, double in (
            (client, "open_run", open_run),
            (client, "frame", table),
            (client, "image", lambda path: path.name),
            (client, "artifact", artifact),
            (charts, "predictions", lambda found: {"out_of_fold": table(found)}),
            (charts, "curves", lambda epochs: {"curves": dict(epochs)}),
            (charts, "importances", lambda shares: {"importances": dict(shares)}),
        ):
            stack.enter_context(patch.object(module, name, double))
        yield runs
