"""Training and evaluation of leukemia cell classifiers: from images to a model with trustworthy scores."""

__version__ = "0.1.0"

HEM, ALL = 0, 1
"""Class order everywhere: 0 is a normal cell (C-NMC's ``hem``), 1 a leukemic cell (``all``)."""

CLASS_NAMES = ("hem", "all")
"""Class names by label."""
