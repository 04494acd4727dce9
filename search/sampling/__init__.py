"""Optuna: which recipe to try next."""
