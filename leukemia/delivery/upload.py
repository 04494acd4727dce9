"""The upload of a delivered model to W&B, which is optional: it may not be installed."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console

from leukemia.delivery.messages import print_line
from leukemia.study.folder import Study
from leukemia.tracking.names import remembered


def check_wandb() -> None:
    """Check W&B's settings now, not after hours of training."""
    with suppress(ModuleNotFoundError):
        from leukemia.tracking.account import check_settings

        check_settings()


def remember_wandb_ids(study: Study, with_names: bool | None) -> None:
    """Store ``--[no-]wandb-ids`` in the study, whether or not anything is trained or uploaded; None: not given.

    Raises:
        UserError: a search is running, which writes the study.
    """
    if with_names is None:
        return
    with study.lock():
        remembered(study, with_names)


def track(console: Console, study: Study, name: str) -> None:
    """Log the model in the folder ``name`` to W&B."""
    try:
        from leukemia.tracking.final_upload import track_final
    except ModuleNotFoundError as error:
        print_line(console, f"W&B: {error}")
        return
    if message := track_final(study, name):
        print_line(console, message)
