"""How data sets are laid out on a disk: C-NMC 2019, a CSV, folders named by class."""
