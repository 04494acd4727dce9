"""W&B's client replaced by a recorder, to compare what would be sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pandas as pd

from leukemia.tracking import client
from leukemia.tracking.client import RunSpec


class RecordedRun:
    """A run that records what is logged."""

    starting_step = 0

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

    def names(name: str, kind: str, files: Sequence[Path], metadata: Any) -> Any:
        return name, kind, [path.name for path in files], dict(metadata)

    with ExitStack() as stack:
        for name, double in (
            ("open_run", open_run),
            ("frame", table),
            ("prediction_charts", table_of_charts),
            ("image", lambda path: path.name),
            ("artifact", names),
        ):
            stack.enter_context(patch.object(client, name, double))
        yield runs


def table_of_charts(predictions: pd.DataFrame) -> dict[str, Any]:
    """The predictions behind W&B's charts."""
    return {"out_of_fold": predictions.to_dict("records")}
