"""Tune around the driver: what its scheduler asks, and what it does with the answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from leukemia.crossval import FoldResult
from search import tuner
from search.race import Job
from search.trainable import REPORT


class Assigned:
    """Tune's trial, as far as its scheduler is concerned."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


def test_the_driver_is_asked_by_number_and_seed() -> None:
    heard: list[tuple[Job, Any]] = []

    def hear(job: Job, report: Any) -> bool:
        heard.append((job, report))
        return not isinstance(report, FoldResult)

    result = FoldResult(
        seed=2,
        fold=0,
        rows=np.arange(2),
        probabilities=np.array([0.2, 0.8]),
        scores={},
        seconds=1.0,
        device="cpu (test)",
        precision="float32",
    )
    judging = tuner._Judging(hear, lambda job: [0] if job == Job(7, 2) else [])
    trial: Any = Assigned({"number": 7, "seed": 2, "skip": []})
    verdicts = [judging.on_trial_result(None, trial, {REPORT: report}) for report in ("words", result)]  # type: ignore[arg-type]
    assert verdicts == [judging.CONTINUE, judging.STOP]
    assert heard == [(Job(7, 2), "words"), (Job(7, 2), result)]
    assert trial.config["skip"] == [0]
    assert judging.on_trial_result(None, trial, {}) == judging.CONTINUE  # type: ignore[arg-type]
    assert len(heard) == 2
