"""Honest training of leukemia cell classifiers: images in, a model with evidence out."""

__version__ = "0.1.0"

HEM, ALL = 0, 1
"""Class order everywhere: 0 is a normal cell (C-NMC's ``hem``), 1 a leukemic one (``all``)."""

CLASS_NAMES = ("hem", "all")
"""Class names by label."""
