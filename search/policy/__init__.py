"""Decisions of a search. Pure: no Ray, no Optuna, no files."""
