"""Mirrors of studies in a folder or a bucket that outlives the machine."""
