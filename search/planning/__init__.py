"""Decisions before the first trial: the plan of a new or resumed search, and its estimated cost."""
