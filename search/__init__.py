"""The hyperparameter search: Optuna proposes recipes, Ray Tune runs trials, a judge stops trials that cannot win."""

import os

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
