"""A search from its parsed command line to its exit status."""
