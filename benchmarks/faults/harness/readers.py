"""Everything that reads a study, its cache and its delivered model, in this process, with all numbers that come out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.faults.harness.recorded_runs import recorded_runs
from leukemia.data.images import open_images
from leukemia.delivery.delivered_model import DeliveredModel
from leukemia.delivery.loading import load_delivered
from leukemia.reporting import canvas
from leukemia.reporting.study_report import write_study_report
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.verification import verify
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.study_run import StudyRun
from leukemia.tracking.trial_run import TrialRun
from search.planning.plan import Plan
from search.planning.request import Request
from search.planning.resumption import plan_resumed
from search.sampling.journal import Journal
from search.trials.driver import Driver
from search.trials.outcome import write_best, write_hindsight
from search.trials.schedule import Limits

PICTURE = bytes(24)
"""Stands for every picture of a report: drawing takes seconds."""


def report(study: Study) -> Any:
    """``leukemia.report``: text of the page."""
    verify(study)
    with patch.object(canvas.Figure, "savefig", lambda figure, path, **options: path.write_bytes(PICTURE)):
        page = write_study_report(study, Best.find(study)).read_text(encoding="utf-8")
    return page, [study.epochs(number).to_dict("records") for number in study.trials()]


def resume(study: Study) -> Any:
    """``search.run --resume`` of a finished study, without Ray: its plan, images and outcome."""
    plan = plan_resumed(Request(runs=study.folder.parent, study=study.name))
    study = Study.open(study.folder)
    journal = _journal(plan, study)
    driver = Driver(
        study,
        journal,
        plan.catalog,
        limits=Limits(num_trials=plan.info.trials, budget_hours=plan.info.budget_hours),
        rules=plan.rules,
        listeners=[],
        on_best=lambda progress: None,
    )
    started = driver.begin()
    write_best(study, plan.catalog, plan.splits, driver.progress)
    write_hindsight(study, plan.space, journal, driver.best, driver.progress)
    written = [(study.folder / name).read_text() for name in (layout.BEST, layout.HINDSIGHT, layout.LEDGER)]
    return started, plan.info, plan.catalog.fingerprint, images(plan), journal.entries(), written


def _journal(plan: Plan, study: Study) -> Journal:
    path, info = study.folder / layout.JOURNAL, plan.info
    priors = [taken.prior for taken in plan.priors]
    return Journal(
        path,
        plan.space,
        seed=info.seed,
        name=study.name,
        by_cost=plan.rules.by_cost,
        sampler=info.sampler,
        num_starts=info.starts,
        recipes=plan.recipes,
        priors=priors,
    )


def images(plan: Plan) -> str:
    """The decoded images of a plan, as their SHA-256."""
    return hashlib.sha256(np.ascontiguousarray(open_images(plan.catalog, plan.view)).data).hexdigest()


def track(study: Study) -> Any:
    """``leukemia.tracking publish``, without a server: everything that would be logged."""
    verify(study)
    best = Best.find(study)
    with recorded_runs() as runs:
        for number in study.trials():
            end = study.end(number)
            assert end is not None
            trial = TrialRun(study, number, study.recipe(number), lambda: None, best)
            trial.open("offline", None)
            trial.close(end.state, end.reason, end.score)
        search = StudyRun(study)
        search.open("offline", None)
        search.close(finished=True)
        FinalRun(study, layout.FINAL).write("offline")
    return [run.content for run in runs]


def predict(study: Study) -> Any:
    """``leukemia.predict``: weights, and probabilities of a few training images."""
    model, _ = load_delivered(study.folder / layout.FINAL)
    weights = hashlib.sha256(b"".join(each.numpy().tobytes() for each in model.state_dict().values()))
    paths = sorted(Path(study.info.data.uri).rglob("*.bmp"))[:4]
    predicted = DeliveredModel(study.folder / layout.FINAL, "cpu").predict(paths)
    return weights.hexdigest(), predicted["probability_leukemic"].tolist()


READERS: dict[str, tuple[Callable[[Study], Any], ...]] = {
    "study": (report, track, resume),
    "final": (predict, track),
    "cache": (resume,),
}
"""By part, what reads its files; the last one may write."""
