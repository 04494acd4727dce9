"""Errors, files, provenance and command-line helpers, used by all other packages."""
