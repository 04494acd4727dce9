"""The hyperparameter search: Optuna proposes recipes, Ray Tune runs trials, a judge stops trials that cannot win."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from leukemia.study.results import StudyResults
    from search.launch.options import Options, Paths

VARIABLES = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Under `uv run`, Ray would start its workers in a new environment, which lacks Ray, and no trial would ever start.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
"""Set before ray is imported, unless the user has set them: no result loggers, progress tables and error dumps."""

os.environ |= {name: value for name, value in VARIABLES.items() if name not in os.environ}


def search(data: Paths | None = None, **options: Unpack[Options]) -> StudyResults:
    """Search for the best recipe, as ``python -m search.run`` does, and return the study.

    It blocks until the search ends, prints what the command prints, and also runs in a notebook. What is recorded in
    the study is the command line with the same options, so that either way continues it.

    Args:
        data: as ``--data``: a folder, or one or more CSVs; None: the sample set.
        options: those of the command, with ``_`` for ``-``, such as ``trials=20``, ``budget_hours=2.5``,
            ``racing=False`` or ``classes=["normal=Benign", "leukemic=Early,Pre,Pro"]``; ``settings`` is a mapping for
            ``--set``, such as ``{"train.epochs": 30}``; ``space`` is a file for ``--space``, or its content as a
            mapping; ``search`` is one for ``--search``, such as ``{"model.depth": [18, 50], "augment.blur": "0..1"}``.

    Returns:
        The study, as ``leukemia.Study`` opens it. Without a winner, its ``best`` raises ``MissingFile``.

    Raises:
        UserError: an option, the data or the machine do not allow the search, or this is not the main thread.
        KeyboardInterrupt: the search was interrupted, or canceled in W&B; ``resume=True`` continues it.
        SearchFailed: it ended early, through a fault of the machine or an internal error, which is printed.
    """
    from search.launch.call import call

    return call(data, options)
