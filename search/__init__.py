"""The hyperparameter search: Optuna proposes recipes, Ray Tune runs trials, a judge stops trials that cannot win."""

import os

# Set before ray is imported: no result loggers, no progress tables, no error dumps.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Under `uv run`, Ray would start its workers in a new environment, which lacks Ray, and no trial would ever start.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
