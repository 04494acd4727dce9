"""Optuna: proposes the recipe of the next trial."""
