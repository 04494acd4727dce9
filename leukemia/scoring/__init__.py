"""Metrics, intervals and comparisons. Pure: arrays in, numbers out."""
