"""Errors, files, provenance: what everything else may use."""
