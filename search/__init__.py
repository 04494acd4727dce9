"""The search over recipes: Optuna proposes, Ray Tune runs trials, a judge stops those that cannot win."""
