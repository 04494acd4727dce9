"""Errors, files, logs, provenance and command-line helpers, used by all other packages."""
