"""Metrics, intervals and comparisons: pure functions of arrays."""
