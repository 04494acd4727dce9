"""Layouts of data sets on disk: C-NMC 2019, a CSV, folders named by class."""
