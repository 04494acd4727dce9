"""Upload of a delivered model when ``leukemia.final`` ends; it has little time, ``publish`` uploads the rest."""

from __future__ import annotations

import threading

from leukemia.base import interrupts
from leukemia.base.errors import first_line
from leukemia.study.folder import Study
from leukemia.tracking import client
from leukemia.tracking.account import server_problem, wanted_mode
from leukemia.tracking.client import Mode
from leukemia.tracking.final_run import FinalRun
from leukemia.tracking.upload import confirm, publish_hint

UPLOAD_SECONDS = 60.0
"""How long ``leukemia.final`` waits for W&B before it exits."""


def track_final(study: Study, name: str) -> str:
    """Log a delivered model to W&B, in at most ``UPLOAD_SECONDS``; returns a message for the user.

    Args:
        name: the model's folder in the study.
    """
    mode, source = wanted_mode()
    if mode == "disabled":
        return f"W&B: disabled by {source}"
    problem = server_problem() if mode == "online" else None
    actual: Mode = "offline" if mode == "offline" or problem else "online"
    failures: list[str] = []
    notes: list[str] = []

    def write() -> None:
        try:
            run = FinalRun(study, name)
            notes.append(run.write(actual))
            if run.is_deleted:
                failures.append("its run was deleted on the server")
            elif actual == "online":
                notes.append(confirm(study, [run.id]))
        except Exception as error:
            failures.append(first_line(error))

    thread = threading.Thread(target=write, name="tracking", daemon=True)
    try:
        with interrupts.resumable(f"the model is complete; {publish_hint(study)}"):
            thread.start()
            thread.join(UPLOAD_SECONDS)
    finally:
        # Also on Ctrl-C.
        if is_late := thread.is_alive():
            client.end_client()
    if is_late:
        failures.append(f"no answer in {UPLOAD_SECONDS:g} s")
    if mode == "online" and (problem or failures):
        return f"W&B: the model was not uploaded ({problem or failures[0]}); {publish_hint(study)}"
    if failures:
        return f"W&B: logging the model failed ({failures[0]})"
    if mode == "offline":
        return f"W&B: offline; after `wandb login` {publish_hint(study)}"
    return "; ".join(filter(None, ["W&B: model and run uploaded", *notes]))
