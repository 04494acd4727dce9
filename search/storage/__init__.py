"""Mirrors of a study in a folder or a bucket that outlives the machine."""
