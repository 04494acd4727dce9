"""The driver: starts trials, judges their results and writes the study folder."""
