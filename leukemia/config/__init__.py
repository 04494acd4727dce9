"""Recipes (all settings of one training run), their fields and presets; splitting protocols and results."""
