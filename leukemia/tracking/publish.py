"""Upload a study folder to W&B: its runs, then a sweep that contains them. Safe to repeat."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterator, Sequence

from leukemia.base.errors import UserError, first_line
from leukemia.base.listing import entries, exists
from leukemia.base.record import read_content
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.study.ladder import waiting_trials
from leukemia.study.models import delivered_models
from leukemia.study.verification import verify
from leukemia.tracking import client, settings
from leukemia.tracking.account import server_problem, warn_of_ignored
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.names import remembered
from leukemia.tracking.study_run import StudyRun
from leukemia.tracking.sweep import SweepRecord, existing_sweep, make_sweep
from leukemia.tracking.sweep_state import set_state
from leukemia.tracking.trial_run import TrialRun
from leukemia.tracking.upload import confirm, outdated
from leukemia.tracking.winner import tracked_trials


def publish(study: Study, report: Callable[[str], None], *, with_names: bool | None = None) -> None:
    """Upload the runs of all trials that have ended or wait, of the final model and of the search; create the sweep.

    Runs that are complete on the server are resumed, without the steps that they have; others are written again.

    Args:
        report: receives progress messages.
        with_names: whether names of images and patients are sent; None: as stored in the study.

    Raises:
        UserError: the server cannot be used, or the upload fails; or the search is running.
    """
    problem = settings.problem() or _disabled() or server_problem()
    if problem is not None:
        raise UserError(f"W&B: {problem}; nothing was uploaded. Fix that and try again")
    warn_of_ignored()
    with study.lock():
        verify(study)
        try:
            _publish(remembered(study, with_names), report)
        except Exception as error:
            # Open runs would block their ids, and the exit of this process.
            client.end_client()
            # A file of the study that cannot be used stays so: its message says what to do.
            advice = "" if isinstance(error, UserError) else ". Try again to continue it"
            raise UserError(f"W&B: {first_line(error)}; the upload is incomplete{advice}") from error


def _disabled() -> str | None:
    mode, source = settings.mode()
    return f"disabled by {source}" if mode == "disabled" else None


def _publish(study: Study, report: Callable[[str], None]) -> None:
    sweep = existing_sweep(study)
    if sweep is None and (study.folder / layout.SWEEP).is_file():
        report("W&B: the study's sweep was deleted or belongs to another project or server; creating a new one")
    best = Best.find(study)
    overwritten, note = outdated(study)
    if note:
        report(f"W&B: {note}")
    failures: list[str] = []
    uploaded = []
    for number, closed in tracked_trials(study).items():
        report(f"trial {number:04d}: uploading")
        run = TrialRun(study, number, study.recipe(number), lambda: None, best)
        run.open("overwrite" if run.id in overwritten else "upload", sweep.id if sweep else None)
        with _noted(failures):
            run.close(closed.state, closed.reason, closed.score)
        if not run.is_deleted:
            uploaded.append(run.id)
    report("search: uploading")
    search = StudyRun(study)
    search.open("overwrite" if search.id in overwritten else "upload", None)
    damaged = _without_recipe(study)
    finished = not damaged and _is_finished(study)
    with _noted(failures):
        search.close(finished=finished)
    with _noted(failures):
        _confirm(study, uploaded if search.is_deleted else [*uploaded, search.id], report)
    try:
        sweep = make_sweep(study, uploaded)
        place = f"W&B: {sweep.url}"
    except Exception as error:
        # The runs are uploaded even if the server does not support sweeps.
        place = f"W&B: all uploaded to {settings.place(study.name)}; no sweep page ({first_line(error)})"
    if sweep is not None:
        _set_state(sweep, report, finished=finished)
    # Last, since they take longest.
    for name in delivered_models(study):
        with _noted(failures):
            _publish_model(study, name, overwritten, report)
    if failures:
        raise ConnectionError(failures[0] + (f" and {len(failures) - 1} more" if len(failures) > 1 else ""))
    report(place)
    if damaged:
        report(
            f"warning: not uploaded because {layout.RECIPE} is missing: {', '.join(damaged[:3])}"
            + (f" and {len(damaged) - 3} more" if len(damaged) > 3 else "")
            + f" in {study.folder / layout.TRIALS}; restore it or delete these folders, and publish again"
        )


@contextlib.contextmanager
def _noted(failures: list[str]) -> Iterator[None]:
    """Note that something was not uploaded completely, and go on with the rest."""
    try:
        yield
    except (TimeoutError, ConnectionError, client.NotStoredError) as error:
        client.end_client()
        failures.append(first_line(error))


def _publish_model(study: Study, name: str, overwritten: Container[str], report: Callable[[str], None]) -> None:
    if not (study.folder / name / layout.EPOCHS).is_file():
        report(f"warning: model {name}: not uploaded because {layout.EPOCHS} is missing")
        return
    report(f"model {name}: uploading")
    run = FinalRun(study, name)
    if note := run.write("overwrite" if run.id in overwritten else "upload"):
        report(f"model {name}: {note}")
    if not run.is_deleted:
        _confirm(study, [run.id], report)


def _confirm(study: Study, runs: Sequence[str], report: Callable[[str], None]) -> None:
    if note := confirm(study, runs):
        report(f"W&B: {note}")


def _set_state(sweep: SweepRecord, report: Callable[[str], None], *, finished: bool) -> None:
    try:
        set_state(sweep, "FINISHED" if finished else "PAUSED")
    except Exception as error:
        report(f"W&B: the state of the sweep could not be set ({first_line(error)})")


def _is_finished(study: Study) -> bool:
    """Whether all trials that were wanted have ended, or the search ended by itself with fewer of them.

    Then, and only then, it wrote the ledger of all its trials. Trials that wait do not run.
    """
    trials, waiting = study.trials(), waiting_trials(study)
    if any(study.end(number) is None and number not in waiting for number in trials):
        return False
    own = [number for number in trials if study.origin(number) is None]
    if "trials" in study.info.absent or (len(own) >= study.info.trials and not waiting):
        return True
    ledger = study.folder / layout.LEDGER
    return ledger.is_file() and len(read_content(ledger, study.place_of(ledger)).get("trials", ())) == len(trials)


def _without_recipe(study: Study) -> list[str]:
    """Names of trial folders that have files but no recipe; an empty folder is of a trial that never started."""
    return [
        folder.name
        for folder in entries(study.folder / layout.TRIALS)
        if layout.trial_of(folder.name) is not None
        and not exists(folder / layout.RECIPE)
        and any(path.name[0] != "." for path in entries(folder))
    ]
