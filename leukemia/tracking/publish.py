"""Send a study to W&B's server from its folder: its runs, then the sweep that adopts them. Can be repeated."""

from __future__ import annotations

from collections.abc import Callable

from leukemia.base.errors import UserError, first_line
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study
from leukemia.tracking import client
from leukemia.tracking.account import server_problem
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.study_run import StudyRun
from leukemia.tracking.sweep import known_sweep, make_sweep
from leukemia.tracking.trial_run import TrialRun


def publish(study: Study, say: Callable[[str], None]) -> None:
    """Write every run of trials that have ended, the search's own, and create the sweep where there is none.

    A run that the server has is continued: steps that it holds are left alone.

    Raises:
        UserError: the server cannot be used, or stops taking the runs; or the study is being searched.
    """
    problem = client.settings_problem() or server_problem()
    if problem is not None:
        raise UserError(f"W&B: {problem}; nothing was sent. Fix that and try again")
    with study.lock():
        try:
            _publish(study, say)
        except Exception as error:
            # Runs that are open would keep their ids, and the end of this process waiting.
            client.end_client()
            raise UserError(
                f"W&B: {first_line(error)}; what was sent is kept there. Try again: it goes on from there"
            ) from error


def _publish(study: Study, say: Callable[[str], None]) -> None:
    sweep = known_sweep(study)
    if sweep is None and (study.folder / layout.SWEEP).is_file():
        say("W&B: the study's earlier sweep was removed, or is another project's or server's; a new one is made")
    best = Best.found_in(study)
    sent = []
    for number in study.trials():
        end = study.end(number)
        if end is None or study.origin(number) is not None:
            # Not ended, or taken over from an earlier study, which has its run.
            continue
        say(f"trial {number:04d}: sending")
        run = TrialRun(study, number, study.recipe(number), lambda: None)
        run.open("online", sweep.id if sweep else None)
        is_winner = best is not None and int(best.trial) == number
        run.close(end.state, end.reason, end.score, best if is_winner else None)
        sent.append(run.id)
    finals = []
    if (study.folder / layout.FINAL / layout.EPOCHS).is_file():
        say("final: sending")
        final = FinalRun(study)
        finals.append(final.id)
        if note := final.write("online"):
            say(f"final: {note}")
    say("search: sending")
    search = StudyRun(study)
    search.open("online", None)
    damaged = _without_recipe(study)
    search.close(finished=not damaged and all(study.end(number) is not None for number in study.trials()))
    if missing := client.not_complete(study.name, [*sent, *finals, search.id]):
        raise ConnectionError(f"{len(missing)} of its runs did not arrive to their end ({', '.join(missing[:3])})")
    try:
        say(f"W&B: {make_sweep(study, sent).url}")
    except Exception as error:
        # Servers of W&B's kind without sweeps hold the runs all the same.
        say(f"W&B: all sent to project {client.project()}, group {study.name}; no sweep page ({first_line(error)})")
    if damaged:
        say(
            f"warning: not sent, because {layout.RECIPE} is missing: {', '.join(damaged[:3])}"
            + (f" and {len(damaged) - 3} more" if len(damaged) > 3 else "")
            + f" in {study.folder / layout.TRIALS}; restore it, or remove what is left of them, and publish again"
        )


def _without_recipe(study: Study) -> list[str]:
    """Trials' folders that have lost their recipe; an empty one is of a trial that never began."""
    folders = sorted((study.folder / layout.TRIALS).glob("[0-9][0-9][0-9][0-9]*"))
    return [
        folder.name
        for folder in folders
        if not (folder / layout.RECIPE).is_file() and any(path.name[0] != "." for path in folder.iterdir())
    ]
