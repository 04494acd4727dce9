"""The W&B run of the search: best score and device time over trials, the table of trials, the report."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from leukemia.config.fields import nested
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.comparison import comparison_table
from leukemia.study.field_types import NAME
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares
from leukemia.study.importances import Importances
from leukemia.study.ledger import ledger_of
from leukemia.study.schema import State, StudyInfo
from leukemia.study.table import trial_table
from leukemia.study.times import search_ended, trial_ended
from leukemia.tracking import charts, client, names
from leukemia.tracking.client import Mode, RunSpec
from leukemia.tracking.trial_run import cost_of, provenance_of
from leukemia.tracking.upload import remove_older
from leukemia.tracking.winner import run_id

LOGGED = (layout.BEST, layout.REPORT, layout.STUDY, layout.SPLITS, layout.HINDSIGHT, layout.LEDGER)
"""Files of the study folder to put into the artifact, if present."""


def _compared(info: StudyInfo) -> dict[str, Any]:
    """The recipes of a comparison, nested by section as those of the trials' runs; empty for a search."""
    if not compares(info):
        return {}
    recipes = [
        {key: value for key, value in each.items() if key == NAME}
        | nested({key: value for key, value in each.items() if key != NAME})
        for each in info.recipes
    ]
    return {"sampler": info.sampler, **({"recipes": recipes} if recipes else {})}


class StudyRun:
    """The run of the search. Even steps are trials that ended; odd steps are outcomes of the search after them."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._objective = study.objective
        self._run: client.Run = None
        self._ended: list[int] = []
        self._last = -1
        self._counts: dict[State, int] = {}
        self._best = -math.inf
        self._seconds = 0.0
        self._table_at = 1

    @property
    def id(self) -> str:
        """W&B's id of the run."""
        return run_id(self._study.info.study_uid, "search")

    @property
    def is_deleted(self) -> bool:
        """Whether the open run was deleted on the server, and so is left out."""
        return client.is_deleted(self._run)

    def open(self, mode: Mode, sweep: str | None) -> None:
        """Open the run, and log the trials that have already ended, in the order in which they ended."""
        self._run = client.open_run(self._spec(), mode)
        self._ended, self._last, self._counts = [], int(self._run.starting_step) - 1, {}
        self._best, self._seconds, self._table_at = -math.inf, 0.0, 1
        marks = [names.WITH_NAMES] if self._study.info.wandb_ids else []
        for name in ("search/ended", "search/trial", *marks):
            self._run.define_metric(name, hidden=True)
        self._run.define_metric("search/*", step_metric="search/ended")
        times = [(trial_ended(self._study, number), number) for number in self._study.trials()]
        for _, number in sorted((time, number) for time, number in times if time is not None):
            self.end(number)

    def _spec(self) -> RunSpec:
        info, written = self._study.info, self._study.info.to_dict()
        kept = ("trials", "preset", "racing", "margin", "repeats", "patience", "warm_start")
        return RunSpec(
            id=self.id,
            name=f"{self._study.name}-search",
            group=self._study.name,
            job_type="search",
            folder=self._study.folder,
            config={
                "search": {key: written[key] for key in kept if key in written}
                | {key: nested(written[key]) for key in ("settings", "space") if key in written}
                | _compared(info),
                "provenance": provenance_of(self._study),
            },
            tags=(info.protocol,),
        )

    def end(self, number: int) -> None:
        """Log that a trial has ended, unless it is already logged."""
        end, time = self._study.end(number), trial_ended(self._study, number)
        if end is None or time is None or number in self._ended:
            return
        self._ended.append(number)
        state, score = end.state, end.score
        self._counts[state] = self._counts.get(state, 0) + 1
        if self._study.origin(number) is None:
            self._seconds += float(self._study.epochs(number)["seconds"].sum())
        self._best = max(self._best, -math.inf if score is None else score)
        row = {
            "search/ended": len(self._ended),
            "search/trial": number,
            f"search/{self._objective}": score,
            **{f"search/{name}": cost for name, cost in cost_of(self._study, number).items()},
            f"search/best_{self._objective}": self._best if math.isfinite(self._best) else None,
            "search/device_hours": self._seconds / 3600,
            **{f"search/{each}": self._counts.get(each, 0) for each in ("complete", "stopped", "failed")},
        }
        row = {key: value for key, value in row.items() if value is not None}
        if len(self._ended) >= self._table_at:
            # Each upload has the whole table, so doing it for every trial would be quadratic in their number.
            row = names.marked(self._study, row | {"trials": self._trials()})
            self._table_at = math.ceil(1.3 * len(self._ended) + 0.5)
        self._log(2 * len(self._ended) - 2, row, time)

    def _log(self, step: int, values: dict[str, Any], time: float) -> None:
        if step > self._last:
            self._run.log(values | {"_timestamp": time}, step=step)
            self._last = step

    def close(self, *, finished: bool) -> None:
        """Log the outcome with ``LOGGED`` as an artifact, and close the run.

        Args:
            finished: whether the search is finished, not interrupted.

        Raises:
            TimeoutError: the upload did not finish in time.
            NotStoredError: the server has not stored the artifact.
        """
        folder = self._study.folder
        ledger = ledger_of(self._study)
        summary: dict[str, Any] = {"state": "finished" if finished else "interrupted"}
        summary["waiting"] = ledger.num_waiting
        summary |= {f"device_hours/{kind}": seconds / 3600 for kind, seconds in ledger.seconds.items()}
        best = Best.find(self._study)
        if best is not None:
            summary |= {"best_trial": best.trial, self._objective: best.score.raw}
            summary |= {
                f"{self._objective}_corrected_{key}": value
                for key, value in dataclasses.asdict(best.score.headline).items()
            }
        importances = Importances.find(self._study)
        if importances is not None:
            summary["importances_from"] = importances.describe()
        self._run.summary.update(summary)
        logged = None
        if finished:
            self._log(2 * len(self._ended) - 1, self._outcome(), search_ended(self._study))
            kept = [name for name in LOGGED if self._study.info.wandb_ids or name not in names.NAMING]
            files = names.files(self._study, [folder / name for name in kept if (folder / name).is_file()])
            artifact = client.artifact(f"search-{self._study.info.study_uid}", "search", files, summary)
            logged = self._run.log_artifact(artifact, aliases=["latest", self._study.name])
        client.close_run(self._run, 0 if finished else 130, logged)
        if self._run.offline:
            remove_older(self._study, self.id, newest=Path(self._run.settings.sync_dir))

    def _trials(self) -> Any:
        table = trial_table(self._study)
        reasons = [
            names.reason(self._study, state, text) for state, text in zip(table["state"], table["reason"], strict=True)
        ]
        return client.frame(table.assign(reason=reasons))

    def _outcome(self) -> dict[str, Any]:
        """The final table of trials, the importances, and the report's pictures."""
        outcome: dict[str, Any] = {"trials": self._trials()}
        if len(compared := comparison_table(self._study)):
            outcome["comparison"] = client.frame(compared)
        importances = Importances.find(self._study)
        if importances is not None:
            outcome |= charts.importances(importances.shares)
        return names.marked(self._study, outcome | charts.pictures(self._study.folder))
