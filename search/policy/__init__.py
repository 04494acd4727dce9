"""Decisions of a search as pure functions, without Ray, Optuna or files."""
